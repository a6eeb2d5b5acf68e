"""Every limit, reached for real: beyond it clients get an error in the route's protocol, within it none is cut off."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from itertools import pairwise

import pytest
from support.bad_input import GOOD
from support.closed_loop_clients import Exchange, Load, post
from support.gunicorn_server import serving
from support.hostile_requests import PROTOCOLS
from support.http_responses import HttpResponse
from support.known_animals import MAINE_COON
from werkzeug.datastructures import Headers

BODIES = {protocol.path: protocol.body for protocol in PROTOCOLS}  # one for each path
BATCH = json.dumps({"instances": [MAINE_COON] * 10_000}).encode()
ONE_WORKER = {"WEB_CONCURRENCY": "1", "MENAGERIE_DRAIN_SECONDS": "0"}


@contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which something was sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent)
        yield client


def receive(client: socket.socket) -> HttpResponse:
    with HTTPResponse(client) as response:
        response.begin()
        return HttpResponse(response.status, Headers(response.getheaders()), response.read())


def exchange(port: int, sent: bytes) -> HttpResponse:
    with connected(port, sent) as client:
        return receive(client)


def await_refusal(port: int, sent: bytes) -> HttpResponse:
    """The first response that is not 200: the load that it is refused for may take a moment to arrive."""
    deadline = time.monotonic() + 30
    while (answer := exchange(port, sent)).status == 200:
        assert time.monotonic() < deadline, "never refused"
    return answer


def require_problem(answer: HttpResponse, path: str, status: int, problem: str) -> None:
    """Assert that it is a problem document (RFC 9457) on native routes, elsewhere a document with ``error``."""
    document = json.loads(answer.body)
    assert answer.status == status, document
    if path.startswith("/v"):
        assert (answer.headers["Content-Type"], document.keys()) == ("application/json", {"error"})
    else:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (document["type"], document["status"]) == (f"urn:menagerie:problem:{problem}", status)
    assert answer.headers["X-Request-ID"]


def test_bodies_beyond_max_pending_bytes_are_refused() -> None:
    """While one body is pending, one that would exceed the limit is 503 in every protocol; a small one is answered."""
    settings = {"MENAGERIE_MAX_PENDING_BYTES": "200000", "MENAGERIE_BODY_SECONDS": "60", **ONE_WORKER}
    held = post("/predict", GOOD.ljust(150_000))
    with serving(**settings) as server:
        with connected(server.port, held[:-10]) as first:
            for path, body in BODIES.items():
                refused = await_refusal(server.port, post(path, body.ljust(100_000)))
                require_problem(refused, path, 503, "overloaded")
                assert refused.headers["Retry-After"] == "1"
                assert exchange(server.port, post(path, body)).status == 200
            first.sendall(held[-10:])
            assert receive(first).status == 200
        for path, body in BODIES.items():
            assert exchange(server.port, post(path, body.ljust(100_000))).status == 200


def test_requests_beyond_max_concurrency_are_refused() -> None:
    """While batches keep all threads busy, what needs one is 503 in every protocol; what needs none is answered."""
    settings = {"MENAGERIE_MAX_CONCURRENCY": "2", "MENAGERIE_THREADS": "1", **ONE_WORKER}
    batch = Exchange(post("/predict", BATCH), lambda body: len(json.loads(body)["predictions"]) == 10_000)
    with serving(**settings) as server:
        with Load(server.port, clients=6, exchanges=[batch], refusal_pause=0.05) as load:
            for path, body in BODIES.items():
                refused = await_refusal(server.port, post(path, body.ljust(20_000)))
                require_problem(refused, path, 503, "overloaded")
                assert refused.headers["Retry-After"] == "1"
                if path != "/explain":
                    assert exchange(server.port, post(path, body)).status == 200
        assert exchange(server.port, post("/predict", BATCH)).status == 200
    assert (load.result.lost, load.result.wrong) == (0, 0)
    assert set(load.result.statuses) == {200, 503}


def test_a_late_body_gets_408() -> None:
    """Short or long, of known length or chunked, in every protocol; the connection is closed."""
    late = [
        (path, sent[:-7])
        for path, body in BODIES.items()
        for sent in (post(path, body), post(path, body.ljust(20_000)), post(path, body, chunked=True))
    ]
    with serving(MENAGERIE_BODY_SECONDS="0.5", **ONE_WORKER) as server, ThreadPoolExecutor(len(late)) as pool:

        def wait(path: str, sent: bytes) -> None:
            with connected(server.port, sent) as client:
                answer = receive(client)
                require_problem(answer, path, 408, "too-slow")
                assert answer.headers["Connection"] == "close"
                assert client.recv(1) == b""

        assert list(pool.map(lambda each: wait(*each), late)) == [None] * len(late)


@pytest.mark.parametrize("sent", [b"P", b"POST /predict HTTP/1.1\r\nHost", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
def test_a_late_head_gets_408(sent: bytes) -> None:
    """And the connection is closed."""
    with serving(MENAGERIE_HEAD_SECONDS="0.5", **ONE_WORKER) as server, connected(server.port, sent) as client:
        answer = receive(client)
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        assert client.recv(1) == b""


def test_a_silent_connection_is_closed() -> None:
    """It gets no response, as it sent no request."""
    with serving(MENAGERIE_HEAD_SECONDS="0.5", **ONE_WORKER) as server, connected(server.port) as client:
        assert client.recv(1) == b""


def test_a_head_without_end_gets_431() -> None:
    """Once all of it together is too long, though each field is not."""
    fields = b"".join(b"A%d: %s\r\n" % (number, b"b" * 8000) for number in range(9))
    with (
        serving(**ONE_WORKER) as server,
        connected(server.port, b"GET /livez HTTP/1.1\r\nHost: x\r\n" + fields) as client,
    ):
        answer = receive(client)
        assert (answer.status, answer.headers["Connection"]) == (431, "close")


def test_connections_beyond_max_connections_are_refused() -> None:
    """If all are busy, one more gets 503; if some are idle, the longest idle one is closed."""
    settings = {"MENAGERIE_MAX_CONNECTIONS": "3", "MENAGERIE_BODY_SECONDS": "60", **ONE_WORKER}
    whole = [post("/predict", GOOD), post("/explain", GOOD), post("/v1/models/animals:predict", b"{}", chunked=True)]
    with (
        serving(**settings) as server,
        connected(server.port, whole[0][:-1]) as one,
        connected(server.port, whole[1][:-1]) as two,
        connected(server.port, whole[2][:-1]) as three,
    ):
        time.sleep(0.5)  # until all of it is read
        with connected(server.port) as four:
            refused = receive(four)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
            assert (refused.headers["Connection"], four.recv(1)) == ("close", b"")
        one.sendall(whole[0][-1:])
        assert receive(one).status == 200
        time.sleep(1.5)  # it counts as idle after a second
        with connected(server.port, whole[0]) as five:
            assert receive(five).status == 200
            assert one.recv(1) == b""
            for client, sent, status in ((two, whole[1], 200), (three, whole[2], 400)):
                client.sendall(sent[-1:])
                assert receive(client).status == status


def test_a_slow_client_within_the_limits_is_not_cut_off() -> None:
    """It pauses between requests, inside heads and inside bodies, never for too long: each has its own time."""
    settings = {"MENAGERIE_HEAD_SECONDS": "2", "MENAGERIE_BODY_SECONDS": "2", "MENAGERIE_WRITE_SECONDS": "2"}
    sent = [post(path, body, chunked=chunked) for path, body in BODIES.items() for chunked in (False, True)]

    def send_slowly(request: bytes) -> list[int]:
        body = request.find(b"\r\n\r\n") + 4
        cuts = [0, 20, body - 6, body + 12, len(request) - 6, len(request)]
        statuses = []
        with connected(server.port) as client:
            for _ in range(3):
                for start, end in pairwise(cuts):
                    time.sleep(0.7 if start else 0)
                    client.sendall(request[start:end])
                statuses.append(receive(client).status)
                time.sleep(0.8)
        return statuses

    with serving(**settings, **ONE_WORKER) as server, ThreadPoolExecutor(len(sent)) as pool:
        assert list(pool.map(send_slowly, sent)) == [[200] * 3] * len(sent)
