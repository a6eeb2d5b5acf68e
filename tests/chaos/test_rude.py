"""Callers who are slow, silent or greedy: each is let go in time, takes little memory, and the others are answered."""

import asyncio
import re
import resource
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

import pytest
from support.bad_input import GOOD
from support.closed_loop_clients import Load, post
from support.fault_reports import Report
from support.gunicorn_server import serving

LIMITS = {
    "MENAGERIE_HEAD_SECONDS": "1",
    "MENAGERIE_BODY_SECONDS": "1",
    "MENAGERIE_WRITE_SECONDS": "1",
    "MENAGERIE_MAX_CONNECTIONS": "500",
    "WEB_CONCURRENCY": "1",
}
WHOLE = post("/predict", GOOD)
HEAD = WHOLE[: WHOLE.find(b"\r\n\r\n") + 4]
CHUNKED = post("/predict", GOOD, chunked=True).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
BATCH = post("/predict", b'{"instances": [%s]}' % b", ".join([b"[6.8, 31, 42, 36, 11.4, 8.2, 7.6, 38.6]"] * 9_000))
_LATEST = 30.0  # seconds; the limits are 1 to 3


class Rude(NamedTuple):
    """What a caller sends, piece by piece, and how long it waits between them, in seconds."""

    what: str
    pieces: Callable[[], Iterable[bytes]]
    gap: float = 0.1
    half_closed: bool = False
    how_many: int = 100


def dripped(start: bytes, rest: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: chain([start], (rest[place : place + 1] for place in range(len(rest))))


RUDE = [
    Rude("silent from the start", list),
    Rude("silent after half a head", lambda: [HEAD[:30]]),
    Rude("a head byte by byte", dripped(b"", HEAD)),
    Rude("another path's head byte by byte", dripped(b"GET /", b"x" * 5_000)),
    Rude("a body that never comes", lambda: [HEAD]),
    Rude("a body byte by byte", dripped(HEAD, GOOD)),
    Rude("a chunked body byte by byte", dripped(CHUNKED, b"1\r\n \r\n" * 5_000)),
    Rude(
        "a chunked body without end",
        lambda: chain([CHUNKED], repeat(b"8000\r\n%s\r\n" % (b" " * 0x8000))),
        0.001,
        how_many=20,
    ),
    Rude("headers without end", lambda: chain([b"GET / HTTP/1.1\r\n"], repeat(b"A: %s\r\n" % (b"b" * 900))), 0.001),
    Rude("a header without end", lambda: chain([b"GET / HTTP/1.1\r\nA: "], repeat(b"b" * 1_000)), 0.001),
    Rude("trailers without end", lambda: chain([CHUNKED + b"0\r\n"], repeat(b"A: b\r\n")), 0.001),
    Rude("large answers never read", lambda: repeat(BATCH), 0.001, how_many=10),
    Rude("one request after another, no answer read", lambda: repeat(WHOLE * 50), 0.001, how_many=20),
    Rude("half closed in the middle of a body", lambda: [HEAD], half_closed=True),
]


def _gone(caller: socket.socket) -> bool:
    """Whether the service has closed the connection."""
    poll = select.poll()
    poll.register(caller, select.POLLRDHUP)
    return bool(poll.poll(0))


async def bother(port: int, rude: Rude) -> float:
    """Seconds until the service let go of one such caller."""
    loop = asyncio.get_running_loop()
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.setblocking(False)
        await loop.sock_connect(caller, ("127.0.0.1", port))
        started, rest = loop.time(), b""
        pieces = chain(rude.pieces(), repeat(b""))
        while not _gone(caller):
            assert loop.time() - started < _LATEST, rude.what
            rest = rest or next(pieces)
            try:
                rest = rest[caller.send(rest) :] if rest else rest
            except BlockingIOError:
                pass
            except ConnectionError:
                break
            if rude.half_closed and not rest:
                caller.shutdown(socket.SHUT_WR)
                rude = rude._replace(half_closed=False)
            await asyncio.sleep(rude.gap)
        return loop.time() - started


async def bother_at_once(port: int, rude: Rude) -> float:
    return max(await asyncio.gather(*(bother(port, rude) for _ in range(rude.how_many))))


def megabytes(pid: int, field: str = "VmRSS") -> float:
    found = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1000


def worker_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


@pytest.mark.parametrize("rude", RUDE, ids=lambda rude: rude.what)
def test_a_rude_caller_is_let_go(report: Report, rude: Rude) -> None:
    """In time, within little memory, while others are answered."""
    with serving(**LIMITS) as server:
        worker = worker_of(server.process.pid)
        with Load(server.port, max_requests=60, clients=4):
            pass
        before = megabytes(worker)
        with Load(server.port, clients=4) as load:
            took = asyncio.run(bother_at_once(server.port, rude))
        grown = megabytes(worker, "VmHWM") - before
    report(rude.what, rude.how_many, load.result, f"let go after {took:.1f} s, {grown:.0f} MB more at most")
    assert (load.result.lost, load.result.wrong, set(load.result.statuses)) == (0, 0, {200})
    assert grown < 150


def allow_files(wanted: int) -> None:
    """So many for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))


@pytest.mark.parametrize("roomy", [False, True], ids=["more than are allowed", "all allowed"])
def test_a_crowd_of_idle_callers_hinders_nobody(report: Report, long: bool, roomy: bool) -> None:
    """Beyond what is allowed those at rest for longest go, and else they stay; whoever asks is answered."""
    most = 10_000 if long else 1_500
    allowed = most + 500 if roomy else 500
    allow_files(most + 1_000)
    idle: list[socket.socket] = []
    limits = LIMITS | {"MENAGERIE_HEAD_SECONDS": "60", "MENAGERIE_MAX_CONNECTIONS": str(allowed)}
    with serving(**limits) as server:
        worker = worker_of(server.process.pid)
        before = megabytes(worker)
        with Load(server.port, clients=4) as load:
            for number in range(most):
                idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
                if number % 100 == 0:
                    time.sleep(0.2)
            time.sleep(1)
            staying = sum(not _gone(caller) for caller in idle)
        files = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        grown = megabytes(worker, "VmHWM") - before
    for caller in idle:
        caller.close()
    report(
        f"idle connections, {allowed:,} allowed",
        most,
        load.result,
        f"{files:,} files open, {grown:.0f} MB more at most",
    )
    assert staying == most if roomy else staying <= allowed
    assert files < allowed + 200
    assert (load.result.lost, load.result.wrong, set(load.result.statuses)) == (0, 0, {200})
