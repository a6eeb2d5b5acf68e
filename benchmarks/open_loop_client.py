"""An open-loop load generator: requests are sent on a schedule, whether or not earlier ones have been answered.

Independent clients arrive at random (a Poisson process), so now and then several requests are due at once. Latency
counts from the moment a request was due, not from when its connection was free to send it, so a server that stalls is
charged for everyone who would have waited (coordinated omission; Gil Tene, "How NOT to Measure Latency").

One thread polls its sockets without pause, on a core of its own: a client that sleeps wakes up later than a fast server
answers, and would measure its own wake-up. It runs as a program of its own and writes the figures to stdout as JSON.
"""

import argparse
import itertools
import json
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence

import httptools
import numpy as np

MAX_DELAY = 5.0  # seconds behind schedule, after which a connection stops sending: the server cannot hold this rate
_OK = 200


class Connection:
    """One keep-alive connection with a schedule of its own, in seconds of `time.perf_counter`."""

    def __init__(self, port: int, requests: Iterator[bytes], due: Sequence[float]) -> None:
        self._port = port
        self._requests = requests
        self.due = deque(due)
        self.planned = len(due)
        self.first_due, self.last_due = due[0], due[-1]
        self.last_done = due[0]
        self.latencies: list[float] = []
        self.failures = 0
        self._due_since = 0.0  # when the request that is under way was due
        self._socket: socket.socket | None = None
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_done(self) -> bool:
        """Nothing is left to send or to receive."""
        return not self.due and not self._due_since

    def send_due(self, now: float, selector: selectors.BaseSelector) -> None:
        """Send the next request if it is due and no other is under way."""
        if self.due and now >= self.due[0] and not self._due_since:
            if now - self.due[0] > MAX_DELAY:
                self.due.clear()
                return
            self._due_since = self.due.popleft()
            try:
                self._connect(selector).sendall(next(self._requests))
            except OSError:
                self._fail(selector)
        elif self._due_since and now - self._due_since > 2 * MAX_DELAY:
            self._fail(selector)

    def receive(self, selector: selectors.BaseSelector) -> None:
        """Feed the bytes that have arrived to the parser."""
        try:
            data = self._socket.recv(65536) if self._socket else b""
            if not data:
                raise ConnectionError
            self._parser.feed_data(data)
        except (OSError, httptools.HttpParserError):
            self._fail(selector)

    def on_message_complete(self) -> None:
        """Record a complete response (the parser calls this)."""
        self._record(is_failure=self._parser.get_status_code() != _OK)

    def _connect(self, selector: selectors.BaseSelector) -> socket.socket:
        if not self._socket:
            self._parser = httptools.HttpResponseParser(self)
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=2 * MAX_DELAY)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(self._socket, selectors.EVENT_READ, self)
        return self._socket

    def close(self, selector: selectors.BaseSelector) -> None:
        """Close the socket; the next request, if there is one, opens another."""
        if self._socket:
            selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _fail(self, selector: selectors.BaseSelector) -> None:
        """Record a broken connection; an idle one is no failure, as a server may close it at any time."""
        self.close(selector)
        if self._due_since:
            self._record(is_failure=True)

    def _record(self, *, is_failure: bool) -> None:
        self.failures += is_failure
        self.last_done = time.perf_counter()
        self.latencies.append(self.last_done - self._due_since)
        self._due_since = 0.0


def make_schedules(start: float, rate: float, seconds: float, connections: int) -> list[list[float]]:
    """Due times for each connection, the same in every run; together they send ``rate`` requests a second."""
    gaps = np.random.default_rng(1).exponential(1 / rate, round(rate * seconds))
    due = (start + gaps.cumsum()).tolist()
    return [due[first::connections] for first in range(connections)]


def run(connections: Sequence[Connection]) -> None:
    """Send every request on time and wait for the responses."""
    with selectors.DefaultSelector() as selector:
        while not all(connection.is_done for connection in connections):
            now = time.perf_counter()
            for connection in connections:
                connection.send_due(now, selector)
            for key, _ in selector.select(0):
                key.data.receive(selector)
        for connection in connections:
            connection.close(selector)


def summarize(connections: Sequence[Connection]) -> dict[str, float]:
    """Latency percentiles in milliseconds; a request that was never sent counts as one that took `MAX_DELAY`.

    ``rate_percent`` is the rate of responses up to the last one, relative to the planned rate of requests.
    """
    planned = sum(connection.planned for connection in connections)
    measured = [latency for connection in connections for latency in connection.latencies]
    latencies_ms = np.array(measured + [MAX_DELAY] * (planned - len(measured))) * 1e3
    start = min(connection.first_due for connection in connections)
    planned_seconds = max(connection.last_due for connection in connections) - start
    seconds = max(planned_seconds, *(connection.last_done - start for connection in connections))
    p50, p99, p999 = np.percentile(latencies_ms, (50, 99, 99.9)).tolist()
    return {
        "planned": planned,
        "rate_percent": len(measured) / seconds * planned_seconds / planned * 100,
        "unsent": planned - len(measured),
        "failures": sum(connection.failures for connection in connections),
        "p50_ms": p50,
        "p99_ms": p99,
        "p999_ms": p999,
        "max_ms": latencies_ms.max().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Send the requests from stdin in turn on a random schedule")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="bytes of each request")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    options = parser.parse_args()
    table, size = sys.stdin.buffer.read(), options.size
    requests = itertools.cycle([table[start : start + size] for start in range(0, len(table), size)])
    schedules = make_schedules(time.perf_counter() + 0.1, options.rate, options.seconds, options.connections)
    connections = [Connection(options.port, requests, due) for due in schedules]
    run(connections)
    json.dump(summarize(connections), sys.stdout)


if __name__ == "__main__":
    main()
