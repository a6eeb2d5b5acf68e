"""An open-loop load: requests leave on a schedule, whether or not the answers to earlier ones have come.

Callers who do not know of each other arrive at random (a Poisson process), so now and then several come at once.
Latency counts from the moment a request was due, not from when its connection was free to send it, so a server that
stalls is charged for everyone who would have waited (coordinated omission; Gil Tene, "How NOT to Measure Latency").

One thread asks its sockets without pause, on a core of its own: a client that sleeps is woken later than a fast server
answers, and its own waking would be the figure. Run as a program of its own; figures go to stdout as JSON.
"""

import argparse
import json
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

import httptools
import numpy as np

GIVE_UP = 5.0  # seconds behind schedule: the server cannot hold this rate, and more load would teach nothing
_OK = 200


class Caller:
    """One keep-alive connection with a schedule of its own, in seconds of `time.perf_counter`."""

    def __init__(self, port: int, request: bytes, due: Sequence[float]) -> None:
        self._port = port
        self._request = request
        self.due = deque(due)
        self.planned = len(due)
        self.latencies: list[float] = []
        self.failures = 0
        self._asked = 0.0  # when the request that is under way was due
        self._socket: socket.socket | None = None
        self._parser = httptools.HttpResponseParser(self)

    @property
    def done(self) -> bool:
        """Nothing is left to send nor to be answered."""
        return not self.due and not self._asked

    def turn(self, now: float, ready: selectors.BaseSelector) -> None:
        """Send what is due, if the connection is free."""
        if self.due and now >= self.due[0] and not self._asked:
            if now - self.due[0] > GIVE_UP:
                self.due.clear()
                return
            self._asked = self.due.popleft()
            try:
                self._connected(ready).sendall(self._request)
            except OSError:
                self._fail(ready)
        elif self._asked and now - self._asked > 2 * GIVE_UP:
            self._fail(ready)

    def receive(self, ready: selectors.BaseSelector) -> None:
        """Take what has come of an answer."""
        try:
            data = self._socket.recv(65536) if self._socket else b""
            if not data:
                raise ConnectionError
            self._parser.feed_data(data)
        except (OSError, httptools.HttpParserError):
            self._fail(ready)

    def on_message_complete(self) -> None:
        """An answer is here, whole (called by the parser)."""
        self.failures += self._parser.get_status_code() != _OK
        self.latencies.append(time.perf_counter() - self._asked)
        self._asked = 0.0

    def _connected(self, ready: selectors.BaseSelector) -> socket.socket:
        if not self._socket:
            self._parser = httptools.HttpResponseParser(self)
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=2 * GIVE_UP)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(self._socket, selectors.EVENT_READ, self)
        return self._socket

    def close(self, ready: selectors.BaseSelector) -> None:
        """Hang up; the next request, if there is one, opens a new connection."""
        if self._socket:
            ready.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _fail(self, ready: selectors.BaseSelector) -> None:
        """The connection broke, which is no failure of an idle one: a server may end it as it likes."""
        self.close(ready)
        if self._asked:
            self.failures += 1
            self.latencies.append(time.perf_counter() - self._asked)
            self._asked = 0.0


def schedules(start: float, rate: float, seconds: float, connections: int) -> list[list[float]]:
    """When each connection's requests are due, the same in every run: ``rate`` a second, dealt out in turn."""
    gaps = np.random.default_rng(1).exponential(1 / rate, round(rate * seconds))
    due = (start + gaps.cumsum()).tolist()
    return [due[first::connections] for first in range(connections)]


def run(callers: Sequence[Caller]) -> None:
    """Send everything on time and wait for the answers."""
    with selectors.DefaultSelector() as ready:
        while not all(caller.done for caller in callers):
            now = time.perf_counter()
            for caller in callers:
                caller.turn(now, ready)
            for key, _ in ready.select(0):
                key.data.receive(ready)
        for caller in callers:
            caller.close(ready)


def summarize(callers: Sequence[Caller]) -> dict[str, float]:
    """Latencies in milliseconds; a request that was never sent counts as one that waited at least `GIVE_UP`."""
    planned = sum(caller.planned for caller in callers)
    answered = [latency for caller in callers for latency in caller.latencies]
    waited = np.array(answered + [GIVE_UP] * (planned - len(answered))) * 1e3
    p50, p99, p999 = np.percentile(waited, (50, 99, 99.9)).tolist()
    return {
        "planned": planned,
        "unsent": planned - len(answered),
        "failures": sum(caller.failures for caller in callers),
        "p50_ms": p50,
        "p99_ms": p99,
        "p999_ms": p999,
        "max_ms": waited.max().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="POST the body from stdin on a random schedule of a given rate")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    options = parser.parse_args()
    body = sys.stdin.buffer.read()
    head = f"POST {options.path} HTTP/1.1\r\nHost: 127.0.0.1:{options.port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    plan = schedules(time.perf_counter() + 0.1, options.rate, options.seconds, options.connections)
    callers = [Caller(options.port, request, due) for due in plan]
    run(callers)
    json.dump(summarize(callers), sys.stdout)


if __name__ == "__main__":
    main()
