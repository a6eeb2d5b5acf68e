"""How long a connection may take, and how many there may be: gunicorn's protocol, with an end to every wait.

gunicorn's asgi worker bounds neither how long a caller is silent, nor how slowly a head or a body comes in, nor how
long an answer waits to be taken, nor how many connections are open. Here one task looks at all connections every
second, so that no request pays for it.

As in `lane`, names with an underscore that come from gunicorn are private; pyproject.toml pins the release.
"""

import asyncio
from asyncio import Transport
from typing import ClassVar

from gunicorn.asgi.protocol import ASGIProtocol

_LONGEST_HEAD = 65_536  # bytes; gunicorn bounds each field and their number, which together are 800 kB
_LOOK_SECONDS = 1.0
_AT_ONCE = 200  # connections looked at before requests have their turn, about 0.1 ms
_RECENTLY = 0.5  # seconds; who has just been answered may be about to ask again


class Patient(ASGIProtocol):  # type: ignore[misc]
    """A connection that knows what it waits for, and since when."""

    open: ClassVar[dict["Patient", None]] = {}  # of this process

    def connection_made(self, transport: Transport) -> None:
        """Begin to wait for a head; if there are too many connections, one has to go."""
        super().connection_made(transport)
        self._limits = self.app.settings
        self._since = self.worker.loop.time()  # when what it waits for now began
        self._heading = 1  # bytes of a request that is not here yet, or 1 on a new connection, which owes us one
        self._whole_head = False  # and if so, whether only the body is missing; known on the short way only
        self._left, self._stuck_since = 0, self._since  # of what is written and not taken; since when none of it was
        Patient.open[self] = None
        if len(Patient.open) > self._limits.max_connections:
            _room.make(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        Patient.open.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Leave it to gunicorn, but for a head without end."""
        if self._current_request is None and self._callback_parser is not None:
            if not self._heading:
                self._since = self.worker.loop.time()
            self._heading += len(data)
            super().data_received(data)
            if self._current_request is not None:
                self._heading = 0
            elif self._heading > _LONGEST_HEAD and not self._closed:
                self.refuse(431, "the head is too long")
        else:
            super().data_received(data)

    def look(self, now: float) -> None:
        """End what has taken too long."""
        waited, most = now - self._since, self._limits.write_seconds
        if self._stuck(now) > most or (self._closed and waited > most):
            self.transport.abort()
        elif self._awaiting_request and not self._closed and waited > self._patience():
            if self._heading > 1:
                self.refuse(408, "the request took too long to come in")
            else:
                self._keepalive_timeout()

    def _stuck(self, now: float) -> float:
        """For how many seconds nothing of what is written has been taken: much or little, gunicorn waits or not."""
        left = self.transport.get_write_buffer_size()
        if not left or left < self._left:
            self._stuck_since = now
        self._left = left
        return float(now - self._stuck_since)

    def rests(self, now: float, seconds: float) -> bool:
        """Whether nothing that could be answered has come for some seconds."""
        return bool(self._awaiting_request and not self._whole_head and now - self._since > seconds)

    def retire(self, now: float) -> None:
        """Close, as the worker ends, unless a request is here or may be on its way."""
        if self.rests(now, _RECENTLY) and not self._closed:
            self._keepalive_timeout()

    def refuse(self, status: int, reason: str) -> None:
        """Say what is wrong, and close."""
        self._send_error_response(status, reason, [("Retry-After", "1")] if status == 503 else ())  # noqa: PLR2004
        self._keepalive_timeout()

    def _patience(self) -> float:
        """For how many seconds to wait for a request. Bodies on gunicorn's way have a deadline in `intake`."""
        if self._heading:
            seconds = self._limits.body_seconds if self._whole_head else self._limits.head_seconds
        else:
            seconds = self._keepalive
        return float(seconds)

    def _resume_reading(self) -> None:
        """Gunicorn reads on after every answer, even if more requests are here already than it means to hold."""
        if not self._is_buffer_full():
            super()._resume_reading()

    async def _serve_http_request(self, request: object, sockname: object, peername: object) -> bool:
        """Answer one request; if more of the same caller's wait, let the others have their turn first."""
        keepalive: bool = await super()._serve_http_request(request, sockname, peername)
        if self._http1_buffered():
            await asyncio.sleep(0)
        return keepalive

    def _arm_keepalive_timer(self) -> None:
        """A further request is waited for; that is looked at every second, and needs no timer of gunicorn's."""
        self._since = self.worker.loop.time()

    def _will_close(self, request: object, response_requires_close: bool) -> bool:  # noqa: FBT001 (gunicorn's)
        """Whether this answer is to be the last on its connection: gunicorn announces it, and closes."""
        unread = self._body_receiver is not None and not self._body_receiver._complete  # noqa: SLF001
        return unread or self.app.is_leaving or super()._will_close(request, response_requires_close)

    def _close_transport(self) -> None:
        """Close; what is written may take some more time to be taken, counted from now."""
        if not self._closed:
            self._since = self.worker.loop.time()
        super()._close_transport()


class _Room:
    """Who has to go when there are too many connections: the one that has rested for longest, if any has for a second.

    The order is made anew at most once a second, as all connections have to be looked at for it.
    """

    _REST_SECONDS = 1.0

    def __init__(self) -> None:
        self._resting: list[tuple[float, Patient]] = []  # since when, the longest last
        self._made = 0.0

    def make(self, new: Patient) -> None:
        """Close another connection, or else the new one."""
        now = new.worker.loop.time()
        if not self._resting and now - self._made > self._REST_SECONDS:
            resting = [other for other in Patient.open if other.rests(now, self._REST_SECONDS)]
            self._resting = sorted(((other._since, other) for other in resting), key=lambda pair: -pair[0])  # noqa: SLF001
            self._made = now
        while self._resting:
            since, other = self._resting.pop()
            if other in Patient.open and other._since == since:  # noqa: SLF001
                other._keepalive_timeout()  # noqa: SLF001
                return
        new.refuse(503, "there are too many connections")


_room = _Room()


async def watch() -> None:
    """Look at every connection, again and again."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        for number, connection in enumerate(list(Patient.open)):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if connection in Patient.open:
                connection.look(loop.time())
