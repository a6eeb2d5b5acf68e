"""What there is no room for is refused before it is here, and the connection goes on."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile

import pytest
import requests
from support.bad_input import GOOD
from support.closed_loop_clients import post
from support.gunicorn_server import Server, serving

BATCH = b'{"instances": [%s]}' % b", ".join([b"[6.8, 31, 42, 36, 11.4, 8.2, 7.6, 38.6]"] * 9_000)
JSON = {"Content-Type": "application/json"}
LONG, EXPLAIN = post("/predict", BATCH), post("/explain", GOOD)


@pytest.fixture(scope="module")
def busy() -> Iterator[Server]:
    """A service with room for one piece of work, always taken."""
    with serving(WEB_CONCURRENCY="1", MENAGERIE_MAX_CONCURRENCY="1", MENAGERIE_THREADS="1") as server:
        over = threading.Event()

        def keep_busy() -> None:
            with requests.Session() as session:
                while not over.is_set():
                    with suppress(requests.RequestException):  # it may be closed on while it sends
                        session.post(f"{server.url}/predict", data=BATCH, headers=JSON, timeout=20)

        threads = [threading.Thread(target=keep_busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        yield server
        over.set()
        for thread in threads:
            thread.join()


def answers(caller: socket.socket, *pieces: bytes) -> list[bytes]:
    """The statuses of as many answers as there are pieces, each awaited before the next is sent."""
    statuses = []
    with caller.makefile("rb") as stream:
        for piece in pieces:
            caller.sendall(piece)
            lines = list(takewhile(bytes.strip, stream))
            assert lines, "closed on"
            stream.read(next(int(line[16:]) for line in lines if line.lower().startswith(b"content-length: ")))
            statuses.append(lines[0].split()[1])
            assert (statuses[-1] == b"503") == any(line.lower().startswith(b"retry-after: ") for line in lines)
    return statuses


@pytest.mark.parametrize("whole", [EXPLAIN, LONG], ids=["a short body", "a long one"])
def test_a_connection_outlives_a_refusal(busy: Server, whole: bytes) -> None:
    """The answer comes before the body, which is passed over; what follows is answered, the short way or not."""
    head = whole.find(b"\r\n\r\n") + 4
    for _ in range(20):  # until the room is taken
        with socket.create_connection(("127.0.0.1", busy.port), timeout=20) as caller:
            caller.sendall(whole[:head])
            caller.settimeout(0.5)
            try:
                early = caller.recv(4096, socket.MSG_PEEK)
            except TimeoutError:
                continue
            assert early.startswith(b"HTTP/1.1 503 ")
            if b"\r\nConnection: close\r\n" in early:  # there was room at the first look, and none at the second
                continue
            caller.settimeout(20)
            live = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            assert answers(caller, whole[head:] + post("/predict", GOOD), b"", live) == [b"503", b"200", b"200"]
            return
    pytest.fail("there was always room")
