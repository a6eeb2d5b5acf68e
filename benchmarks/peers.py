"""The servers to compare: a folder for each says how to start it, what it needs and why the set-up is fair."""

import json
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.environments import Environment, InstallError
from benchmarks.exchanges import Exchange
from models.manifest import Manifest

PEERS = Path(__file__).resolve().parent / "peers"
ROOT = PEERS.parent.parent
ENVIRONMENTS = ROOT / ".bench"
OURS = "menagerie"
INSTALL_SECONDS = 1800


class PeerError(Exception):
    """A peer cannot be measured; the message gives the reason in a sentence, for the table."""


@dataclass(frozen=True)
class Peer:
    """One server.

    ``label`` is the path to the label in its JSON response, empty if it does not predict; ``ready`` is the path of its
    readiness endpoint, empty if it is ready at its first prediction; ``headers`` are those that predictions need;
    ``needs`` maps the system programs that it uses to the command that installs each; ``project`` means that it runs
    the project's code.
    """

    name: str
    title: str
    command: Sequence[str]
    path: str
    why: str
    label: Sequence[str | int] = ()
    ready: str = ""
    protocol: Literal["named", "v2"] = "named"
    project: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return PEERS / self.name

    def exchange(self, manifest: Manifest, row: Sequence[float]) -> Exchange:
        """The request for one row of features in the format of this server."""
        values = [float(f"{value:.4g}") for value in row]  # as people measure, not as float32 prints
        document: dict[str, Any] = {"features": dict(zip(manifest.feature_names, values, strict=True))}
        if self.protocol == "v2":
            document = {"inputs": [{"name": "features", "shape": [1, len(row)], "datatype": "FP32", "data": values}]}
        return Exchange(self.path, json.dumps(document).encode(), headers=self.headers)

    def parse_label(self, body: bytes) -> Any:
        """The label in a response.

        Raises:
            PeerError: the response has none at the expected path.
        """
        try:
            element = json.loads(body)
            for key in self.label:
                element = element[key]
        except (ValueError, LookupError, TypeError):
            raise PeerError(f"answers without a label: {body[:200]!r}") from None
        return element


def list_peers() -> list[str]:
    """The names of all peers, ours first."""
    return sorted((path.parent.name for path in PEERS.glob("*/peer.toml")), key=lambda name: (name != OURS, name))


def read_peer(name: str) -> Peer:
    """The peer that a folder describes."""
    return Peer(name=name, **tomllib.loads((PEERS / name / "peer.toml").read_text(encoding="utf-8")))


def install_peer(peer: Peer) -> Path:
    """The Python to run a peer with: its own environment, created when its requirements are new or have changed.

    Raises:
        PeerError: it cannot be installed.
    """
    for program, command in peer.needs.items():
        if shutil.which(program) is None:
            raise PeerError(f"{program} is not installed: `{command}`")
    requirements = peer.folder / "requirements.txt"
    if not requirements.exists():
        return Path(sys.executable)
    try:
        return Environment(ENVIRONMENTS / peer.name, requirements).install(INSTALL_SECONDS)
    except InstallError as error:
        raise PeerError(str(error)) from None
