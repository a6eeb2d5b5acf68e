"""Clients that are slow, silent or greedy: each is closed in time, takes little memory, and delays no other."""

import asyncio
import os
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
from support.gunicorn_server import kill, serving

LIMITS = {
    "MENAGERIE_HEAD_SECONDS": "1",
    "MENAGERIE_BODY_SECONDS": "1",
    "MENAGERIE_WRITE_SECONDS": "1",
    "MENAGERIE_LINGER_SECONDS": "1",
    "MENAGERIE_MAX_CONNECTIONS": "500",
    "WEB_CONCURRENCY": "1",
}
WHOLE = post("/predict", GOOD)
HEAD = WHOLE[: WHOLE.find(b"\r\n\r\n") + 4]
CHUNKED = post("/predict", GOOD, chunked=True).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
BATCH = post("/predict", b'{"instances": [%s]}' % b", ".join([b"[6.8, 31, 42, 36, 11.4, 8.2, 7.6, 38.6]"] * 9_000))
_DEADLINE_SECONDS = 30.0  # the limits are 1 to 3


class BadClient(NamedTuple):
    """What a client sends, piece by piece, and how long it waits between pieces, in seconds."""

    name: str
    pieces: Callable[[], Iterable[bytes]]
    gap: float = 0.1
    half_closed: bool = False
    connections: int = 100


def dripped(start: bytes, rest: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: chain([start], (rest[index : index + 1] for index in range(len(rest))))


BAD_CLIENTS = [
    BadClient("silent from the start", list),
    BadClient("silent after half a head", lambda: [HEAD[:30]]),
    BadClient("a head byte by byte", dripped(b"", HEAD)),
    BadClient("another path's head byte by byte", dripped(b"GET /", b"x" * 5_000)),
    BadClient("a body that never comes", lambda: [HEAD]),
    BadClient("a body byte by byte", dripped(HEAD, GOOD)),
    BadClient("a chunked body byte by byte", dripped(CHUNKED, b"1\r\n \r\n" * 5_000)),
    BadClient(
        "a chunked body without end",
        lambda: chain([CHUNKED], repeat(b"8000\r\n%s\r\n" % (b" " * 0x8000))),
        0.001,
        connections=20,
    ),
    BadClient(
        "headers without end", lambda: chain([b"GET / HTTP/1.1\r\n"], repeat(b"A: %s\r\n" % (b"b" * 900))), 0.001
    ),
    BadClient("a header without end", lambda: chain([b"GET / HTTP/1.1\r\nA: "], repeat(b"b" * 1_000)), 0.001),
    BadClient("trailers without end", lambda: chain([CHUNKED + b"0\r\n"], repeat(b"A: b\r\n")), 0.001),
    BadClient("large answers never read", lambda: repeat(BATCH), 0.001, connections=10),
    BadClient("one request after another, no answer read", lambda: repeat(WHOLE * 50), 0.001, connections=20),
    BadClient("half closed in the middle of a body", lambda: [HEAD], half_closed=True),
]


def _is_closed(client: socket.socket) -> bool:
    """Whether the service has closed the connection."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


async def misbehave(port: int, bad: BadClient, is_over: asyncio.Event) -> float:
    """Seconds until the service closed the connection, or its own side of it; go on until all is over, or a reset."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        started, rest, closed_at = loop.time(), b"", 0.0
        pieces = chain(bad.pieces(), repeat(b""))
        while not is_over.is_set():
            assert loop.time() - started < _DEADLINE_SECONDS, bad.name
            closed_at = closed_at or (loop.time() if _is_closed(client) else 0.0)
            rest = rest or next(pieces)
            try:
                rest = rest[client.send(rest) :] if rest else rest
            except BlockingIOError:
                pass
            except ConnectionError:
                break
            if bad.half_closed and not rest:
                client.shutdown(socket.SHUT_WR)
                bad = bad._replace(half_closed=False)
            await asyncio.sleep(bad.gap)
        return (closed_at or loop.time()) - started


async def await_release(worker: int, files: int) -> float:
    """Seconds until a process has no more files open than so many, whatever its clients do."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while len(os.listdir(f"/proc/{worker}/fd")) > files:  # noqa: PTH208 (no disk, and many files)
        assert loop.time() - started < _DEADLINE_SECONDS
        await asyncio.sleep(0.1)
    return loop.time() - started


async def misbehave_at_once(port: int, bad: BadClient, worker: int, files: int) -> tuple[float, float]:
    """Seconds until the service closed the last of the connections, and until it held none, of ``files`` before."""
    is_over = asyncio.Event()
    clients = [asyncio.create_task(misbehave(port, bad, is_over)) for _ in range(bad.connections)]
    await asyncio.sleep(0.5)  # until they are accepted
    held = await await_release(worker, files) + 0.5
    is_over.set()
    return max(await asyncio.gather(*clients)), held


def megabytes(pid: int, field: str = "VmRSS") -> float:
    match = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) / 1000


def worker_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


@pytest.mark.parametrize("bad", BAD_CLIENTS, ids=lambda bad: bad.name)
def test_a_bad_client_is_closed(report: Report, bad: BadClient) -> None:
    """In time and with little memory, while others are answered."""
    with serving(**LIMITS) as server:
        worker = worker_of(server.process.pid)
        with Load(server.port, max_requests=60, clients=4):
            pass
        before, files = megabytes(worker), len(list(Path(f"/proc/{worker}/fd").iterdir()))
        with Load(server.port, clients=4) as load:
            seconds, held = asyncio.run(misbehave_at_once(server.port, bad, worker, files + 4))
        growth = megabytes(worker, "VmHWM") - before
        kill(server)
    notes = f"closed after {seconds:.1f} s, let go after {held:.1f} s, {growth:.0f} MB more at most"
    report(bad.name, bad.connections, load.result, notes)
    assert (load.result.lost, load.result.wrong, set(load.result.statuses)) == (0, 0, {200})
    assert growth < 150


def allow_files(count: int) -> None:
    """Raise the limit of open files, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))


@pytest.mark.parametrize("all_allowed", [False, True], ids=["more than are allowed", "all allowed"])
def test_idle_connections_delay_nobody(report: Report, long: bool, all_allowed: bool) -> None:
    """Beyond the limit the longest idle are closed, and within it none; all requests are answered."""
    count = 10_000 if long else 1_500
    allowed = count + 500 if all_allowed else 500
    allow_files(count + 1_000)
    idle: list[socket.socket] = []
    limits = LIMITS | {"MENAGERIE_HEAD_SECONDS": "60", "MENAGERIE_MAX_CONNECTIONS": str(allowed)}
    with serving(**limits) as server:
        worker = worker_of(server.process.pid)
        before = megabytes(worker)
        with Load(server.port, clients=4) as load:
            for number in range(count):
                idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
                if number % 100 == 0:
                    time.sleep(0.2)
            time.sleep(1)
            staying = sum(not _is_closed(client) for client in idle)
        files = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        growth = megabytes(worker, "VmHWM") - before
        kill(server)
    for client in idle:
        client.close()
    report(
        f"idle connections, {allowed:,} allowed",
        count,
        load.result,
        f"{files:,} files open, {growth:.0f} MB more at most",
    )
    assert staying == count if all_allowed else staying <= allowed
    assert files < allowed + 200
    assert (load.result.lost, load.result.wrong, set(load.result.statuses)) == (0, 0, {200})
