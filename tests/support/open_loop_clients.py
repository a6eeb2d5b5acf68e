"""An open-loop load generator: independent clients send requests at random times, whether or not others have responses.

Requests are due by a Poisson process of a given rate; or, to measure capacity, a number of clients each send the next
request once they have a response (a closed loop). A request takes an idle connection if there is one, else a new one,
and is given up some time after it was due. Run as a program on a core of its own; the results go to stdout as JSON.
"""

import argparse
import gc
import json
import os
import random
import re
import select
import socket
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_CLOSE = re.compile(rb"(?i)\r\nconnection: close")
_RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: ")


class Client:
    """One connection, and the request in flight on it if ``due`` is not 0."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", port))
        self.descriptor = self.socket.fileno()
        self.due = 0.0
        self.unsent = b""
        self.received = b""

    def send(self, poll: select.epoll) -> None:
        """Send as much as the socket takes; poll for when it takes more."""
        with suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        poll.modify(self.descriptor, select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0))

    def response(self) -> tuple[bytes, bytes] | None:
        """Head and body of the response, once it is complete."""
        end = self.received.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(self.received, 0, end) if end > 3 else None
        size = end + int(length[1]) if length else sys.maxsize
        return (self.received[:end], self.received[end:]) if len(self.received) >= size else None


class ClientPool:
    """All clients; ``outcomes`` counts requests, ``latencies`` has the seconds of the good ones, since last cleared."""

    def __init__(
        self, port: int, request: bytes, max_connections: int, timeout: float, *, new_connections: bool
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.in_flight = 0
        self._port = port
        self._request = request
        self._max_connections = max_connections
        self._timeout = timeout
        self._new_connections = new_connections
        self._expected = b""
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._idle: dict[Client, None] = {}
        self._deadlines: deque[tuple[float, Client]] = deque()

    def send(self, due: float) -> None:
        """Send one more request."""
        if not self._idle and len(self._clients) >= self._max_connections:
            self.outcomes["not sent"] += 1
            return
        client = self._idle.popitem()[0] if self._idle else self._connect()
        client.due, client.unsent, client.received = due, self._request, b""
        self.in_flight += 1
        self._deadlines.append((due, client))
        try:
            client.send(self._poll)
        except OSError:
            self._close(client, "broken")

    def poll(self) -> None:
        """Receive what has arrived, and give up requests that are too late."""
        for descriptor, event in self._poll.poll(0.001):
            client = self._clients.get(descriptor)
            try:
                if client and event & select.EPOLLOUT:
                    client.send(self._poll)
                if client and event & ~select.EPOLLOUT:
                    self._receive(client)
            except OSError:
                self._close(self._clients[descriptor], "broken")
        latest = time.perf_counter() - self._timeout
        while self._deadlines and (
            self._deadlines[0][0] != self._deadlines[0][1].due or self._deadlines[0][0] < latest
        ):
            due, client = self._deadlines.popleft()
            if due == client.due:
                self._close(client, "late")

    def _connect(self) -> Client:
        client = Client(self._port)
        self._clients[client.descriptor] = client
        self._poll.register(client.descriptor, select.EPOLLIN)
        return client

    def _receive(self, client: Client) -> None:
        data = client.socket.recv(262_144)
        client.received += data
        response = client.response()
        if response:
            outcome = self._outcome(*response, time.perf_counter() - client.due)
            if _CLOSE.search(response[0]) or self._new_connections:
                self._close(client, outcome)
            else:
                self._count(client, outcome)
                self._idle[client] = None
        elif not data:
            self._close(client, "broken")

    def _outcome(self, head: bytes, body: bytes, latency: float) -> str:
        if latency > self._timeout:
            return "late"
        if head.startswith(b"HTTP/1.1 503 ") and _RETRY_AFTER.search(head):
            return "refused"
        self._expected = self._expected or body
        if not head.startswith(b"HTTP/1.1 200 ") or body != self._expected:
            return "wrong"
        self.latencies.append(latency)
        return "good"

    def _close(self, client: Client, outcome: str) -> None:
        """Close a connection; that of an idle one is no outcome."""
        self._count(client, outcome)
        self._idle.pop(client, None)
        del self._clients[client.descriptor]
        self._poll.unregister(client.descriptor)
        client.socket.close()

    def _count(self, client: Client, outcome: str) -> None:
        if client.due:
            self.outcomes[outcome] += 1
            self.in_flight -= 1
            client.due = 0.0


def run_open_loop(pool: ClientPool, rate: float, start: float, until: float) -> float:
    """Send at random times, the same in every run; by how many seconds the worst request was sent late."""
    rng, due, max_lag = random.Random(1), start, 0.0  # noqa: S311
    while (now := time.perf_counter()) < until:
        while due <= now:
            max_lag = max(max_lag, now - due)
            pool.send(due)
            due += rng.expovariate(rate)
        pool.poll()
    return max_lag


def run_closed_loop(pool: ClientPool, clients: int, until: float) -> None:
    """Keep one request of each client in flight."""
    while (now := time.perf_counter()) < until:
        while pool.in_flight < clients:
            pool.send(now)
        pool.poll()


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description="send the request on standard input")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="of the worker, to measure its CPU time")
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--clients", type=int, help="instead of a rate: each sends again after each response")
    parser.add_argument("--max-connections", type=int, default=8_000, help="a request without an idle one is not sent")
    parser.add_argument("--new-connections", action="store_true", help="each request on a connection of its own")
    parser.add_argument("--timeout", type=float, default=1, help="seconds from when a request is due")
    parser.add_argument("--warm-up", type=float, default=2, help="seconds that do not count")
    parser.add_argument("--seconds", type=float, required=True, help="that do")
    options = parser.parse_args()
    gc.disable()
    request = sys.stdin.buffer.read()
    pool = ClientPool(
        options.port, request, options.max_connections, options.timeout, new_connections=options.new_connections
    )
    marks = [time.perf_counter()]
    max_lag = 0.0
    for seconds in (options.warm_up, options.seconds):
        pool.outcomes.clear()
        pool.latencies.clear()
        before, until = cpu_seconds(options.pid), marks[-1] + seconds
        if options.rate:
            max_lag = run_open_loop(pool, options.rate, marks[-1], until)
        else:
            run_closed_loop(pool, options.clients, until)
        marks.append(time.perf_counter())
    latencies = sorted(pool.latencies) or [0.0]
    results = {
        "outcomes": pool.outcomes,
        "seconds": marks[-1] - marks[-2],
        "cpu": cpu_seconds(options.pid) - before,
        "max_lag": max_lag,
        "p99": latencies[int(len(latencies) * 0.99)],
        "max_latency": latencies[-1],
    }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
