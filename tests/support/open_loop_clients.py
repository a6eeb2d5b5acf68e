"""Callers who do not know of each other: they come at random, whether or not others were answered, and not for ever.

An open loop (a Poisson process) at a given rate; or, to see how much can be answered at all, so many callers of whom
each asks again once answered. A caller takes a connection at rest if there is one, else a new one, gives up some time
after he was due, and hangs up. Run as a program on a core of its own; what came of it goes to stdout as JSON.
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
_AGAIN = re.compile(rb"(?i)\r\nretry-after: ")


class Caller:
    """One connection, and the request under way on it if ``due`` is not 0."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", port))
        self.number = self.socket.fileno()
        self.due = 0.0
        self.unsent = b""
        self.came = b""

    def send(self, ready: select.epoll) -> None:
        """Send as much as can be sent; the rest once that is possible."""
        with suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        ready.modify(self.number, select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0))

    def answer(self) -> tuple[bytes, bytes] | None:
        """Head and body of the answer, once it is here whole."""
        end = self.came.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(self.came, 0, end) if end > 3 else None
        whole = end + int(length[1]) if length else sys.maxsize
        return (self.came[:end], self.came[end:]) if len(self.came) >= whole else None


class Crowd:
    """All callers; ``fates`` counts what became of them and ``waited`` is how long the good did, since cleared."""

    def __init__(self, port: int, request: bytes, most: int, patience: float, *, fresh: bool) -> None:
        self.fates: Counter[str] = Counter()
        self.waited: list[float] = []
        self.under_way = 0
        self._port = port
        self._request = request
        self._most = most
        self._patience = patience
        self._fresh = fresh
        self._right = b""
        self._ready = select.epoll()
        self._callers: dict[int, Caller] = {}
        self._rest: dict[Caller, None] = {}
        self._waiting: deque[tuple[float, Caller]] = deque()

    def come(self, due: float) -> None:
        """Ask once more."""
        if not self._rest and len(self._callers) >= self._most:
            self.fates["kept back"] += 1
            return
        caller = self._rest.popitem()[0] if self._rest else self._new()
        caller.due, caller.unsent, caller.came = due, self._request, b""
        self.under_way += 1
        self._waiting.append((due, caller))
        try:
            caller.send(self._ready)
        except OSError:
            self._end(caller, "broken")

    def turn(self) -> None:
        """Take what has come; send those home who have waited too long."""
        for number, event in self._ready.poll(0.001):
            caller = self._callers.get(number)
            try:
                if caller and event & select.EPOLLOUT:
                    caller.send(self._ready)
                if caller and event & ~select.EPOLLOUT:
                    self._receive(caller)
            except OSError:
                self._end(self._callers[number], "broken")
        late = time.perf_counter() - self._patience
        while self._waiting and (self._waiting[0][0] != self._waiting[0][1].due or self._waiting[0][0] < late):
            due, caller = self._waiting.popleft()
            if due == caller.due:
                self._end(caller, "late")

    def _new(self) -> Caller:
        caller = Caller(self._port)
        self._callers[caller.number] = caller
        self._ready.register(caller.number, select.EPOLLIN)
        return caller

    def _receive(self, caller: Caller) -> None:
        data = caller.socket.recv(262_144)
        caller.came += data
        answer = caller.answer()
        if answer:
            fate = self._fate(*answer, time.perf_counter() - caller.due)
            if _CLOSE.search(answer[0]) or self._fresh:
                self._end(caller, fate)
            else:
                self._count(caller, fate)
                self._rest[caller] = None
        elif not data:
            self._end(caller, "broken")

    def _fate(self, head: bytes, body: bytes, waited: float) -> str:
        if waited > self._patience:
            return "late"
        if head.startswith(b"HTTP/1.1 503 ") and _AGAIN.search(head):
            return "refused"
        self._right = self._right or body
        if not head.startswith(b"HTTP/1.1 200 ") or body != self._right:
            return "wrong"
        self.waited.append(waited)
        return "good"

    def _end(self, caller: Caller, fate: str) -> None:
        """Hang up. The end of a connection at rest is nobody's loss."""
        self._count(caller, fate)
        self._rest.pop(caller, None)
        del self._callers[caller.number]
        self._ready.unregister(caller.number)
        caller.socket.close()

    def _count(self, caller: Caller, fate: str) -> None:
        if caller.due:
            self.fates[fate] += 1
            self.under_way -= 1
            caller.due = 0.0


def at_random(crowd: Crowd, rate: float, start: float, until: float) -> float:
    """An open loop, the same in every run; how many seconds late we were with it at worst."""
    dice, due, behind = random.Random(1), start, 0.0  # noqa: S311
    while (now := time.perf_counter()) < until:
        while due <= now:
            behind = max(behind, now - due)
            crowd.come(due)
            due += dice.expovariate(rate)
        crowd.turn()
    return behind


def at_once(crowd: Crowd, callers: int, until: float) -> None:
    """A closed loop."""
    while (now := time.perf_counter()) < until:
        while crowd.under_way < callers:
            crowd.come(now)
        crowd.turn()


def spent(pid: int) -> float:
    """The CPU time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description="send the request that stdin holds")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="of the worker, to see what it spends")
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--callers", type=int, help="instead of a rate: each asks again once answered")
    parser.add_argument("--most", type=int, default=8_000, help="connections; who finds none at rest is kept back")
    parser.add_argument("--fresh", action="store_true", help="each request on a connection of its own")
    parser.add_argument("--patience", type=float, default=1, help="seconds from when a request is due")
    parser.add_argument("--warm", type=float, default=2, help="seconds that do not count")
    parser.add_argument("--seconds", type=float, required=True, help="that do")
    options = parser.parse_args()
    gc.disable()
    crowd = Crowd(options.port, sys.stdin.buffer.read(), options.most, options.patience, fresh=options.fresh)
    marks = [time.perf_counter()]
    behind = 0.0
    for seconds in (options.warm, options.seconds):
        crowd.fates.clear()
        crowd.waited.clear()
        before, until = spent(options.pid), marks[-1] + seconds
        if options.rate:
            behind = at_random(crowd, options.rate, marks[-1], until)
        else:
            at_once(crowd, options.callers, until)
        marks.append(time.perf_counter())
    waited = sorted(crowd.waited) or [0.0]
    found = {
        "fates": crowd.fates,
        "seconds": marks[-1] - marks[-2],
        "cpu": spent(options.pid) - before,
        "behind": behind,
        "p99": waited[int(len(waited) * 0.99)],
        "worst": waited[-1],
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
