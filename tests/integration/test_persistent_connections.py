"""Which connections persist, and that each response says so (RFC 9112, section 9.3 and appendix C.2.2)."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import NamedTuple

import pytest
from support.bad_input import GOOD
from support.gunicorn_server import Server, serving


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast", "slow"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The service with the fast path, and without it."""
    with serving(MENAGERIE_FAST_PATH=request.param) as ready:
        yield ready


def request(start: bytes, version: bytes, connection: bytes, body: bytes = b"") -> bytes:
    length = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
    fields = b"".join(b"Connection: %b\r\n" % value for value in connection.split(b"|") if value)
    return b"%b HTTP/%b\r\nHost: x\r\n%b%b\r\n%b" % (start, version, fields, length, body)


class Exchange(NamedTuple):
    status: int
    announced: str | None
    persists: bool


def exchange(client: socket.socket, sent: bytes) -> Exchange:
    """Status and Connection of the response, and whether there is another one to the same request."""

    def respond() -> HTTPResponse:
        client.sendall(sent)
        response = HTTPResponse(client, method=sent.split(b" ")[0].decode())
        response.begin()
        response.read()
        return response

    first = respond()
    try:
        persists = respond().status == first.status
    except (ConnectionError, ValueError):  # closed
        persists = False
    return Exchange(first.status, first.getheader("Connection"), persists)


# The request line without its version, the body, and the status.
STARTS = [
    (b"GET /livez", b"", 200),
    (b"GET /model", b"", 200),
    (b"HEAD /livez", b"", 200),
    (b"HEAD /nowhere", b"", 404),
    (b"GET /nowhere", b"", 404),
    (b"DELETE /predict", b"", 405),
    (b"OPTIONS *", b"", 204),
    (b"POST /predict", GOOD, 200),
    (b"POST /predict", b"{", 400),
    (b"POST /v2/models/plants/infer", b"{}", 404),
    (b"POST /explain", GOOD, 200),
    (b"GET http://x/livez", b"", 200),
    (b"GET http://@/livez", b"", 400),
]
# The version, the values of Connection (each in a field), what is announced, and whether the connection persists.
CONNECTIONS = [
    (b"1.0", b"", "close", False),
    (b"1.0", b"close", "close", False),
    (b"1.0", b"keep-alive", "keep-alive", True),
    (b"1.0", b"Keep-Alive", "keep-alive", True),
    (b"1.0", b"keep-alive, close", "close", False),
    (b"1.0", b"x", "close", False),
    (b"1.1", b"", None, True),
    (b"1.1", b"keep-alive", None, True),
    (b"1.1", b"Keep-Alive, x", None, True),
    (b"1.1", b"close", "close", False),
    (b"1.1", b"CLOSE", "close", False),
    (b"1.1", b"x, close", "close", False),
    (b"1.1", b"x|close", "close", False),
]


@pytest.mark.parametrize(("version", "connection", "announced", "persists"), CONNECTIONS)
@pytest.mark.parametrize(("start", "body", "status"), STARTS)
def test_what_is_announced_holds(  # noqa: PLR0913, PLR0917 (two tables)
    server: Server,
    start: bytes,
    body: bytes,
    status: int,
    version: bytes,
    connection: bytes,
    announced: str | None,
    persists: bool,
) -> None:
    """Whatever the response; HTTP/1.1 persists unless one side says otherwise, HTTP/1.0 if both say so."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        sent = request(start, version, connection, body)
        assert exchange(client, sent) == Exchange(status, announced, persists)


@pytest.mark.parametrize("connection", [b"Keep-Alive, x", b"x, keep-alive", b"x|keep-alive", b"keep-alive|x"])
def test_lists_of_options_in_http_1_0_are_consistent(server: Server, connection: bytes) -> None:
    """The server may decline to keep such a connection, but says what it does."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        _, announced, persists = exchange(client, request(b"GET /livez", b"1.0", connection))
    assert announced == ("keep-alive" if persists else "close")


def test_http_1_0_needs_no_host_and_gets_no_chunks(server: Server) -> None:
    """Every response has its length."""
    for path in (b"/", b"/livez", b"/model", b"/openapi.json", b"/metrics", b"/nowhere"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % path)
            response = HTTPResponse(client)
            response.begin()
            assert response.getheader("Transfer-Encoding") is None
            assert response.getheader("Connection") == "keep-alive"
            assert len(response.read()) == int(response.getheader("Content-Length") or -1)


@pytest.mark.parametrize("body", [b"", GOOD])
def test_the_last_response_while_draining_announces_the_close(body: bytes) -> None:
    """To clients of HTTP/1.0 as to others."""
    with (
        serving(MENAGERIE_DRAIN_SECONDS="2", WEB_CONCURRENCY="1") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        sent = request(b"POST /predict" if body else b"GET /livez", b"1.0", b"keep-alive", body)
        client.sendall(sent)
        response = HTTPResponse(client)
        response.begin()
        response.read()
        assert response.getheader("Connection") == "keep-alive"
        server.process.terminate()
        time.sleep(0.5)
        assert exchange(client, sent) == Exchange(200, "close", persists=False)


@pytest.mark.skipif(not shutil.which("ab"), reason="ApacheBench is not installed")
def test_apache_bench_keeps_its_connections(server: Server) -> None:
    """`ab -k` speaks HTTP/1.0."""
    command = ["ab", "-k", "-n", "50", "-c", "2", f"{server.url}/livez"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "Keep-Alive requests:    50" in result.stdout
