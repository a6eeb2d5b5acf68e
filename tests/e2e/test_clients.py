"""Third-party clients against the service, each in an environment of its own.

Each folder of tests/clients has ``requirements.txt`` and ``client.py``, a script that takes the service's URL and exits
with an error if an assertion fails. They are examples for users as well.
"""

import subprocess
from pathlib import Path

import pytest
from support import headed_bundles
from support.gunicorn_server import ROOT, Server, serving

from benchmarks.environments import Environment, InstallError
from models.signature import Input

CLIENTS = sorted(path.parent for path in (ROOT / "tests" / "clients").glob("*/client.py"))
INSTALL_SECONDS = 600
RUN_SECONDS = 120


def test_client_of_each_project_exists() -> None:
    """One for each project whose protocol the service implements."""
    assert {folder.name for folder in CLIENTS} >= {"kserve", "mlserver", "tritonclient"}


@pytest.mark.parametrize("folder", CLIENTS, ids=lambda folder: folder.name)
def test_every_package_is_pinned(folder: Path) -> None:
    """To one exact version on each line, so that clients do not change by themselves."""
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("folder", CLIENTS, ids=lambda folder: folder.name)
def test_client_works(server: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its requests succeed, its types parse the responses, and errors are raised as its own exceptions."""
    python = _install(folder, capsys)
    command = [str(python), "-I", str(folder / "client.py"), server.url]  # isolated from this environment
    completed = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


@pytest.mark.parametrize("name", ["binary", "logits", "multi_label", "several"])
def test_tritonclient_asks_models_of_every_kind(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several inputs, and every output that the model's metadata lists."""
    folder = ROOT / "tests" / "clients" / "tritonclient"
    inputs = [Input(name="size", width=2), Input(name="age", width=1)]
    published = headed_bundles.publish(tmp_path, headed_bundles.HEADS[name], inputs=inputs)
    python = _install(folder, capsys)
    with serving(MENAGERIE_MODEL_STORE=str(tmp_path), MENAGERIE_MODEL_NAME=published.manifest.name) as server:
        command = [str(python), "-I", str(folder / "adopted.py"), server.url, published.manifest.name]
        completed = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr


def _install(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The Python of the client's environment; the first installation may take a minute and is announced."""
    environment = Environment(ROOT / ".clients" / folder.name, folder / "requirements.txt", complete=True)
    if not environment.is_current:
        with capsys.disabled():
            print(f"\nsetting up {folder.name}'s environment (once)", flush=True)  # noqa: T201 (progress for the terminal)
    try:
        return environment.install(INSTALL_SECONDS)
    except InstallError as error:
        pytest.skip(f"{folder.name}'s client {error}")
