"""Callers who check every answer, and count what was lost.

Each keeps its connection, asks again as soon as it is answered, comes back by a new connection once an answer has said
``Connection: close``, and never repeats a request. A request is lost if its connection ends before the whole answer is
there, or if no connection can be made for it.
"""

import asyncio
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

from support.known_animals import KNOWN

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_CLOSE = re.compile(rb"(?i)\r\nconnection: close")
_CLOSED_SECONDS = 5.0  # within which a connection is closed, once that is announced


class Question(NamedTuple):
    """A request and what its answer must hold."""

    request: bytes
    fits: Callable[[bytes], bool]


@dataclass
class Tally:
    """What became of the requests; ``left_open`` are connections that were said to be closed and were not."""

    sent: int = 0
    right: int = 0
    lost: int = 0
    wrong: int = 0
    left_open: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """Seconds."""
        return max(self.latencies, default=0.0)


def post(path: str, body: bytes, *, chunked: bool = False) -> bytes:
    """A whole request."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    if chunked:
        return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _says(place: Sequence[Any], expected: Any) -> Callable[[bytes], bool]:
    def fits(body: bytes) -> bool:
        found = json.loads(body)
        for key in place:
            found = found[key]
        return bool(found == expected)

    return fits


def _likeliest(index: int) -> Callable[[bytes], bool]:
    def fits(body: bytes) -> bool:
        rows = json.loads(body)["predictions"]
        return len(rows) == 300 and all(row.index(max(row)) == index for row in rows)

    return fits


def questions() -> list[Question]:
    """Every way that a request can go: the short one, gunicorn's, threads and Flask; mostly single rows."""
    asked: list[Question] = []
    for index, (label, row) in enumerate(KNOWN.items()):
        single = json.dumps({"features": row}).encode()
        many = json.dumps({"instances": [row] * 300}).encode()
        tensor = json.dumps(
            {"inputs": [{"name": "features", "shape": [1, 8], "datatype": "FP32", "data": row}]}
        ).encode()
        asked += [Question(post("/predict", single), _says(["label"], label))] * 40
        asked += [
            Question(post("/predict", single, chunked=True), _says(["label"], label)),
            Question(post("/predict", many), _says(["predictions", 299, "label"], label)),
            Question(post("/v1/models/animals:predict", many), _likeliest(index)),
            Question(post("/v2/models/animals/infer", tensor), _says(["outputs", 1, "data", 0], label)),
            Question(post("/explain", single), _says(["prediction", "label"], label)),
        ]
    asked.append(Question(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", _says(["status"], "alive")))
    return asked


class Load:
    """Callers in a thread of their own, from entering the block to leaving it or to so many requests."""

    def __init__(  # noqa: PLR0913 (each says how they call)
        self,
        port: int,
        *,
        callers: int = 16,
        most: float = float("inf"),
        asked: Sequence[Question] = (),
        pause: float = 0,
        after_refusal: float = 0,
    ) -> None:
        self.port = port
        self.asked = asked or questions()
        self.tally = Tally()
        self.most = most
        self.pause = pause
        self.after_refusal = after_refusal
        self.callers = callers
        self.running = True
        self.random = random.Random(1)  # noqa: S311 (to try the same again)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.running = self.running and kind is None and self.most < float("inf")
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(_Caller(self).call() for _ in range(self.callers)))

    def next(self) -> Question | None:
        """What to ask now, if anything."""
        if not self.running or self.tally.sent >= self.most:
            return None
        self.tally.sent += 1
        return self.random.choice(self.asked)


class _Caller(asyncio.Protocol):
    """One caller and its connection of the moment."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._tally = load.tally
        self._transport: asyncio.Transport | None = None
        self._question: Question | None = None
        self._closed: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def call(self) -> None:
        """Ask until there is nothing to ask, by as many connections as it takes."""
        loop = asyncio.get_running_loop()
        while question := self._load.next():
            self._question, self._since, self._came = question, time.perf_counter(), b""
            self._closed = loop.create_future()
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", self._load.port)
            except OSError:
                self._tally.lost += 1
                await asyncio.sleep(0.01)
                continue
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        assert self._question
        transport.write(self._question.request)

    def data_received(self, data: bytes) -> None:
        self._came += data
        end = self._came.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._came[:end]
        length = _LENGTH.search(head)
        if length and len(self._came) == end + int(length[1]):
            self._judge(head, self._came[end:])

    def _judge(self, head: bytes, body: bytes) -> None:
        assert self._question
        assert self._transport
        tally, status = self._tally, int(head[9:12])
        tally.statuses[status] += 1
        tally.latencies.append(time.perf_counter() - self._since)
        right = status == 200 and self._question.fits(body)
        tally.right += right
        tally.wrong += status == 200 and not right
        self._question = None
        loop = asyncio.get_running_loop()
        if _CLOSE.search(head):
            self._timer = loop.call_later(_CLOSED_SECONDS, self._still_open)
        elif status == 503 and self._load.after_refusal:
            self._timer = loop.call_later(self._load.after_refusal, self._ask)
        elif self._load.pause:
            self._timer = loop.call_later(self._load.random.uniform(0, 2 * self._load.pause), self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        assert self._transport
        if self._transport.is_closing():  # while nothing was asked: that is no loss
            return
        self._question = self._load.next()
        if self._question:
            self._came, self._since = b"", time.perf_counter()
            self._transport.write(self._question.request)
        else:
            self._transport.close()

    def _still_open(self) -> None:
        self._tally.left_open += 1
        if self._transport:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._question:
            self._tally.lost += 1
            self._question = None
        if self._closed and not self._closed.done():
            self._closed.set_result(None)
