"""Side by side with other servers: each on one core with one worker, one row a request."""

from collections.abc import Callable, Iterator, Mapping

from benchmarks import load, tree
from benchmarks.bench import Bench
from benchmarks.peers import PeerError
from benchmarks.results import Figures
from benchmarks.server import Server

WARM_UP = 1.0  # seconds of load before anything is counted
Samples = Iterator[tuple[str, Figures]]


def closed_loop(bench: Bench) -> Samples:
    """As fast as 16 connections can ask: what a request costs, start-up and memory after the load."""
    return _each(bench, _closed)


def open_loop(bench: Bench) -> Samples:
    """1,000 requests a second on a schedule: how long callers wait when the load does not wait for the server."""
    return _each(bench, _open)


def warm(
    bench: Bench,
    server: Server,
    body: bytes,
    connections: int = load.CONNECTIONS,
    headers: Mapping[str, str] = load.NO_HEADERS,
) -> None:
    """Load that is not counted, until the server has done with all of it."""
    load.closed(server, body, bench.load_core, WARM_UP, connections, headers)
    tree.await_idle()


def busy(
    bench: Bench,
    server: Server,
    body: bytes,
    connections: int = load.CONNECTIONS,
    headers: Mapping[str, str] = load.NO_HEADERS,
) -> Figures:
    """What a second of full load costs a warm server, and what its callers see of it."""
    warm(bench, server, body, connections, headers)
    before = tree.cpu_seconds()
    seen = load.closed(server, body, bench.load_core, bench.seconds, connections, headers)
    spent = tree.cpu_seconds() - before
    if not seen["requests"]:
        raise PeerError(f"answered nothing in {bench.seconds} s: it needs more of them")
    return {
        "cpu_us": spent / seen["requests"] * 1e6,
        "requests_s": seen["requests"] / seen["seconds"],
        "p50_ms": seen["p50_ms"],
        "p99_ms": seen["p99_ms"],
        "failures": seen["failures"],
    }


def _each(bench: Bench, measure: Callable[[Bench, Server], Figures]) -> Samples:
    for peer in bench.turns():
        try:
            with bench.serving(peer) as server:
                figures = measure(bench, server)
        except PeerError as error:
            bench.failures[peer.title] = str(error)
        else:
            yield peer.title, figures


def _closed(bench: Bench, server: Server) -> Figures:
    figures = busy(bench, server, bench.row(server.peer))
    return {**figures, "start_s": server.start, "memory_mb": tree.memory_mb()}


def _open(bench: Bench, server: Server) -> Figures:
    body = bench.row(server.peer)
    warm(bench, server, body)
    return load.scheduled(server, body, bench.load_core, bench.open_seconds)
