"""Measurements of the service by itself: start-up, memory, workers, requests, batches, idle connections, mixed load."""

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks import load_generators, process_tree
from benchmarks.benchmark_run import BenchmarkRun
from benchmarks.comparison import Samples, measure_each, measure_saturated, warm_up
from benchmarks.exchanges import BATCH_SIZE, build_exchanges, predict_batch
from benchmarks.peers import OURS, PeerError, read_peer
from benchmarks.results import Figures
from benchmarks.server import Server, pinned_to

IDLE_CONNECTIONS = 5000
MIXED_RATE = 200  # single rows per second beside the batches
BATCH_SIZES = (1, 10, 100, 1000, BATCH_SIZE)  # rows
IMPORTS = "import numpy, flask, pydantic, ai_edge_litert.interpreter"


def measure_start(run: BenchmarkRun) -> Samples:
    """Time from exec to readiness, compared with the bare imports that the service needs, and with the tutorial."""
    for _ in range(run.rounds):
        started = time.perf_counter()
        with pinned_to(run.cores[:1]):
            subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        yield "importing NumPy, Flask, pydantic and LiteRT", {"start_s": time.perf_counter() - started}
        servers = [read_peer(OURS), read_peer("tutorial")]
        yield from measure_each(run, servers, lambda server: {"start_s": server.start_seconds})


def measure_requests(run: BenchmarkRun) -> Samples:
    """CPU time of every request that `build_exchanges` has, and of the lower bounds: a bare protocol and nginx."""
    exchanges = build_exchanges(run.bundle.manifest)
    for _ in range(run.rounds):
        with run.start_for(exchanges.values()) as ports:
            for name, exchange in exchanges.items():
                figures = measure_saturated(run, ports[exchange.keyed], exchange)
                shown = {"failures": figures["failures"]}
                if exchange.rows == 1:
                    yield name, {"cpu_us": figures["cpu_us"], **shown}
                else:
                    yield name, {"rows_cpu_s": exchange.rows / figures["cpu_us"] * 1e6, **shown}
        yield from measure_each(run, [read_peer("bare"), read_peer("nginx")], partial(_measure_cpu, run))


def measure_memory(run: BenchmarkRun) -> Samples:
    """Memory of one, two and three workers after a second of load."""
    for _ in range(run.rounds):
        for workers in (1, 2, 3):
            with run.start_ours(workers) as server:
                warm_up(run, server.port, run.single_row(server.peer))
                yield _worker_count(workers), {"memory_mb": process_tree.memory_mb()}


def measure_workers(run: BenchmarkRun) -> Samples:
    """One worker on one core and two on two.

    ``capacity`` is the throughput that the CPU time per request would allow with a core for each worker and the load
    generator elsewhere: where there are only two cores, wrk uses a part of the second one.
    """
    for _ in range(run.rounds):
        for count in (1, 2):
            with run.start_ours(count, cores=count) as server:
                figures = measure_saturated(run, server.port, run.single_row(server.peer))
                capacity = count * 1e6 / figures["cpu_us"]
                cores = figures["cpu_us"] * figures["requests_s"] / 1e6
                yield _worker_count(count), {**figures, "capacity": capacity, "cores": cores}


def measure_batches(run: BenchmarkRun) -> Samples:
    """Rows per second on one core by rows per request, on two connections: one sends while the other is answered."""
    for _ in range(run.rounds):
        with run.start_ours() as server:
            for rows in BATCH_SIZES:
                figures = measure_saturated(run, server.port, predict_batch(run.bundle.manifest, rows))
                yield (
                    f"{rows:,} rows",
                    {
                        "rows": rows,
                        "rows_s": rows * figures["requests_s"],
                        "row_us": figures["cpu_us"] / rows,
                        "failures": figures["failures"],
                    },
                )


def measure_idle(run: BenchmarkRun) -> Samples:
    """16 busy connections without and with 5,000 idle ones, each of which has received one response before."""
    for _ in range(run.rounds):
        with run.start_ours() as server:
            exchange = run.single_row(server.peer)
            yield "none idle", {**measure_saturated(run, server.port, exchange), "memory_mb": process_tree.memory_mb()}
            with _idle_connections(server, IDLE_CONNECTIONS) as connections:
                figures = {**measure_saturated(run, server.port, exchange), "memory_mb": process_tree.memory_mb()}
                held = sum(_is_open(connection) for connection in connections)
            yield f"{IDLE_CONNECTIONS:,} idle", {**figures, "held": held}


def measure_mixed(run: BenchmarkRun) -> Samples:
    """Single rows on a schedule, alone and while one client sends the largest batch again and again."""
    batch = predict_batch(run.bundle.manifest, BATCH_SIZE)
    for _ in range(run.rounds):
        with run.start_ours() as server:
            port, exchange = server.port, run.single_row(server.peer)
            warm_up(run, port, exchange)
            yield "alone", load_generators.run_open_loop(port, exchange, run.load_core, run.seconds, MIXED_RATE)
            with load_generators.background_load(port, batch, run.load_core, run.seconds + 10):
                figures = load_generators.run_open_loop(port, exchange, run.load_core, run.seconds, MIXED_RATE)
            yield f"beside batches of {BATCH_SIZE:,}", figures


def _measure_cpu(run: BenchmarkRun, server: Server) -> Figures:
    figures = measure_saturated(run, server.port, run.single_row(server.peer))
    return {name: figures[name] for name in ("cpu_us", "failures")}


def _worker_count(workers: int) -> str:
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
