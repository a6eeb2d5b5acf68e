"""A response that comes before the end of a long body is read even by a client that sends all of it first."""

import json
import re
import select
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from support.bad_input import GOOD
from support.closed_loop_clients import post
from support.gunicorn_server import Server, serving, workers

from service.app.api_keys import make

LONG = bytes(80_000_000)
PIECES = [LONG[:1_000_000]] * 80
KEY, KEY_HASH = make()
JSON = {"Content-Type": "application/json"}
WITH_KEY = {"X-API-Key": KEY}
ONE_WORKER = {"WEB_CONCURRENCY": "1"}
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ENDLESS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"8000\r\n%s\r\n" % bytes(0x8000)


class Refused(NamedTuple):
    """A request with a long body, which gets ``status`` before the end of it."""

    status: int
    method: str = "POST"
    path: str = "/predict"
    headers: dict[str, str] = JSON | WITH_KEY
    chunked: bool = False


REFUSED = [
    Refused(413),
    Refused(413, path="/v1/models/animals:predict"),
    Refused(413, path="/v2/models/animals/infer"),
    Refused(413, path="/explain"),
    Refused(401, headers=JSON),
    Refused(401, path="/nothing", headers=JSON),
    Refused(404, path="/nothing"),
    Refused(404, path="/v2/models/other/infer"),
    Refused(405, method="PUT"),
    Refused(405, path="/livez"),
    Refused(415, headers={"Content-Type": "text/plain"} | WITH_KEY),
    Refused(503, chunked=True),
]
IDS = [f"{each.status} {each.method} {each.path}" for each in REFUSED]


class Secure(NamedTuple):
    """A server, and how its clients verify it."""

    server: Server
    tls: ssl.SSLContext | None
    certificate: Path

    @contextmanager
    def connection(self, timeout: float = 60) -> Iterator[HTTPConnection]:
        """With a timeout in seconds."""
        port = self.server.port
        with closing(
            HTTPSConnection("127.0.0.1", port, timeout=timeout, context=self.tls)
            if self.tls
            else HTTPConnection("127.0.0.1", port, timeout=timeout)
        ) as connection:
            yield connection


@pytest.fixture(
    scope="module",
    params=[(fast, tls) for fast in ("true", "false") for tls in (False, True)],
    ids=lambda pair: f"{'fast path' if pair[0] == 'true' else 'gunicorn'}{', TLS' if pair[1] else ''}",
)
def secure(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Secure]:
    """A service that requires a key, and has room for 1 MB of bodies."""
    fast, tls = request.param
    keys = ["--certfile", str(certificate), "--keyfile", str(certificate.with_name("key.pem"))] if tls else []
    settings = {"MENAGERIE_API_KEYS": KEY_HASH, "MENAGERIE_MAX_PENDING_BYTES": "1000000", **ONE_WORKER}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with serving(*keys, MENAGERIE_FAST_PATH=fast, **settings) as server:
            yield Secure(server, ssl.create_default_context(cafile=certificate) if tls else None, certificate)


def peak_megabytes(pid: int) -> float:
    match = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) / 1000


@pytest.mark.parametrize("refused", REFUSED, ids=IDS)
def test_http_client_reads_the_response(secure: Secure, refused: Refused) -> None:
    """It raises BrokenPipeError if it cannot send all of the body."""
    body = iter(PIECES) if refused.chunked else LONG
    with secure.connection() as connection:
        connection.request(refused.method, refused.path, body, refused.headers)
        response = connection.getresponse()
        document = json.loads(response.read())
    assert (response.status, response.headers["Connection"]) == (refused.status, "close")
    assert document.get("status", refused.status) == refused.status  # a problem document, in the native protocol


def test_urllib_reads_the_response(secure: Secure) -> None:
    request = urllib.request.Request(f"{secure.server.url}/predict", LONG, JSON | WITH_KEY)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60, context=secure.tls)
    assert error.value.code == 413
    error.value.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_requests_reads_the_response(secure: Secure, chunked: bool) -> None:
    data = iter(PIECES) if chunked else LONG
    with requests.post(f"{secure.server.url}/nothing", data, headers=JSON | WITH_KEY, timeout=60) as response:
        assert response.status_code == (503 if chunked else 404)


@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
@pytest.mark.parametrize("path", ["/predict", "/nothing"])
def test_curl_reads_the_response(secure: Secure, tmp_path: Path, expect: str, path: str) -> None:
    """With ``Expect: 100-continue`` it sends no body, as the response is final."""
    body = tmp_path / "body"
    body.write_bytes(LONG)
    options = ["--cacert", str(secure.certificate), "-X", "POST", "-T", str(body), "-o", "/dev/null", "--http1.1"]
    for name, value in (JSON | WITH_KEY).items():
        options += ["-H", f"{name}: {value}"]
    result = subprocess.run(
        ["curl", "-sS", *options, "-H", expect, "-w", "%{http_code} %{size_upload}", secure.server.url + path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    status, sent = result.stdout.split()
    assert (result.returncode, result.stderr, status) == (0, "", "413" if path == "/predict" else "404")
    if expect.endswith("continue"):
        assert sent == "0"


def test_many_long_bodies_take_little_memory(secure: Secure) -> None:
    """Eight at once; small requests are answered meanwhile."""
    (worker,) = workers(secure.server)

    def send(_: int) -> int:
        with secure.connection() as connection:
            connection.request("POST", "/predict", LONG, JSON | WITH_KEY)
            return connection.getresponse().status

    send(0)
    before = peak_megabytes(worker)
    with ThreadPoolExecutor(8) as pool:
        long = pool.map(send, range(8))
        for _ in range(20):
            answer = requests.post(f"{secure.server.url}/predict", GOOD, headers=JSON | WITH_KEY, timeout=20)
            assert answer.status_code == 200
        assert list(long) == [413] * 8
    assert peak_megabytes(worker) - before < 30


def test_a_connection_outlives_a_body_that_nobody_read(secure: Secure) -> None:
    """A body that has wholly arrived, longer than gunicorn holds before it pauses reading."""
    with secure.connection(timeout=10) as connection:
        for _ in range(8):
            connection.request("POST", "/predict", LONG[:300_000], JSON)
            response = connection.getresponse()
            assert (response.status, response.read() != b"") == (401, True)
            connection.request("POST", "/predict", GOOD, JSON | WITH_KEY)  # on a new connection, if that was closed
            response = connection.getresponse()
            assert (response.status, response.read() != b"") == (200, True)


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        yield client


def receive(client: socket.socket) -> HTTPResponse:
    response = HTTPResponse(client)
    response.begin()
    response.read()
    return response


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast path", "gunicorn"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    limits = {"MENAGERIE_HEAD_SECONDS": "0.5", "MENAGERIE_BODY_SECONDS": "0.5"}
    with serving(MENAGERIE_FAST_PATH=request.param, **limits, **ONE_WORKER) as ready:
        yield ready


@pytest.mark.parametrize(
    ("status", "start", "pause"),
    [
        (400, b"POST /predict NONSENSE\r\n\r\n", 0.0),
        (400, HEAD + b"Content-Length: %s\r\n\r\n" % (b"9" * 5_000), 0.0),
        (400, ENDLESS + b"xyz\r\n", 0.0),
        (431, HEAD + b"A: " + b"b" * 100_000 + b"\r\n\r\n", 0.0),
        (414, b"POST /" + b"x" * 50_000 + b" HTTP/1.1\r\n\r\n", 0.0),
        (501, HEAD + b"Transfer-Encoding: foo\r\n\r\n", 0.0),
        (408, HEAD[:-5], 2.5),
        (408, HEAD + b"Content-Length: 20000000\r\n\r\n{", 2.5),
        (408, HEAD + b"Content-Length: 2000\r\n\r\n{", 2.5),
        (408, ENDLESS + b"1\r\n{\r\n", 2.5),
    ],
)
def test_errors_before_there_is_a_whole_request_are_read(
    server: Server, status: int, start: bytes, pause: float
) -> None:
    """By a client that goes on to send 20 MB; ``pause`` is longer than the timeouts, in seconds."""
    if b"20000000" in start:
        status = 413
    with connected(server) as client:
        client.sendall(start)
        time.sleep(pause)
        client.sendall(LONG[:20_000_000])
        response = receive(client)
        assert (response.status, response.headers["Connection"]) == (status, "close")
        assert client.recv(1) == b""


def test_503_beyond_max_connections_is_read() -> None:
    """By a client that sends 20 MB first."""
    held = post("/predict", GOOD, chunked=True)
    with serving(MENAGERIE_MAX_CONNECTIONS="2", **ONE_WORKER) as server, connected(server) as a, connected(server) as b:
        for busy in (a, b):
            busy.sendall(held[:-1])
        time.sleep(0.3)
        for _ in range(3):
            with connected(server) as client:
                client.sendall(HEAD + b"Content-Length: 20000000\r\n\r\n")
                time.sleep(0.1)  # until the response has come
                client.sendall(LONG[:20_000_000])
                assert receive(client).status == 503
        for busy in (a, b):
            busy.sendall(held[-1:])
            assert receive(busy).status == 200


# How long a client may hold its connection.


def seconds_held(client: socket.socket, pieces: Iterator[bytes], gap: float = 0.0) -> float:
    """For how long a client could send, from now on, until the server had closed the connection wholly."""
    started = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - started < 30:
            client.sendall(next(pieces))
            time.sleep(gap)
    return time.monotonic() - started


def has_connections(server: Server, count: int) -> bool:
    """Whether the only worker has this many connections, that of the question included, within 10 s."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        metrics = requests.get(f"{server.url}/metrics", headers={"Connection": "close"}, timeout=10).text
        match = re.search(r"(?m)^menagerie_connections\S* (\S+)", metrics)
        assert match, metrics
        if float(match[1]) == count:
            return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize("fast", ["true", "false"])
@pytest.mark.parametrize(
    ("start", "piece", "gap"),
    [
        (ENDLESS, CHUNK, 0.0),
        (ENDLESS + CHUNK * 200, b"8000\r\n", 0.2),
        (HEAD + b"Content-Length: 80000000\r\n\r\n", b"x", 0.2),
        (b"NONSENSE\r\n\r\n", LONG[:100_000], 0.0),
    ],
    ids=["an endless body", "a slow chunked body", "a slow long body", "after an error"],
)
def test_a_client_that_sends_on_is_closed(fast: str, start: bytes, piece: bytes, gap: float) -> None:
    """After MENAGERIE_LINGER_SECONDS, however fast it sends."""
    with serving(MENAGERIE_LINGER_SECONDS="1.5", MENAGERIE_FAST_PATH=fast, **ONE_WORKER) as server:
        with connected(server) as client:
            client.sendall(start)
            held = seconds_held(client, repeat(piece), gap)
            assert 1 < held < 10
        with connected(server) as client:
            client.sendall(ENDLESS + CHUNK * 200)
            assert receive(client).status == 413
            assert has_connections(server, 1)  # it is closed though the client keeps its side open, and silent


def test_lingering_can_be_switched_off() -> None:
    """MENAGERIE_LINGER_SECONDS=0 closes at once."""
    with serving(MENAGERIE_LINGER_SECONDS="0", **ONE_WORKER) as server, connected(server) as client:
        client.sendall(HEAD + b"Content-Length: 80000000\r\n\r\n")
        assert seconds_held(client, repeat(b"x"), 0.05) < 1


def test_without_the_timeouts_a_client_is_closed_too() -> None:
    settings = {"MENAGERIE_TIMEOUTS": "false", "MENAGERIE_ACCEPTOR": "false", "MENAGERIE_FAST_PATH": "false"}
    with serving(MENAGERIE_LINGER_SECONDS="1.5", **settings, **ONE_WORKER) as server, connected(server) as client:
        client.sendall(ENDLESS)
        assert 1 < seconds_held(client, repeat(CHUNK)) < 10


@pytest.mark.parametrize("sends", [False, True], ids=["silent", "endless"])
def test_a_lingering_connection_does_not_delay_the_end(sends: bool) -> None:
    """A silent one is closed at once, any other before gunicorn's ``graceful_timeout``."""
    with (
        serving("--graceful-timeout=4", MENAGERIE_LINGER_SECONDS="60", **ONE_WORKER) as server,
        connected(server) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.sendall(ENDLESS + CHUNK * 200)
        assert receive(client).status == 413
        held = pool.submit(seconds_held, client, repeat(CHUNK)) if sends else None
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert time.monotonic() - started < (10 if sends else 3.5)
        if held:
            held.result()


def test_lingering_connections_make_room() -> None:
    """They count towards the limit; the oldest is closed for a new one, which is answered."""
    with serving(MENAGERIE_MAX_CONNECTIONS="4", **ONE_WORKER) as server, ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(4)]
        for client in clients:
            client.sendall(ENDLESS + CHUNK * 200)
            assert receive(client).status == 413
        for number in range(4):
            new = stack.enter_context(connected(server))
            new.sendall(post("/predict", GOOD, chunked=True))
            assert receive(new).status == 200
            poll = select.poll()
            for client in clients:
                poll.register(client, select.POLLERR | select.POLLHUP)
            for client in clients:
                with suppress(ConnectionError):
                    client.sendall(b"x")
            time.sleep(0.2)
            assert len(poll.poll(0)) == number + 1


def test_refused_connections_are_bounded() -> None:
    """Connections that are refused linger too, but not more than 32 beyond the limit."""
    with serving(MENAGERIE_MAX_CONNECTIONS="1", **ONE_WORKER) as server, ExitStack() as stack:
        busy = stack.enter_context(connected(server))
        busy.sendall(post("/predict", GOOD, chunked=True)[:-1])
        (worker,) = workers(server)
        before = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        for _ in range(100):
            refused = stack.enter_context(connected(server))
            assert receive(refused).status == 503
        assert len(list(Path(f"/proc/{worker}/fd").iterdir())) - before <= 40
