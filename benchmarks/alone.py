"""Our own server, alone: start-up, memory, workers, batches, idle connections, mixed load."""

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import load, tree
from benchmarks.bench import Bench
from benchmarks.comparison import Samples, busy, warm
from benchmarks.peers import PeerError, read
from benchmarks.server import Server, on

IDLE = 5000  # connections
MIXED_RATE = 200  # single rows a second beside the batches
BATCHES = (1, 10, 100, 1000, 10_000)  # rows
LARGEST = BATCHES[-1]
IMPORTS = "import numpy, flask, pydantic, ai_edge_litert.interpreter"


def start(bench: Bench) -> Samples:
    """From exec to the first answer, beside the bare imports that it cannot do without, and the tutorial."""
    for _ in range(bench.rounds):
        with bench.ours() as server:
            yield server.peer.title, {"start_s": server.start}
        started = time.perf_counter()
        with on(bench.cores[:1]):
            subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        yield "bare imports", {"start_s": time.perf_counter() - started}
        with bench.serving(read("tutorial")) as server:
            yield server.peer.title, {"start_s": server.start}


def memory(bench: Bench) -> Samples:
    """What one, two and three workers take after a second of load."""
    for _ in range(bench.rounds):
        for workers in (1, 2, 3):
            with bench.ours(workers) as server:
                warm(bench, server, bench.row(server.peer))
                yield _count(workers), {"memory_mb": tree.memory_mb()}


def workers(bench: Bench) -> Samples:
    """One worker on one core and two on two.

    ``capacity`` is what the workers would answer with a core each and the load generator elsewhere, going by the CPU
    time that a request took: where there are only two cores, wrk has a part of the second one.
    """
    for _ in range(bench.rounds):
        for count in (1, 2):
            with bench.ours(count, cores=count) as server:
                figures = busy(bench, server, bench.row(server.peer))
                capacity = count * 1e6 / figures["cpu_us"]
                used = figures["cpu_us"] * figures["requests_s"] / 1e6
                yield _count(count), {**figures, "capacity": capacity, "cores": used}


def batches(bench: Bench) -> Samples:
    """Rows a second on one core by rows in a request; of two connections one sends while the other is answered."""
    for _ in range(bench.rounds):
        with bench.ours() as server:
            for rows in BATCHES:
                figures = busy(bench, server, bench.batch(rows), connections=2)
                yield (
                    f"{rows:,} rows",
                    {
                        "rows": rows,
                        "rows_s": rows * figures["requests_s"],
                        "row_us": figures["cpu_us"] / rows,
                        "failures": figures["failures"],
                    },
                )


def idle(bench: Bench) -> Samples:
    """16 busy connections without and with 5,000 idle ones beside them, each of which was answered once before."""
    for _ in range(bench.rounds):
        with bench.ours() as server:
            body = bench.row(server.peer)
            yield "none idle", {**busy(bench, server, body), "memory_mb": tree.memory_mb()}
            with _idle_connections(server, IDLE) as connections:
                figures = {**busy(bench, server, body), "memory_mb": tree.memory_mb()}
                held = sum(_is_open(connection) for connection in connections)
            yield f"{IDLE:,} idle", {**figures, "held": held}


def mixed(bench: Bench) -> Samples:
    """Single rows on a schedule, alone and while one caller sends the largest batch again and again."""
    batch = bench.batch(LARGEST)
    for _ in range(bench.rounds):
        with bench.ours() as server:
            body = bench.row(server.peer)
            warm(bench, server, body)
            yield "alone", load.scheduled(server, body, bench.load_core, bench.seconds, MIXED_RATE)
            with load.beside(server, batch, bench.load_core, bench.seconds + 10):
                figures = load.scheduled(server, body, bench.load_core, bench.seconds, MIXED_RATE)
            yield f"beside batches of {LARGEST:,}", figures


def _count(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


@contextmanager
def _idle_connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 1000:
        raise PeerError(
            f"the limit of open files is {hard}, too few for {count} connections: `ulimit -n {count + 1000}`"
        )
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)) for _ in range(count)
        ]
        for connection in connections:
            connection.sendall(request)
            connection.recv(65536)
            connection.setblocking(False)  # noqa: FBT003 (the socket's own interface)
        yield connections


def _is_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(65536))
    except BlockingIOError:
        return True
    except OSError:
        return False
