"""Measurements of all peers side by side: one core, one worker, one row per request."""

from collections.abc import Callable, Iterator, Mapping

from benchmarks import load_generators, process_tree
from benchmarks.benchmark_run import BenchmarkRun
from benchmarks.peers import PeerError
from benchmarks.results import Figures
from benchmarks.server import Server

WARM_UP_SECONDS = 1.0  # of load before each measurement
Samples = Iterator[tuple[str, Figures]]


def measure_closed_loop(run: BenchmarkRun) -> Samples:
    """16 connections, each sending as soon as it has a response: CPU time, throughput, latency, start-up and memory."""
    return _measure_peers(run, _measure_saturated_peer)


def measure_open_loop(run: BenchmarkRun) -> Samples:
    """1,000 requests a second on a schedule: latency when the load does not wait for the server."""
    return _measure_peers(run, _measure_scheduled_peer)


def warm_up(
    run: BenchmarkRun,
    server: Server,
    body: bytes,
    connections: int = load_generators.CONNECTIONS,
    headers: Mapping[str, str] = load_generators.NO_HEADERS,
) -> None:
    """Load the server without measuring, and wait until it has answered everything."""
    load_generators.run_closed_loop(server, body, run.load_core, WARM_UP_SECONDS, connections, headers)
    process_tree.wait_until_idle()


def measure_saturated(
    run: BenchmarkRun,
    server: Server,
    body: bytes,
    connections: int = load_generators.CONNECTIONS,
    headers: Mapping[str, str] = load_generators.NO_HEADERS,
) -> Figures:
    """CPU time, throughput and latency of a warm server under full load."""
    warm_up(run, server, body, connections, headers)
    before = process_tree.cpu_seconds()
    load = load_generators.run_closed_loop(server, body, run.load_core, run.seconds, connections, headers)
    cpu_seconds = process_tree.cpu_seconds() - before
    if not load["requests"]:
        raise PeerError(f"answered nothing in {run.seconds} s: it needs more of them")
    return {
        "cpu_us": cpu_seconds / load["requests"] * 1e6,
        "requests_s": load["requests"] / load["seconds"],
        "p50_ms": load["p50_ms"],
        "p99_ms": load["p99_ms"],
        "failures": load["failures"],
    }


def _measure_peers(run: BenchmarkRun, measure: Callable[[BenchmarkRun, Server], Figures]) -> Samples:
    for peer in run.each_round():
        try:
            with run.start_peer(peer) as server:
                figures = measure(run, server)
        except PeerError as error:
            run.failures[peer.title] = str(error)
        else:
            yield peer.title, figures


def _measure_saturated_peer(run: BenchmarkRun, server: Server) -> Figures:
    figures = measure_saturated(run, server, run.single_row_body(server.peer))
    return {**figures, "start_s": server.start_seconds, "memory_mb": process_tree.memory_mb()}


def _measure_scheduled_peer(run: BenchmarkRun, server: Server) -> Figures:
    body = run.single_row_body(server.peer)
    warm_up(run, server, body)
    return load_generators.run_open_loop(server, body, run.load_core, run.open_seconds)
