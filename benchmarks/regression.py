"""``python -m benchmarks.regression --against PATH``: server CPU time per request here and in another checkout."""

import argparse
import itertools
import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from benchmarks import load, peers, server, tree
from benchmarks.bench import Bench, prepare
from benchmarks.protocols import questions
from benchmarks.results import FIGURES, Figure, cell

BATCH = 1000  # rows
WARM_UP = 0.3  # seconds before each measurement
_RATIO = Figure("ratio", "x", ratio=False)


class Exchange(NamedTuple):
    """A request and the status of its response; each copy of a ``traced`` one has its own trace and request ID."""

    path: str
    body: bytes
    status: int = 200
    traced: bool = False
    connections: int = load.CONNECTIONS


def exchanges(bench: Bench) -> dict[str, Exchange]:
    """The measured requests by name."""
    manifest, (row,) = bench.bundle.manifest, bench.usual(1)
    v1, v2 = (questions(manifest.name, [row])[name] for name in ("/v1 :predict", "/v2 infer, JSON"))
    as_list, too_short = (json.dumps({"features": values}).encode() for values in (row, row[1:]))
    return {
        "list": Exchange("/predict", as_list),
        "list, own trace and request ID": Exchange("/predict", as_list, traced=True),
        "named": Exchange("/predict", peers.read(peers.OURS).question(manifest, row)),
        "/v1 :predict": Exchange(v1.path, v1.body),
        "/v2 infer, JSON": Exchange(v2.path, v2.body),
        "422": Exchange("/predict", too_short, status=422),
        f"{BATCH:,} rows": Exchange("/predict", bench.batch(BATCH), connections=2),
    }


def messages(exchange: Exchange) -> Iterator[bytes]:
    """The request's bytes, again and again."""
    head = f"POST {exchange.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n".encode()
    rest = b"Content-Length: %d\r\n\r\n%b" % (len(exchange.body), exchange.body)
    if not exchange.traced:
        return itertools.repeat(head + rest)
    own = b"traceparent: 00-%032x-%016x-01\r\nX-Request-ID: request-%d\r\n"
    return (head + own % (number, number, number) + rest for number in itertools.count(1))


def saturate(port: int, exchange: Exchange, seconds: float) -> int:
    """Keep a request under way on every connection and return the number of responses.

    Raises:
        PeerError: a response has another status than the exchange expects.
    """
    responses, requests = 0, messages(exchange)
    with ExitStack() as stack:
        sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(exchange.connections)]
        waiting = [(stack.enter_context(each), stack.enter_context(each.makefile("rb"))) for each in sockets]
        for connection, _ in waiting:
            connection.sendall(next(requests))
        deadline = time.monotonic() + seconds
        while waiting:
            for connection, stream in tuple(waiting):
                if (status := receive(stream)) != exchange.status:
                    raise peers.PeerError(f"{exchange.path} answers {status} instead of {exchange.status}")
                responses += 1
                if time.monotonic() < deadline:
                    connection.sendall(next(requests))
                else:
                    waiting.remove((connection, stream))
    return responses


def receive(stream: BinaryIO) -> int:
    """Read one response to its end and return its status."""
    status, length = int(stream.readline()[9:12]), 0
    while (line := stream.readline()).strip():
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    stream.read(length)
    return status


def measure(bench: Bench, root: Path) -> dict[str, float]:
    """Server CPU time per request in µs by the exchange's name, for the service in the checkout at ``root``."""
    cpu_us = {}
    with bench.ours(root=root) as running, server.on({bench.load_core}):
        for name, exchange in exchanges(bench).items():
            saturate(running.port, exchange, WARM_UP)
            tree.await_idle()
            before = tree.cpu_seconds()
            responses = saturate(running.port, exchange, bench.seconds)
            cpu_us[name] = (tree.cpu_seconds() - before) / responses * 1e6
    return cpu_us


def table(other: Sequence[Mapping[str, float]], this: Sequence[Mapping[str, float]]) -> str:
    """Medians and ranges over the rounds as Markdown; each ratio is of the two measurements of one round."""
    lines = ["| server CPU time per request | other | this | this / other |", "|---|--:|--:|--:|"]
    for name in this[0]:
        before, after = ([cpu_us[name] for cpu_us in rounds] for rounds in (other, this))
        ratios = [new / old for old, new in zip(before, after, strict=True)]
        cells = [
            cell(FIGURES["cpu_us"], before, None),
            cell(FIGURES["cpu_us"], after, None),
            cell(_RATIO, ratios, None),
        ]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regression", description="Server CPU time per request here and in another checkout."
    )
    parser.add_argument("--against", type=Path, required=True, metavar="PATH", help="the other checkout")
    parser.add_argument("--rounds", type=int, default=10, help="of both checkouts in turn (10)")
    parser.add_argument("--seconds", type=float, default=1, help="of load with each request (1)")
    options = parser.parse_args()
    bench = prepare([], options.rounds, options.seconds)
    other, this = [], []
    for number in range(options.rounds):
        other.append(measure(bench, options.against.resolve()))
        this.append(measure(bench, peers.ROOT))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)  # noqa: T201
    print(table(other, this))  # noqa: T201


if __name__ == "__main__":
    main()
