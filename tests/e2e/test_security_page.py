"""The commands of docs/security.md do what the page says."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support import markdown_commands
from support.gunicorn_server import ROOT, serving

COMMANDS = [command for command, _ in markdown_commands.command_blocks(ROOT / "docs" / "security.md")]


def command(beginning: str) -> str:
    """The one block that begins so."""
    (found,) = [block for block in COMMANDS if block.startswith(beginning)]
    return found


def variables(line: str) -> dict[str, str]:
    """What a line sets before ``make run``."""
    *settings, make, run = shlex.split(line)
    assert (make, run) == ("make", "run")
    return dict(setting.split("=", 1) for setting in settings)


def curl(line: str, port: int, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    line = line.replace(":8000", f":{port}") + " --silent --fail"
    return subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_keys(tmp_path: Path) -> None:
    """Made, put into a file, served with, asked with in both ways."""
    made = subprocess.run(
        [sys.executable, *shlex.split(command("python -m service.keys"))[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    key, known = (line.split()[1] for line in made.stdout.splitlines())
    (tmp_path / "keys.txt").write_text(f"{known}  # of the reader\n")
    settings = variables(command("MENAGERIE_API_KEYS_FILE="))
    with serving(**{name: str(tmp_path / value) for name, value in settings.items()}) as server:
        asked = command("curl http://localhost:8000/model").splitlines()
        assert len(asked) == 2
        for line in asked:
            assert curl(line, server.port, tmp_path, KEY=key).returncode == 0
            assert curl(line, server.port, tmp_path, KEY=known).returncode == 22  # HTTP says no


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate made, served with, and verified."""
    make, run = command("openssl").splitlines()
    subprocess.run(make, shell=True, cwd=tmp_path, check=True, capture_output=True)
    arguments = shlex.split(variables(run)["GUNICORN_CMD_ARGS"])
    paths = [argument if argument.startswith("--") else str(tmp_path / argument) for argument in arguments]
    assert "DNS:localhost" in make
    monkeypatch.setattr(requests, "get", lambda url, **_: _get(url, tmp_path))  # 127.0.0.1 is not what it is made for
    with serving(*paths) as server:
        asked = command("curl --cacert")
        assert curl(asked, server.port, tmp_path).stdout == '{"status":"alive"}'
        assert curl(asked.replace("--cacert cert.pem", ""), server.port, tmp_path).returncode == 60  # not trusted


def _get(url: str, folder: Path) -> requests.Response:
    with requests.Session() as session:
        return session.request("GET", url.replace("127.0.0.1", "localhost"), verify=str(folder / "cert.pem"), timeout=5)


def test_cors() -> None:
    """The origins of the page are taken."""
    with serving(**variables(command("MENAGERIE_CORS_ORIGINS="))) as server:
        answer = requests.get(f"{server.url}/livez", headers={"Origin": "https://example.org"}, timeout=10)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
