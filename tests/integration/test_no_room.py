"""The fast path refuses what no thread is free for before its body arrives, and keeps the connection."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from itertools import takewhile

import pytest
import requests
from support.bad_input import GOOD
from support.closed_loop_clients import post
from support.gunicorn_server import Server, serving

BATCH = b'{"instances": [%s]}' % b", ".join([b"[6.8, 31, 42, 36, 11.4, 8.2, 7.6, 38.6]"] * 9_000)
JSON = {"Content-Type": "application/json"}
LONG_REQUEST, EXPLAIN = post("/predict", BATCH), post("/explain", GOOD)


@pytest.fixture(scope="module")
def busy() -> Iterator[Server]:
    """A service with room for one request in threads, always taken."""
    settings = {"MENAGERIE_MAX_CONCURRENCY": "1", "MENAGERIE_THREADS": "1", "MENAGERIE_MAX_BODY_BYTES": "100000000"}
    with serving(MENAGERIE_FAST_PATH="true", WEB_CONCURRENCY="1", **settings) as server:
        is_over = threading.Event()

        def keep_busy() -> None:
            with requests.Session() as session:
                while not is_over.is_set():
                    with suppress(requests.RequestException):  # the server may close while it sends
                        session.post(f"{server.url}/predict", data=BATCH, headers=JSON, timeout=20)

        threads = [threading.Thread(target=keep_busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        yield server
        is_over.set()
        for thread in threads:
            thread.join()


def exchange(client: socket.socket, *pieces: bytes) -> list[bytes]:
    """The status of a response to each piece, which is awaited before the next piece is sent."""
    statuses = []
    with client.makefile("rb") as stream:
        for piece in pieces:
            client.sendall(piece)
            lines = list(takewhile(bytes.strip, stream))
            assert lines, "the server closed"
            stream.read(next(int(line[16:]) for line in lines if line.lower().startswith(b"content-length: ")))
            statuses.append(lines[0].split()[1])
            assert (statuses[-1] == b"503") == any(line.lower().startswith(b"retry-after: ") for line in lines)
    return statuses


@pytest.mark.parametrize("whole", [EXPLAIN, LONG_REQUEST], ids=["a short body", "a long one"])
def test_a_connection_outlives_a_refusal(busy: Server, whole: bytes) -> None:
    """The response comes before the body, which is discarded; later requests are answered, on the fast path or not."""
    head = whole.find(b"\r\n\r\n") + 4
    for _ in range(20):  # until the room is taken
        with socket.create_connection(("127.0.0.1", busy.port), timeout=20) as client:
            client.sendall(whole[:head])
            client.settimeout(0.5)
            try:
                early = client.recv(4096, socket.MSG_PEEK)
            except TimeoutError:
                continue
            assert early.startswith(b"HTTP/1.1 503 ")
            if b"\r\nConnection: close\r\n" in early:  # there was room at the first look, and none at the second
                continue
            client.settimeout(20)
            live = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            assert exchange(client, whole[head:] + post("/predict", GOOD), b"", live) == [b"503", b"200", b"200"]
            return
    pytest.fail("there was always room")


def test_a_client_that_sends_a_long_body_first_reads_the_refusal(busy: Server) -> None:
    """80 MB are refused for the threads, or if there is room at that moment, for MENAGERIE_MAX_PENDING_BYTES."""
    for _ in range(3):
        with closing(HTTPConnection("127.0.0.1", busy.port, timeout=60)) as client:
            client.request("POST", "/predict", bytes(80_000_000), JSON)
            assert client.getresponse().status == 503
