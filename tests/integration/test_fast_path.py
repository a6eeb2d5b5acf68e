"""The short way for simple predictions: it answers what gunicorn's own way answers, however the bytes come in."""

import inspect
import json
import re
import socket
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker
from hypothesis import given
from hypothesis import strategies as st
from support.bad_input import GOOD
from support.gunicorn_server import Server, serving
from support.known_animals import LLAMA, MAINE_COON

from service.server.fast_path import Lane

SAME = b"X-Request-ID: same\r\n"
ROWS = json.dumps({"instances": [LLAMA, MAINE_COON]}).encode()
TENSOR = json.dumps(
    {"inputs": [{"name": "features", "shape": [1, 8], "datatype": "FP32", "data": LLAMA}]},
).encode()


@pytest.fixture(scope="module")
def longer() -> Iterator[Server]:
    """The same service on gunicorn's own way only, which an access log asks for."""
    with serving("--access-logfile", "/dev/null") as ready:
        yield ready


def request(  # noqa: PLR0913, PLR0917 (each is one part of a request)
    body: bytes = GOOD,
    start: bytes = b"POST /predict HTTP/1.1",
    host: bytes = b"Host: x\r\n",
    content_type: bytes = b"Content-Type: application/json\r\n",
    length: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if length is None else length
    return start + b"\r\n" + host + SAME + content_type + more + length + b"\r\n" + body


SIMPLE = [
    request(),
    request(b"{"),
    request(b""),
    request(content_type=b""),
    request(content_type=b"content-type: application/json;charset=utf-8\r\n"),
    request(content_type=b"Content-Type:application/json\r\n"),
    request(more=b"Accept: */*\r\nUser-Agent: a (b; c) d/1.0\r\n"),
    request(b" " * 20_000 + GOOD),
    request(ROWS, start=b"POST /v1/models/animals:predict HTTP/1.1"),
    request(ROWS, start=b"POST /v1/models/animals/versions/1:predict HTTP/1.1", content_type=b""),
    request(TENSOR, start=b"POST /v2/models/animals/infer HTTP/1.1"),
    request(
        b"\0" * 32, start=b"POST /v2/models/animals/infer HTTP/1.1", more=b"Inference-Header-Content-Length: 0\r\n"
    ),
    request(TENSOR, start=b"POST /v2/models/plants/infer HTTP/1.1"),
    # Simple to gunicorn: after these the short way is open again.
    request(start=b"GET /livez HTTP/1.1", body=b"", content_type=b""),
    request(length=b"Transfer-Encoding: chunked\r\n", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
]
ODD = [
    request(start=b"GET /livez HTTP/1.1", body=b"", content_type=b""),
    request(start=b"POST /predict HTTP/1.0"),
    request(start=b"POST /nowhere HTTP/1.1"),
    request(start=b"POST //predict HTTP/1.1"),
    request(start=b"POST /./predict HTTP/1.1"),
    request(start=b"POST /v2/../predict HTTP/1.1"),
    request(start=b"POST /pr%65dict HTTP/1.1"),
    request(start=b"POST /livez HTTP/1.1"),
    request(start=b"POST /v2/models/animals/infer?a HTTP/1.1"),
    request(start=b"POST * HTTP/1.1"),
    request(start=b"POST / HTTP/1.1"),
    request(start=b"POST /predict?a=b HTTP/1.1"),
    request(start=b"POST http://x/predict HTTP/1.1"),
    request(start=b"POST  /predict HTTP/1.1"),
    request(start=b"post /predict HTTP/1.1"),
    request(start=b"POST /predict HTTP/1.1 "),
    request(start=b"POST /predict HTTP/2.0"),
    request(start=b"\r\nPOST /predict HTTP/1.1"),
    request(host=b""),
    request(host=b"Host: x\r\nHost: y\r\n"),
    request(host=b"Host:\r\n"),
    request(content_type=b"Content-Type: text/plain\r\nContent-Type: application/json\r\n"),
    request(length=b""),
    request(length=b"Content-Length: +%d\r\n" % len(GOOD)),
    request(length=b"Content-Length: %d, %d\r\n" % (len(GOOD), len(GOOD))),
    request(length=b"Content-Length: %d\r\nContent-Length: 3\r\n" % len(GOOD)),
    request(length=b"Content-Length: 0x10\r\n"),
    request(length=b"Content-Length: -1\r\n"),
    request(length=b"Content-Length : %d\r\n" % len(GOOD)),
    request(length=b"Transfer-Encoding: chunked\r\n", body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
    request(more=b"Transfer-Encoding: chunked\r\n", body=b"0\r\n\r\n"),
    request(more=b"Connection: close\r\n"),
    request(more=b"Connection: keep-alive\r\n"),
    request(more=b"Expect: something\r\n"),
    request(more=b"Upgrade: websocket\r\nConnection: Upgrade\r\n"),
    request(more=b"A: b\r\n c\r\n"),
    request(more=b"A: b\x00c\r\n"),
    request(more=b"A: b\nContent-Length: 3\r\n"),
    request(more=b"A: b\x7f\r\n"),
    request(more=b"A: \xff\r\n"),
    request(more=b"A_B: c\r\n"),
    request(more=b"A B: c\r\n"),
    request(more=b": c\r\n"),
    request(more=b"no colon\r\n"),
    request(more=b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n"),
    request(more=b"A: b\r\n" * 120),
    request(more=b"A: " + b"b" * 9000 + b"\r\n"),
]


def exchange(
    server: Server, segments: Sequence[bytes], answers: int, pause: float = 0.001
) -> list[tuple[bytes, bytes]]:
    """Send segment by segment; (status, body) of each answer until there are so many or the server closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for segment in segments:
                caller.sendall(segment)
                time.sleep(pause if len(segments) > 1 else 0)
            while len(found := parse(received)) < answers and (more := caller.recv(65536)):
                received += more
        except (ConnectionResetError, BrokenPipeError):  # closed on us while we sent
            found = parse(received)
    return found


def parse(received: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    while (end := received.find(b"\r\n\r\n") + 4) > 3:
        head = received[:end]
        length = int((re.search(rb"(?i)content-length: (\d+)", head) or [b"", b"0"])[1])
        if len(received) < end + length:
            break
        found.append((head.split(b" ")[1], received[end : end + length]))
        received = received[end + length :]
    return found


def cut(whole: bytes, at: Sequence[int]) -> list[bytes]:
    places = [0, *sorted({place % len(whole) for place in at} - {0}), len(whole)]
    return [whole[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_odd_request_gets_what_gunicorn_gives(server: Server, longer: Server, odd: bytes) -> None:
    """Before, after and between simple ones: the same answers, and the same end of the connection."""
    for requests_ in ([odd], [SIMPLE[0], odd], [odd, SIMPLE[0]], [SIMPLE[0], odd, SIMPLE[0]]):
        expected = exchange(longer, requests_, len(requests_))
        assert exchange(server, requests_, len(requests_)) == expected
    assert expected[0][0] == b"200"


@given(st.lists(st.sampled_from(SIMPLE), min_size=1, max_size=4), st.lists(st.integers(0, 10**6), max_size=5))
def test_segments_mean_nothing(server: Server, longer: Server, requests_: list[bytes], at: list[int]) -> None:
    """However a stream of simple requests is cut into segments, pipelined or not, it gets the same answers."""
    expected = exchange(longer, requests_, len(requests_))
    assert len(expected) == len(requests_)
    assert exchange(server, cut(b"".join(requests_), at), len(requests_)) == expected
    assert exchange(server, requests_, len(requests_)) == expected


def test_a_request_cut_into_what_looks_like_another_is_none(server: Server, longer: Server) -> None:
    """The short way is not open again while gunicorn holds the beginning of a request, however its end begins."""
    begun = request(start=b"GET /livez HTTP/1.1", body=b"", content_type=b"") + b"GET /nowhere HTTP/1.1\r\nA: "
    expected = exchange(longer, [begun, SIMPLE[0]], 2)
    assert [status for status, _ in expected] == [b"200", b"404"]
    assert exchange(server, [begun, SIMPLE[0]], 2, pause=0.2) == expected


def test_a_caller_who_leaves_holds_up_nothing() -> None:
    """Requests that never came to their end are forgotten with their connections: the service ends at once."""
    with serving(MENAGERIE_DRAIN_SECONDS="0") as server:
        for place in (1, 30, 100, -1):
            with socket.create_connection(("127.0.0.1", server.port)) as caller:
                caller.sendall(request()[:place])
                time.sleep(0.1)
        server.process.terminate()
        assert server.process.wait(5) == 0


def test_a_head_that_never_ends_holds_up_nothing() -> None:
    """What is no request yet is nothing to wait for."""
    with serving(MENAGERIE_DRAIN_SECONDS="0") as server, socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(b"P")
        time.sleep(0.1)
        server.process.terminate()
        assert server.process.wait(5) == 0


@pytest.mark.parametrize("argument", ["--keep-alive=0", "--limit-request-fields=5", "--access-logfile=/dev/null"])
def test_what_only_gunicorn_heeds_is_heeded(argument: str) -> None:
    """With such a setting every request goes gunicorn's own way."""
    with serving(argument) as server:
        asked = request(more=b"A: b\r\nC: d\r\n")
        statuses = [status for status, _ in exchange(server, [asked, asked], 2)]
        expected = {"--keep-alive=0": [b"200"], "--limit-request-fields=5": [b"431"]}
        assert statuses == expected.get(argument, [b"200", b"200"])


def test_the_short_way_keeps_the_limits() -> None:
    """A body longer than allowed is refused, however short it is."""
    with serving(MENAGERIE_MAX_BODY_BYTES="20") as server:
        assert exchange(server, [request()], 1)[0][0] == b"413"


def test_a_closed_connection_is_forgotten() -> None:
    """Thousands of short connections leave nothing behind."""
    with serving(WEB_CONCURRENCY="1") as server:
        worker = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().strip()
        grown = []
        for _ in range(6):
            for _ in range(1500):
                exchange(server, [request()], 1)
            grown.append(int((re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{worker}/status").read_text()) or [0, 0])[1]))
        assert grown[-1] - grown[2] < 5_000  # kB; it was 7 a connection


def test_the_short_way_belongs_to_one_release_of_gunicorn() -> None:
    """It uses private names, which another release may not have or mean otherwise."""
    assert version("gunicorn") == "27.0.1"
    assert inspect.getsource(ASGIWorker).count("ASGIProtocol(self)") == 1  # the name that is replaced
    assert issubclass(Lane, ASGIProtocol)
    for method in (
        "_arm_keepalive_timer",
        "_close_transport",
        "_keepalive_timeout",
        "_send_error_response",
        "_will_close",
    ):
        assert callable(getattr(ASGIProtocol, method))
    kept = inspect.getsource(ASGIProtocol)
    for name in ("_awaiting_request", "_body_receiver", "_callback_parser", "_current_request", "_flow_control"):
        assert f"self.{name} = " in kept
    assert inspect.getsource(ASGIWorker).count("self.servers.append(server)") == 1
