"""TLS by gunicorn's own settings, with a certificate made here and a client that verifies it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from support.bad_input import GOOD
from support.gunicorn_server import (
    GUNICORN,
    ROOT,
    Server,
    await_ready,
    await_workers,
    environment,
    free_port,
    parse_log,
    serving,
    workers,
)
from support.waiting import await_true

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast path", "gunicorn's protocol"])
def secure(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        keys = ["--certfile", str(certificate), "--keyfile", str(certificate.with_name("key.pem"))]
        with serving(*keys, MENAGERIE_FAST_PATH=request.param) as server:
            yield server


def test_a_client_that_trusts_the_certificate_is_answered(secure: Server, certificate: Path) -> None:
    """On routes on the event loop and others, twice on one connection."""
    with requests.Session() as session:
        session.verify = str(certificate)
        for _ in range(2):
            assert session.post(f"{secure.url}/predict", GOOD, headers=JSON, timeout=10).json()["label"] == "cat"
            assert session.get(f"{secure.url}/model", timeout=10).json()["name"] == "animals"


def test_a_client_that_does_not_trust_it_fails(secure: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No authority of the system has signed the certificate."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secure.url}/livez", timeout=10)


def test_plain_http_is_not_answered(secure: Server) -> None:
    """And the service goes on."""
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{secure.port}/livez", timeout=10)
    assert requests.get(f"{secure.url}/livez", timeout=10).ok


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x00\xf4\x01"], ids=["nothing", "half a ClientHello"])
def test_a_handshake_that_never_ends_is_closed(certificate: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """MENAGERIE_HEAD_SECONDS bounds a handshake too, not asyncio's minute."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    keys = ["--certfile", str(certificate), "--keyfile", str(certificate.with_name("key.pem"))]
    with (
        serving(*keys, MENAGERIE_HEAD_SECONDS="0.5", MENAGERIE_DRAIN_SECONDS="0") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as silent,
    ):
        silent.sendall(sent)
        assert silent.recv(1) == b""
        assert requests.get(f"{server.url}/livez", timeout=10).ok


def test_probes_of_the_health_port_need_no_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It speaks plain HTTP, as the image's health check and a kubelet do."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    keys = ["--certfile", str(certificate), "--keyfile", str(certificate.with_name("key.pem"))]
    port = free_port()
    with serving(*keys, MENAGERIE_HEALTH_PORT=str(port)):
        await_true(lambda: requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10).ok)


def test_handshakes_that_never_end_are_bounded(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond MENAGERIE_MAX_CONNECTIONS the oldest handshake is closed; other clients are answered."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    keys = ["--certfile", str(certificate), "--keyfile", str(certificate.with_name("key.pem"))]
    with (
        serving(*keys, MENAGERIE_MAX_CONNECTIONS="20", MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="1") as server,
        ExitStack() as stack,
    ):
        time.sleep(0.5)  # the acceptor starts a moment after asyncio's
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10)) for _ in range(50)]
        for client in clients:
            client.sendall(b"\x16\x03\x01\x00\xf4\x01")
        assert requests.get(f"{server.url}/livez", timeout=10).ok
        closed = [client.recv(1) for client in clients[:30]]
        assert closed == [b""] * 30
        clients[-1].settimeout(0.1)
        with pytest.raises(TimeoutError):
            clients[-1].recv(1)


def corrupt(file: Path) -> None:
    file.write_text("no certificate")


@pytest.mark.parametrize("option", ["--certfile", "--keyfile"])
def test_a_certificate_that_cannot_be_used_fails_the_start(certificate: Path, tmp_path: Path, option: str) -> None:
    """In one line; gunicorn's workers would answer without TLS on the same port."""
    broken = tmp_path / "broken.pem"
    corrupt(broken)
    files = {"--certfile": str(certificate), "--keyfile": str(certificate.with_name("key.pem"))} | {option: str(broken)}
    command = [*GUNICORN, "--bind", "127.0.0.1:0", *(word for pair in files.items() for word in pair)]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line for line in parse_log(ended.stderr) if line["level"] != "info"]
    assert (ended.returncode, len(lines)) == (1, 1), ended.stderr
    assert str(lines[0]["message"]).startswith("menagerie: cannot use --certfile ")


def test_a_certificate_that_breaks_is_never_replaced_by_plain_http(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP keeps the old workers; a worker that replaces a killed one does not serve until the file is good again."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    own = Path(shutil.copy(certificate, tmp_path / "own.pem"))
    keys = ["--certfile", str(own), "--keyfile", str(certificate.with_name("key.pem"))]
    with serving(*keys, WEB_CONCURRENCY="1") as server:
        (before,) = workers(server)
        corrupt(own)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert workers(server) == [before]
        assert requests.get(f"{server.url}/livez", timeout=10).ok
        os.kill(before, signal.SIGKILL)
        await_workers(server, lambda now: len(now) == 1 and now != [before])
        with pytest.raises(requests.RequestException):
            requests.get(f"http://127.0.0.1:{server.port}/livez", timeout=2)
        shutil.copy(certificate, own)
        await_ready(server)
