"""Callers who do not know of each other: they come at random, whether or not others were answered, and not for ever.

An open loop (a Poisson process) at a given rate; or, to see how much can be answered at all, so many callers of whom
each asks again once answered. A caller takes a connection at rest if there is one, else a new one, gives up one second
after he was due, and hangs up. Run as a program of its own on a core of its own; what came of it goes to stdout as JSON.
"""

import argparse
import gc
import json
import random
import re
import select
import socket
import sys
import time
from collections import Counter, deque

DEADLINE = 1.0  # seconds from when a request is due
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_CLOSE = re.compile(rb"(?i)\r\nconnection: close")


class Caller:
    """One connection and the request under way on it, if there is one."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", port))
        self.number = self.socket.fileno()
        self.due = 0.0  # 0: at rest
        self.unsent = b""
        self.came = b""

    def send(self, ready: select.epoll) -> None:
        """Send as much as can be sent; the rest once that is possible."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            pass
        ready.modify(self.number, select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0))

    def answer(self) -> tuple[int, bool] | None:
        """The status of the answer, once it is here whole, and whether it is the last on this connection."""
        end = self.came.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(self.came, 0, end) if end > 3 else None
        if not length or len(self.came) < end + int(length[1]):
            return None
        return int(self.came[9:12]), _CLOSE.search(self.came, 0, end) is not None


class Crowd:
    """All callers; ``fates`` counts what became of them."""

    def __init__(self, port: int, request: bytes, *, fresh: bool, most: int) -> None:
        self.fates: Counter[str] = Counter()
        self.latencies: list[float] = []  # of the answers in time, in seconds
        self.refusals: list[float] = []
        self.most = 0
        self.under_way = 0
        self._port = port
        self._request = request
        self._fresh = fresh
        self._most = most
        self._ready = select.epoll()
        self._callers: dict[int, Caller] = {}
        self._rest: list[Caller] = []
        self._waiting: deque[tuple[float, Caller]] = deque()

    def come(self, due: float) -> None:
        """Ask once more."""
        if not self._rest and len(self._callers) >= self._most:
            self.fates["kept back"] += 1
            return
        self.under_way += 1
        caller = self._rest.pop() if self._rest else self._new()
        caller.due, caller.unsent, caller.came = due, self._request, b""
        self._waiting.append((due, caller))
        try:
            caller.send(self._ready)
        except OSError:
            self._end(caller, "broken")

    def turn(self, seconds: float) -> None:
        """Take what has come, for at most so long; send those home who have waited too long."""
        for number, event in self._ready.poll(seconds):
            caller = self._callers.get(number)
            try:
                if caller and event & select.EPOLLOUT:
                    caller.send(self._ready)
                if caller and event & ~select.EPOLLOUT:
                    self._receive(caller)
            except OSError:
                self._end(caller, "broken")
        now = time.perf_counter()
        while self._waiting and (
            self._waiting[0][0] != self._waiting[0][1].due or now - self._waiting[0][0] > DEADLINE
        ):
            due, caller = self._waiting.popleft()
            if due == caller.due:
                self._end(caller, "late")

    def _new(self) -> Caller:
        caller = Caller(self._port)
        self._callers[caller.number] = caller
        self._ready.register(caller.number, select.EPOLLIN)
        self.most = max(self.most, len(self._callers))
        return caller

    def _receive(self, caller: Caller) -> None:
        data = caller.socket.recv(262_144)
        if not data:
            self._end(caller, "broken")
            return
        caller.came += data
        answer = caller.answer()
        if answer:
            status, last = answer
            waited = time.perf_counter() - caller.due
            fate = str(status) if waited < DEADLINE else "late"
            {"200": self.latencies, "503": self.refusals}.get(fate, []).append(waited)
            if last or self._fresh:
                self._end(caller, fate)
            else:
                self._count(caller, fate)
                self._rest.append(caller)

    def _end(self, caller: Caller, fate: str) -> None:
        """Hang up. A connection at rest that ends is nobody's loss."""
        self._count(caller, fate)
        if caller in self._rest:
            self._rest.remove(caller)
        del self._callers[caller.number]
        self._ready.unregister(caller.number)
        caller.socket.close()

    def _count(self, caller: Caller, fate: str) -> None:
        if caller.due:
            self.fates[fate] += 1
            self.under_way -= 1
            caller.due = 0.0


def at_random(crowd: Crowd, rate: float, until: float) -> float:
    """An open loop, the same in every run; seconds that we were late with it at worst."""
    dice, due, behind = random.Random(1), time.perf_counter(), 0.0  # noqa: S311
    while (now := time.perf_counter()) < until or crowd.under_way:
        while due <= now < until:
            behind = max(behind, now - due)
            crowd.come(due)
            due += dice.expovariate(rate)
        crowd.turn(0.001)
    return behind


def at_once(crowd: Crowd, callers: int, until: float) -> float:
    """A closed loop."""
    while (now := time.perf_counter()) < until or crowd.under_way:
        while now < until and crowd.under_way < callers:
            crowd.come(time.perf_counter())
        crowd.turn(0.001)
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description="send the request from stdin")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--callers", type=int, help="so many, each of whom asks again once answered")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--fresh", action="store_true", help="each request on a connection of its own")
    parser.add_argument(
        "--most", type=int, default=10_000, help="connections; who finds none at rest then asks nothing"
    )
    options = parser.parse_args()
    gc.disable()
    crowd = Crowd(options.port, sys.stdin.buffer.read(), fresh=options.fresh, most=options.most)
    until = time.perf_counter() + options.seconds
    behind = at_random(crowd, options.rate, until) if options.rate else at_once(crowd, options.callers, until)
    found = {"fates": crowd.fates, "connections": crowd.most, "behind": behind, "cpu": time.process_time()}
    for name, waited in (("answered", sorted(crowd.latencies)), ("refused", sorted(crowd.refusals))):
        found[name] = [waited[int(len(waited) * share)] for share in (0.5, 0.99)] if waited else None
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
