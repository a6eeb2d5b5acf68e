"""Every limit, reached for real: who is beyond it is told in his protocol's words, and who is not is not cut off."""

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
SHORTLY = {"WEB_CONCURRENCY": "1", "MENAGERIE_DRAIN_SECONDS": "0"}


@contextmanager
def connected(port: int, sent: bytes = b"") -> Iterator[socket.socket]:
    """A caller who has sent so much."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as caller:
        caller.sendall(sent)
        yield caller


def receive(caller: socket.socket) -> HttpResponse:
    with HTTPResponse(caller) as answer:
        answer.begin()
        return HttpResponse(answer.status, Headers(answer.getheaders()), answer.read())


def ask(port: int, sent: bytes) -> HttpResponse:
    with connected(port, sent) as caller:
        return receive(caller)


def await_refusal(port: int, sent: bytes) -> HttpResponse:
    """The first answer that is not 200: what it is refused for may take a moment to come in."""
    deadline = time.monotonic() + 30
    while (answer := ask(port, sent)).status == 200:
        assert time.monotonic() < deadline, "never refused"
    return answer


def require_told(answer: HttpResponse, path: str, status: int, problem: str) -> None:
    """Natively a problem (RFC 9457), elsewhere an ``error``."""
    told = json.loads(answer.body)
    assert answer.status == status, told
    if path.startswith("/v"):
        assert (answer.headers["Content-Type"], told.keys()) == ("application/json", {"error"})
    else:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (told["type"], told["status"]) == (f"urn:menagerie:problem:{problem}", status)
    assert answer.headers["X-Request-ID"]


def test_bodies_beyond_what_is_held_are_refused() -> None:
    """While one body is held, another that would be too much is 503 in every protocol; a small one is answered."""
    settings = {"MENAGERIE_MAX_PENDING_BYTES": "200000", "MENAGERIE_BODY_SECONDS": "60", **SHORTLY}
    held = post("/predict", GOOD.ljust(150_000))
    with serving(**settings) as server:
        with connected(server.port, held[:-10]) as first:
            for path, body in BODIES.items():
                refused = await_refusal(server.port, post(path, body.ljust(100_000)))
                require_told(refused, path, 503, "overloaded")
                assert refused.headers["Retry-After"] == "1"
                assert ask(server.port, post(path, body)).status == 200
            first.sendall(held[-10:])
            assert receive(first).status == 200
        for path, body in BODIES.items():
            assert ask(server.port, post(path, body.ljust(100_000))).status == 200


def test_work_beyond_what_is_taken_on_is_refused() -> None:
    """While batches take all the room, what needs some is 503 in every protocol; what needs none is answered."""
    settings = {"MENAGERIE_MAX_CONCURRENCY": "2", "MENAGERIE_THREADS": "1", **SHORTLY}
    batch = Exchange(post("/predict", BATCH), lambda body: len(json.loads(body)["predictions"]) == 10_000)
    with serving(**settings) as server:
        with Load(server.port, clients=6, exchanges=[batch], refusal_pause=0.05) as load:
            for path, body in BODIES.items():
                refused = await_refusal(server.port, post(path, body.ljust(20_000)))
                require_told(refused, path, 503, "overloaded")
                assert refused.headers["Retry-After"] == "1"
                if path != "/explain":
                    assert ask(server.port, post(path, body)).status == 200
        assert ask(server.port, post("/predict", BATCH)).status == 200
    assert (load.result.lost, load.result.wrong) == (0, 0)
    assert set(load.result.statuses) == {200, 503}


def test_a_late_body_is_told_of() -> None:
    """408, short or long, of known length or chunked, in every protocol; the connection ends with it."""
    late = [
        (path, sent[:-7])
        for path, body in BODIES.items()
        for sent in (post(path, body), post(path, body.ljust(20_000)), post(path, body, chunked=True))
    ]
    with serving(MENAGERIE_BODY_SECONDS="0.5", **SHORTLY) as server, ThreadPoolExecutor(len(late)) as pool:

        def wait(path: str, sent: bytes) -> None:
            with connected(server.port, sent) as caller:
                answer = receive(caller)
                require_told(answer, path, 408, "too-slow")
                assert answer.headers["Connection"] == "close"
                assert caller.recv(1) == b""

        assert list(pool.map(lambda each: wait(*each), late)) == [None] * len(late)


@pytest.mark.parametrize("sent", [b"P", b"POST /predict HTTP/1.1\r\nHost", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
def test_a_late_head_is_told_of(sent: bytes) -> None:
    """408, and the end of the connection."""
    with serving(MENAGERIE_HEAD_SECONDS="0.5", **SHORTLY) as server, connected(server.port, sent) as caller:
        answer = receive(caller)
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        assert caller.recv(1) == b""


def test_who_says_nothing_is_told_nothing() -> None:
    """A connection without a byte is closed."""
    with serving(MENAGERIE_HEAD_SECONDS="0.5", **SHORTLY) as server, connected(server.port) as caller:
        assert caller.recv(1) == b""


def test_a_head_without_end_is_told_of() -> None:
    """431 once all of it together is too long, though each field is not."""
    fields = b"".join(b"A%d: %s\r\n" % (number, b"b" * 8000) for number in range(9))
    with serving(**SHORTLY) as server, connected(server.port, b"GET /livez HTTP/1.1\r\nHost: x\r\n" + fields) as caller:
        answer = receive(caller)
        assert (answer.status, answer.headers["Connection"]) == (431, "close")


def test_connections_beyond_what_is_allowed_are_refused() -> None:
    """With everybody busy one more is 503; once some rest, the one that has for longest makes room."""
    settings = {"MENAGERIE_MAX_CONNECTIONS": "3", "MENAGERIE_BODY_SECONDS": "60", **SHORTLY}
    wholes = [post("/predict", GOOD), post("/explain", GOOD), post("/v1/models/animals:predict", b"{}", chunked=True)]
    with (
        serving(**settings) as server,
        connected(server.port, wholes[0][:-1]) as one,
        connected(server.port, wholes[1][:-1]) as two,
        connected(server.port, wholes[2][:-1]) as three,
    ):
        time.sleep(0.5)  # until all of it is read
        with connected(server.port) as four:
            refused = receive(four)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
            assert (refused.headers["Connection"], four.recv(1)) == ("close", b"")
        one.sendall(wholes[0][-1:])
        assert receive(one).status == 200
        time.sleep(1.5)  # less is no rest
        with connected(server.port, wholes[0]) as five:
            assert receive(five).status == 200
            assert one.recv(1) == b""
            for caller, whole, status in ((two, wholes[1], 200), (three, wholes[2], 400)):
                caller.sendall(whole[-1:])
                assert receive(caller).status == status


def test_a_slow_caller_within_the_limits_is_not_cut_off() -> None:
    """He pauses between requests, inside heads and inside bodies, never for too long: each has its own time."""
    settings = {"MENAGERIE_HEAD_SECONDS": "2", "MENAGERIE_BODY_SECONDS": "2", "MENAGERIE_WRITE_SECONDS": "2"}
    asked = [post(path, body, chunked=chunked) for path, body in BODIES.items() for chunked in (False, True)]

    def dawdle(sent: bytes) -> list[int]:
        body = sent.find(b"\r\n\r\n") + 4
        places = [0, 20, body - 6, body + 12, len(sent) - 6, len(sent)]
        statuses = []
        with connected(server.port) as caller:
            for _ in range(3):
                for start, end in pairwise(places):
                    time.sleep(0.7 if start else 0)
                    caller.sendall(sent[start:end])
                statuses.append(receive(caller).status)
                time.sleep(0.8)
        return statuses

    with serving(**settings, **SHORTLY) as server, ThreadPoolExecutor(len(asked)) as pool:
        assert list(pool.map(dawdle, asked)) == [[200] * 3] * len(asked)
