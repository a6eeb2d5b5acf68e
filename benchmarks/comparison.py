"""Measurements of all peers side by side: one core, one worker, one row per request."""

from collections.abc import Callable, Iterable, Iterator

from benchmarks import load_generators, process_tree
from benchmarks.benchmark_run import BenchmarkRun
from benchmarks.exchanges import Exchange
from benchmarks.peers import Peer, PeerError
from benchmarks.results import Figures
from benchmarks.server import Server, check_status

WARM_UP_SECONDS = 1.0  # of load before each measurement
Samples = Iterator[tuple[str, Figures]]


def measure_closed_loop(run: BenchmarkRun) -> Samples:
    """16 connections, each sending as soon as it has a response: CPU time, throughput, latency, start-up and memory."""

    def measure(server: Server) -> Figures:
        figures = measure_saturated(run, server.port, run.single_row(server.peer))
        return {**figures, "start_s": server.start_seconds, "memory_mb": process_tree.memory_mb()}

    for _ in range(run.rounds):
        yield from measure_each(run, run.peers, measure)


def measure_open_loop(run: BenchmarkRun, rate: float) -> Samples:
    """``rate`` requests a second on a schedule: latency when the load does not wait for the server."""

    def measure(server: Server) -> Figures:
        exchange = run.single_row(server.peer)
        warm_up(run, server.port, exchange)
        return load_generators.run_open_loop(server.port, exchange, run.load_core, run.open_seconds, rate)

    for _ in range(run.rounds):
        yield from measure_each(run, run.peers, measure)


def measure_each(run: BenchmarkRun, peers: Iterable[Peer], measure: Callable[[Server], Figures]) -> Samples:
    """Start each peer in turn and measure it; one that fails is given up for the rest of the run."""
    for peer in peers:
        if peer.title in run.failures:
            continue
        try:
            with run.start_peer(peer) as server:
                figures = measure(server)
        except PeerError as error:
            run.failures[peer.title] = str(error)
        else:
            yield peer.title, figures


def warm_up(run: BenchmarkRun, port: int, exchange: Exchange) -> None:
    """Load the server without measuring, and wait until it has answered everything.

    Raises:
        PeerError: the status is not the expected one.
    """
    check_status(port, exchange)
    load_generators.run_closed_loop(port, exchange, run.load_core, WARM_UP_SECONDS)
    process_tree.wait_until_idle()


def measure_saturated(run: BenchmarkRun, port: int, exchange: Exchange) -> Figures:
    """CPU time, throughput and latency of a warm server under full load."""
    warm_up(run, port, exchange)
    return measure_load(run, port, exchange, run.seconds)


def measure_load(run: BenchmarkRun, port: int, exchange: Exchange, seconds: float) -> Figures:
    """As `measure_saturated`, without warming the server up."""
    before = process_tree.cpu_seconds()
    load = load_generators.run_closed_loop(port, exchange, run.load_core, seconds)
    cpu_seconds = process_tree.cpu_seconds() - before
    if not load["requests"]:
        raise PeerError(f"answered nothing in {seconds} s: it needs more of them")
    return {
        "cpu_us": cpu_seconds / load["requests"] * 1e6,
        "requests_s": load["requests"] / load["seconds"],
        "p50_ms": load["p50_ms"],
        "p99_ms": load["p99_ms"],
        "failures": load["failures"],
    }
