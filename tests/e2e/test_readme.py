"""The commands of the README and of docs/api.md."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import requests
from support import markdown_commands
from support.gunicorn_server import ROOT, Server, await_ready, environment, free_port

README = ROOT / "README.md"
API = ROOT / "docs" / "api.md"
CURLS = [block for page in (README, API) for block in markdown_commands.curl_blocks(page)]
# Commands that another test or CI runs.
TESTED_ELSEWHERE = {
    "make run": "test_a_fresh_clone_runs",
    "docker compose up": "test_container.py",
    'make train ARGS="--data my.csv --label species --name mine"': "test_train.py",
    "MENAGERIE_MODEL_NAME=mine make run": "test_train.py",
}


def test_every_command_is_tested() -> None:
    """Each command of the two pages runs in a test."""
    blocks = [block for page in (README, API) for block, _ in markdown_commands.command_blocks(page)]
    commands = {line for block in blocks for line in block.splitlines()}
    assert commands == set(TESTED_ELSEWHERE) | {command for command, _ in CURLS}


@pytest.mark.parametrize(("command", "shown"), CURLS)
def test_curl_output_is_that_of_the_page(server: Server, command: str, shown: str) -> None:
    """The shipped model gives the response that the page shows, except for the request id."""
    markdown_commands.require_output(server, command, shown)


def test_a_fresh_clone_runs(tmp_path: Path) -> None:
    """`make run` in a new clone installs and serves within two minutes, and starts at once the second time."""
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "clone"], check=True)
    for seconds in (120, 10):
        port = free_port()
        with subprocess.Popen(
            ["make", "run"],
            cwd=tmp_path / "clone",
            env={**environment(PORT=str(port)), "VIRTUAL_ENV": ""},
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process:
            try:
                server = Server(f"http://127.0.0.1:{port}", port, process)
                await_ready(server, seconds=seconds)
                assert requests.get(f"{server.url}/health", timeout=5).json()["ready"]
            finally:
                os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
                process.communicate(timeout=60)
        assert not list((tmp_path / "clone" / ".venv" / "lib").rglob("tensorflow"))
