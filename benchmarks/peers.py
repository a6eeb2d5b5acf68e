"""The servers to compare: a folder each, with how to start it, what it needs and why that is fair."""

import json
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from models.bundle import Manifest

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
        document: dict[str, Any] = {"features": dict(zip(manifest.names, values, strict=True))}
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
    home = ENVIRONMENTS / peer.name
    python, installed = home / "bin" / "python", home / "installed.txt"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return python
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n")
    venv.create(home, with_pip=True, clear=True)
    _pip(python, requirements)
    shutil.copy(requirements, installed)
    return python


def _pip(python: Path, requirements: Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise PeerError(f"not installed after {INSTALL_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        faults = [line for line in error.stderr.splitlines() if line.startswith("ERROR")]
        raise PeerError(f"cannot be installed: {' '.join(faults[-1:])[:200]}") from None
