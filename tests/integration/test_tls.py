"""TLS by gunicorn's own settings, with a certificate made here and a client that verifies it."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from support.bad_input import GOOD
from support.gunicorn_server import Server, serving

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=menagerie"
    make += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(make.split(), cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


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
