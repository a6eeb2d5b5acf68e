"""The fast path responds as gunicorn's own way does, however the bytes come in."""

import json
import re
import socket
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bad_input import GOOD
from support.gunicorn_server import Server, serving
from support.known_animals import LLAMA, MAINE_COON

SAME = b"X-Request-ID: same\r\n"
ROWS = json.dumps({"instances": [LLAMA, MAINE_COON]}).encode()
TENSOR = json.dumps(
    {"inputs": [{"name": "features", "shape": [1, 8], "datatype": "FP32", "data": LLAMA}]},
).encode()


FAST = {"MENAGERIE_FAST_PATH": "true"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The service with the fast path."""
    with serving(**FAST) as ready:
        yield ready


@pytest.fixture(scope="module")
def slow_server() -> Iterator[Server]:
    """The same service without the fast path: gunicorn's protocol and the ASGI application."""
    with serving(MENAGERIE_FAST_PATH="false") as ready:
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
    # Simple to gunicorn: after these the fast path takes over again.
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
    request(host=b"Host: @\r\n"),  # as long as that of a simple request
    request(host=b"Host: a b\r\n"),
    request(host=b"Host: u@x\r\n"),
    request(host=b"Host: x:99999\r\n"),
    request(host=b"Host: x:8o\r\n"),
    request(host=b"Host: [::1\r\n"),
    request(host=b"Host: [::1]:80\r\n"),
    request(host=b"Host: x_y.example:\r\n"),
    request(start=b"POST http://@/predict HTTP/1.1"),
    request(start=b"POST http://x:80/v2/models/animals/infer?a HTTP/1.1"),
    request(start=b"POST /predict HTTP/1.0", more=b"Connection: keep-alive\r\n"),
    request(start=b"OPTIONS * HTTP/1.1", body=b"", content_type=b""),
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
    request(more=b"X-Forwarded-Proto: http\r\nX-Forwarded-Protocol: ssl\r\n"),
    request(more=b"A: b\r\n" * 120),
    request(more=b"A: " + b"b" * 9000 + b"\r\n"),
]


def exchange(
    server: Server, segments: Sequence[bytes], responses: int, pause: float = 0.001
) -> list[tuple[bytes, bytes]]:
    """Send segment by segment; (status, body) of each response until there are so many or the server closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for segment in segments:
                client.sendall(segment)
                time.sleep(pause if len(segments) > 1 else 0)
            while len(parsed := parse(received)) < responses and (more := client.recv(65536)):
                received += more
        except (ConnectionResetError, BrokenPipeError):  # closed on us while we sent
            parsed = parse(received)
    return parsed


def parse(received: bytes) -> list[tuple[bytes, bytes]]:
    parsed = []
    while (end := received.find(b"\r\n\r\n") + 4) > 3:
        head = received[:end]
        length = int((re.search(rb"(?i)content-length: (\d+)", head) or [b"", b"0"])[1])
        if len(received) < end + length:
            break
        parsed.append((head.split(b" ")[1], received[end : end + length]))
        received = received[end + length :]
    return parsed


def cut(stream: bytes, offsets: Sequence[int]) -> list[bytes]:
    ends = [0, *sorted({offset % len(stream) for offset in offsets} - {0}), len(stream)]
    return [stream[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_odd_request_gets_gunicorns_response(server: Server, slow_server: Server, odd: bytes) -> None:
    """Before, after and between simple ones: the same responses, and the same end of the connection."""
    for requests_ in ([odd], [SIMPLE[0], odd], [odd, SIMPLE[0]], [SIMPLE[0], odd, SIMPLE[0]]):
        expected = exchange(slow_server, requests_, len(requests_))
        assert exchange(server, requests_, len(requests_)) == expected
    assert expected[0][0] == b"200"


def test_each_host_is_checked(server: Server) -> None:
    """Also where heads differ in nothing else: the fast path has seen several valid ones before."""
    hosts = [b"x", b"y", b"x", b"@", b"z", b"y", b'"', b"x"] * 2
    sent = [request(host=b"Host: %b\r\n" % host) for host in hosts]
    statuses = [status for status, _ in exchange(server, sent, len(sent))]
    assert statuses == [b"200" if host.isalpha() else b"400" for host in hosts]


@given(st.lists(st.sampled_from(SIMPLE), min_size=1, max_size=4), st.lists(st.integers(0, 10**6), max_size=5))
def test_segments_change_nothing(server: Server, slow_server: Server, requests_: list[bytes], cuts: list[int]) -> None:
    """However a stream of simple requests is cut into segments, pipelined or not, it gets the same responses."""
    expected = exchange(slow_server, requests_, len(requests_))
    assert len(expected) == len(requests_)
    assert exchange(server, cut(b"".join(requests_), cuts), len(requests_)) == expected
    assert exchange(server, requests_, len(requests_)) == expected


def test_the_end_of_a_request_is_not_taken_for_another(server: Server, slow_server: Server) -> None:
    """While gunicorn holds the beginning of a request, its end is gunicorn's too, even if it looks like a request."""
    begun = request(start=b"GET /livez HTTP/1.1", body=b"", content_type=b"") + b"GET /nowhere HTTP/1.1\r\nA: "
    expected = exchange(slow_server, [begun, SIMPLE[0]], 2)
    assert [status for status, _ in expected] == [b"200", b"404"]
    assert exchange(server, [begun, SIMPLE[0]], 2, pause=0.2) == expected


def test_clients_that_leave_delay_no_shutdown() -> None:
    """Incomplete requests are forgotten with their connections."""
    with serving(**FAST) as server:
        for size in (1, 30, 100, -1):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(request()[:size])
                time.sleep(0.1)
        server.process.terminate()
        assert server.process.wait(5) == 0


def test_an_incomplete_head_delays_no_shutdown() -> None:
    """The drain waits for requests only."""
    with serving(**FAST) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"P")
        time.sleep(0.1)
        server.process.terminate()
        assert server.process.wait(5) == 0


@pytest.mark.parametrize("argument", ["--keep-alive=0", "--limit-request-fields=5", "--access-logfile=/dev/null"])
def test_settings_that_only_gunicorn_heeds_turn_the_fast_path_off(argument: str) -> None:
    """With such a setting every request goes gunicorn's own way."""
    with serving(argument, **FAST) as server:
        sent = request(more=b"A: b\r\nC: d\r\n")
        statuses = [status for status, _ in exchange(server, [sent, sent], 2)]
        expected = {"--keep-alive=0": [b"200"], "--limit-request-fields=5": [b"431"]}
        assert statuses == expected.get(argument, [b"200", b"200"])


def test_the_short_way_keeps_the_limits() -> None:
    """A body slow_server than allowed is refused, however short it is."""
    with serving(MENAGERIE_MAX_BODY_BYTES="20") as server:
        assert exchange(server, [request()], 1)[0][0] == b"413"


def test_a_closed_connection_leaks_no_memory() -> None:
    """Thousands of short connections leave nothing behind."""
    with serving(**FAST, WEB_CONCURRENCY="1") as server:
        worker = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().strip()
        sizes = []
        for _ in range(6):
            for _ in range(1500):
                exchange(server, [request()], 1)
            sizes.append(int((re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{worker}/status").read_text()) or [0, 0])[1]))
        assert sizes[-1] - sizes[2] < 5_000  # kB; it was 7 a connection
