"""The servers to compare: a folder each, with how to start it, what it needs and why that is fair."""

import json
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.environments import Environment, InstallError
from models.manifest import Manifest

PEERS = Path(__file__).resolve().parent / "peers"
ROOT = PEERS.parent.parent
ENVIRONMENTS = ROOT / ".bench"
OURS = "menagerie"
INSTALL_SECONDS = 1800


class PeerError(Exception):
    """A peer cannot be measured; the message says why in a sentence, for the table."""


@dataclass(frozen=True)
class Peer:
    """One server.

    ``label`` is the path to the label in its JSON answer, empty if it does not predict; ``needs`` are programs that it
    takes from the system, each with the command that installs it; ``project`` says that it runs the project's code.
    """

    name: str
    title: str
    command: Sequence[str]
    path: str
    why: str
    label: Sequence[str | int] = ()
    protocol: Literal["named", "v2"] = "named"
    project: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return PEERS / self.name

    def question(self, manifest: Manifest, row: Sequence[float]) -> bytes:
        """One row of features as this server wants to be asked."""
        values = [float(f"{value:.4g}") for value in row]  # as people measure, not as float32 prints
        document: dict[str, Any] = {"features": dict(zip(manifest.feature_names, values, strict=True))}
        if self.protocol == "v2":
            document = {"inputs": [{"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": values}]}
        return json.dumps(document).encode()

    def answered(self, body: bytes) -> Any:
        """The label in an answer.

        Raises:
            PeerError: there is none where it should be.
        """
        try:
            found = json.loads(body)
            for step in self.label:
                found = found[step]
        except (ValueError, LookupError, TypeError):
            raise PeerError(f"answers without a label: {body[:200]!r}") from None
        return found


def every() -> list[str]:
    """The names of all peers, ours first."""
    return sorted((path.parent.name for path in PEERS.glob("*/peer.toml")), key=lambda name: (name != OURS, name))


def read(name: str) -> Peer:
    """The peer described in a folder."""
    return Peer(name=name, **tomllib.loads((PEERS / name / "peer.toml").read_text(encoding="utf-8")))


def install(peer: Peer) -> Path:
    """The Python to run a peer with: its own environment, made when its requirements are new or have changed.

    Raises:
        PeerError: it cannot be installed.
    """
    for program, remedy in peer.needs.items():
        if shutil.which(program) is None:
            raise PeerError(f"{program} is not installed: `{remedy}`")
    requirements = peer.folder / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    try:
        return Environment(ENVIRONMENTS / peer.name, requirements).make(INSTALL_SECONDS)
    except InstallError as error:
        raise PeerError(str(error)) from None
