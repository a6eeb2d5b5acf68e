"""The commands of docs/security.md."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support import markdown_commands
from support.gunicorn_server import ROOT, serving

COMMANDS = [command_block for command_block, _ in markdown_commands.command_blocks(ROOT / "docs" / "security.md")]


def command_block(beginning: str) -> str:
    """The only block that starts with ``beginning``."""
    (match,) = [block for block in COMMANDS if block.startswith(beginning)]
    return match


def variables(line: str) -> dict[str, str]:
    """The variables that a line sets before ``make run``."""
    *settings, make, run = shlex.split(line)
    assert (make, run) == ("make", "run")
    return dict(setting.split("=", 1) for setting in settings)


def curl(line: str, port: int, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    line = line.replace(":8000", f":{port}") + " --silent --fail"
    return subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_key_commands(tmp_path: Path) -> None:
    """Make a key, put its hash into a file, serve with it, and send the key in both ways."""
    completed = subprocess.run(
        [sys.executable, *shlex.split(command_block("python -m service.keys"))[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    key, key_hash = (line.split()[1] for line in completed.stdout.splitlines())
    (tmp_path / "keys.txt").write_text(f"{key_hash}  # comment\n")
    settings = variables(command_block("MENAGERIE_API_KEYS_FILE="))
    with serving(**{name: str(tmp_path / value) for name, value in settings.items()}) as server:
        commands = command_block("curl http://localhost:8000/model").splitlines()
        assert len(commands) == 2
        for line in commands:
            assert curl(line, server.port, tmp_path, KEY=key).returncode == 0
            assert curl(line, server.port, tmp_path, KEY=key_hash).returncode == 22  # curl --fail: an HTTP error


def test_tls_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a certificate, serve with it, and verify it."""
    make, run = command_block("openssl").splitlines()
    subprocess.run(make, shell=True, cwd=tmp_path, check=True, capture_output=True)
    arguments = shlex.split(variables(run)["GUNICORN_CMD_ARGS"])
    paths = [argument if argument.startswith("--") else str(tmp_path / argument) for argument in arguments]
    assert "DNS:localhost" in make
    monkeypatch.setattr(requests, "get", lambda url, **_: _get(url, tmp_path))  # the certificate is for localhost
    with serving(*paths) as server:
        command = command_block("curl --cacert")
        assert curl(command, server.port, tmp_path).stdout == '{"status":"alive"}'
        assert (
            curl(command.replace("--cacert cert.pem", ""), server.port, tmp_path).returncode == 60
        )  # curl: the certificate is not trusted


def _get(url: str, folder: Path) -> requests.Response:
    with requests.Session() as session:
        return session.request("GET", url.replace("127.0.0.1", "localhost"), verify=str(folder / "cert.pem"), timeout=5)


def test_cors_command() -> None:
    """The service allows the origins of the page."""
    with serving(**variables(command_block("MENAGERIE_CORS_ORIGINS="))) as server:
        response = requests.get(f"{server.url}/livez", headers={"Origin": "https://example.org"}, timeout=10)
    assert response.headers["Access-Control-Allow-Origin"] == "https://example.org"
