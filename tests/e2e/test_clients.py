"""Clients that others wrote, each in an environment of its own, against the real service.

A folder in tests/clients is enough: ``requirements.txt`` and ``client.py``, a script that takes the service's address
and fails by an assertion. They are examples for users as well.
"""

import subprocess
from pathlib import Path

import pytest
from support.gunicorn_server import ROOT, Server

from benchmarks.environments import Environment, InstallError

CLIENTS = sorted(path.parent for path in (ROOT / "tests" / "clients").glob("*/client.py"))
INSTALL_SECONDS = 600
RUN_SECONDS = 120


def test_the_clients_are_there() -> None:
    """One of each project whose protocol the service speaks."""
    assert {folder.name for folder in CLIENTS} >= {"kserve", "mlserver", "tritonclient"}


@pytest.mark.parametrize("folder", CLIENTS, ids=lambda folder: folder.name)
def test_every_package_is_pinned(folder: Path) -> None:
    """One exact version a line, so that a client is the same every day."""
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("folder", CLIENTS, ids=lambda folder: folder.name)
def test_a_client_gets_what_it_asks_for(server: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own way of asking, every answer read with its own types, every refusal raised as its own error."""
    python = _environment(folder, capsys)
    command = [str(python), "-I", str(folder / "client.py"), server.url]  # apart from this environment
    ran = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The Python to run a client with; making its environment may take a minute, and is said."""
    environment = Environment(ROOT / ".clients" / folder.name, folder / "requirements.txt", complete=True)
    if not environment.is_current:
        with capsys.disabled():
            print(f"\nsetting up {folder.name}'s environment (once)", flush=True)  # noqa: T201 (it is for who waits)
    try:
        return environment.install(INSTALL_SECONDS)
    except InstallError as error:
        pytest.skip(f"{folder.name}'s client {error}")
