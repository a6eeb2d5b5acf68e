"""A closed-loop load generator whose clients check every response, and count what was lost.

Each client keeps its connection, sends the next request as soon as it has its response, makes a new connection after a
response with ``Connection: close``, and never repeats a request. A request is lost if its connection ends before the
whole response has arrived, or if no connection can be made for it.
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
_CLOSE_SECONDS = 5.0  # within which the server closes a connection, once that is announced


class Exchange(NamedTuple):
    """A request, and whether a body is a correct response to it."""

    request: bytes
    is_correct: Callable[[bytes], bool]


@dataclass
class LoadResult:
    """What became of the requests; ``left_open`` counts connections whose close was announced and did not come."""

    sent: int = 0
    correct: int = 0
    lost: int = 0
    wrong: int = 0
    left_open: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def max_latency(self) -> float:
        """Seconds."""
        return max(self.latencies, default=0.0)


def post(path: str, body: bytes, *, chunked: bool = False) -> bytes:
    """The bytes of a request."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    if chunked:
        return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _has_value(path: Sequence[Any], expected: Any) -> Callable[[bytes], bool]:
    def is_correct(body: bytes) -> bool:
        value = json.loads(body)
        for key in path:
            value = value[key]
        return bool(value == expected)

    return is_correct


def _has_argmax(index: int) -> Callable[[bytes], bool]:
    def is_correct(body: bytes) -> bool:
        rows = json.loads(body)["predictions"]
        return len(rows) == 300 and all(row.index(max(row)) == index for row in rows)

    return is_correct


def mixed_exchanges() -> list[Exchange]:
    """Every way that a request can go: the fast path, gunicorn's protocol, threads and Flask; mostly single rows."""
    exchanges: list[Exchange] = []
    for index, (label, row) in enumerate(KNOWN.items()):
        single = json.dumps({"features": row}).encode()
        many = json.dumps({"instances": [row] * 300}).encode()
        tensor = json.dumps(
            {"inputs": [{"name": "features", "shape": [1, 8], "datatype": "FP32", "data": row}]}
        ).encode()
        exchanges += [Exchange(post("/predict", single), _has_value(["label"], label))] * 40
        exchanges += [
            Exchange(post("/predict", single, chunked=True), _has_value(["label"], label)),
            Exchange(post("/predict", many), _has_value(["predictions", 299, "label"], label)),
            Exchange(post("/v1/models/animals:predict", many), _has_argmax(index)),
            Exchange(post("/v2/models/animals/infer", tensor), _has_value(["outputs", 1, "data", 0], label)),
            Exchange(post("/explain", single), _has_value(["prediction", "label"], label)),
        ]
    exchanges.append(Exchange(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", _has_value(["status"], "alive")))
    return exchanges


class Load:
    """Clients in a thread of their own, from entering the block to leaving it, or to ``max_requests``.

    ``pause`` is the mean between a response and the next request, ``refusal_pause`` that after a 503; in seconds.
    """

    def __init__(  # noqa: PLR0913 (each is a property of the load)
        self,
        port: int,
        *,
        clients: int = 16,
        max_requests: float = float("inf"),
        exchanges: Sequence[Exchange] = (),
        pause: float = 0,
        refusal_pause: float = 0,
    ) -> None:
        self.port = port
        self.exchanges = exchanges or mixed_exchanges()
        self.result = LoadResult()
        self.max_requests = max_requests
        self.pause = pause
        self.refusal_pause = refusal_pause
        self.clients = clients
        self.is_running = True
        self.random = random.Random(1)  # noqa: S311 (to try the same again)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.is_running = self.is_running and exc_type is None and self.max_requests < float("inf")
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(_Client(self).run() for _ in range(self.clients)))

    def next_exchange(self) -> Exchange | None:
        """What to send now, if anything."""
        if not self.is_running or self.result.sent >= self.max_requests:
            return None
        self.result.sent += 1
        return self.random.choice(self.exchanges)


class _Client(asyncio.Protocol):
    """One client and its connection of the moment."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._result = load.result
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._closed: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Send requests until there are no more, on as many connections as it takes."""
        loop = asyncio.get_running_loop()
        while exchange := self._load.next_exchange():
            self._exchange, self._sent_at, self._received = exchange, time.perf_counter(), b""
            self._closed = loop.create_future()
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", self._load.port)
            except OSError:
                self._result.lost += 1
                await asyncio.sleep(0.01)
                continue
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        assert self._exchange
        transport.write(self._exchange.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._received[:end]
        length = _LENGTH.search(head)
        if length and len(self._received) == end + int(length[1]):
            self._check(head, self._received[end:])

    def _check(self, head: bytes, body: bytes) -> None:
        assert self._exchange
        assert self._transport
        result, status = self._result, int(head[9:12])
        result.statuses[status] += 1
        result.latencies.append(time.perf_counter() - self._sent_at)
        is_correct = status == 200 and self._exchange.is_correct(body)
        result.correct += is_correct
        result.wrong += status == 200 and not is_correct
        self._exchange = None
        loop = asyncio.get_running_loop()
        if _CLOSE.search(head):
            self._timer = loop.call_later(_CLOSE_SECONDS, self._still_open)
        elif status == 503 and self._load.refusal_pause:
            self._timer = loop.call_later(self._load.refusal_pause, self._send_next)
        elif self._load.pause:
            self._timer = loop.call_later(self._load.random.uniform(0, 2 * self._load.pause), self._send_next)
        else:
            self._send_next()

    def _send_next(self) -> None:
        assert self._transport
        if self._transport.is_closing():  # between two requests: that is no loss
            return
        self._exchange = self._load.next_exchange()
        if self._exchange:
            self._received, self._sent_at = b"", time.perf_counter()
            self._transport.write(self._exchange.request)
        else:
            self._transport.close()

    def _still_open(self) -> None:
        self._result.left_open += 1
        if self._transport:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._exchange:
            self._result.lost += 1
            self._exchange = None
        if self._closed and not self._closed.done():
            self._closed.set_result(None)
