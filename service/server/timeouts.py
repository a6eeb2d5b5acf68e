"""Timeouts for a request's head and body, for a response and for idle connections; the limit on their number.

gunicorn's asgi worker bounds none of these but idle time. One task checks all connections every second, so that no
request pays for a timer. MENAGERIE_TIMEOUTS=false leaves all of it out.
"""

import asyncio
import socket
from asyncio import Transport, constants
from collections.abc import Iterable
from http import HTTPStatus

from service.server.connection import Connection
from service.server.lingering_close import LingeringClose
from service.settings import Settings

_MAX_HEAD_BYTES = 65_536  # gunicorn bounds each field and their number, which together are 800 kB
_CHECK_SECONDS = 1.0
_BATCH = 200  # connections checked before requests have their turn, about 0.1 ms
_MAX_UNSENT_BYTES = 131_072  # that the kernel holds for a client, beyond those that are under way
_MAX_REFUSED = 32  # connections beyond the limit, refused and not closed yet


def bound_sockets(listeners: Iterable[socket.socket], settings: Settings) -> None:
    """Bound TLS handshakes, and for how long and how much a client may leave unread, on all connections to come."""
    constants.SSL_HANDSHAKE_TIMEOUT = settings.head_seconds  # gunicorn passes no timeout to asyncio
    options = {
        "TCP_USER_TIMEOUT": int(settings.write_seconds * 1000),
        # Else the kernel takes 4 MB for a client that reads nothing, and all that while it seems to be served.
        "TCP_NOTSENT_LOWAT": _MAX_UNSENT_BYTES,
    }
    for listener in listeners:
        for name, value in options.items():
            if listener.family != socket.AF_UNIX and hasattr(socket, name):  # macOS lacks the first
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class TimeoutProtocol(Connection):
    """A connection that ends whatever takes too long."""

    def connection_made(self, transport: Transport) -> None:
        """Begin to wait for a head; if there are too many connections, close one."""
        super().connection_made(transport)
        self._settings: Settings = self.app.settings
        self._unsent_bytes, self._stalled_since = 0, self.waiting_since
        if len(Connection.all_open) > self._settings.max_connections:
            _connection_limit.make_room(self, self._settings.max_connections)

    def data_received(self, data: bytes) -> None:
        """Give the bytes to gunicorn, but refuse a head without end."""
        super().data_received(data)
        if self.partial_bytes > _MAX_HEAD_BYTES and not self.has_request and not self.is_closed:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long")

    def check(self, now: float) -> None:
        """End what has taken too long."""
        waited, write_seconds = now - self.waiting_since, self._settings.write_seconds
        has_overstayed = self.is_closed and self not in LingeringClose.all_open and waited > write_seconds
        if self._stalled_seconds(now) > write_seconds or has_overstayed:
            self.transport.abort()
        elif self.is_awaiting_request and not self.is_closed and waited > self._request_seconds():
            if self.partial_bytes > 1:
                self.refuse(HTTPStatus.REQUEST_TIMEOUT, "the head did not arrive in time")
            else:
                self.close()

    def start_idle_timer(self) -> None:
        """Note since when the connection is idle: `check` ends it, without a timer of gunicorn's."""
        self.waiting_since = self.worker.loop.time()

    def begin_close(self) -> None:
        """Close; the client has time to read what is written, from now on."""
        if not self.is_closed:
            self.waiting_since = self.worker.loop.time()
        super().begin_close()

    def _stalled_seconds(self, now: float) -> float:
        """For how long the client has read nothing of what is written, whether gunicorn waits for that or not."""
        unsent_bytes = self.transport.get_write_buffer_size()
        if not unsent_bytes or unsent_bytes < self._unsent_bytes:
            self._stalled_since = now
        self._unsent_bytes = unsent_bytes
        return float(now - self._stalled_since)

    def _request_seconds(self) -> float:
        """How long to wait for a request. Bodies off the fast path have their deadline in `app.request_body`."""
        if not self.partial_bytes:
            return float(self.cfg.keepalive)
        return self._settings.body_seconds if self.is_head_complete else self._settings.head_seconds


class _ConnectionLimit:
    """Makes room for a new connection: closes the one that lingers longest, or has been idle longest.

    A connection counts as idle after a second. To sort them, all connections have to be looked at, so that is done at
    most once a second.
    """

    _IDLE_SECONDS = 1.0

    def __init__(self) -> None:
        self._idle: list[tuple[float, Connection]] = []  # since when; the longest last
        self._sorted_at = 0.0

    def make_room(self, new: Connection, limit: int) -> None:
        """Close a connection that is answered already or idle, or else refuse the new one."""
        served = len(Connection.all_open) - len(LingeringClose.all_open)
        if served > limit:
            if self._close_idle(new.worker.loop.time()):
                return
            new.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections, none of them idle")
            limit += _MAX_REFUSED
        if len(Connection.all_open) > limit and LingeringClose.all_open:
            oldest, lingering = next(iter(LingeringClose.all_open.items()))
            Connection.all_open.pop(oldest, None)
            lingering.abort()

    def _close_idle(self, now: float) -> bool:
        """Close the connection that has been idle longest; whether there was one."""
        if not self._idle and now - self._sorted_at > self._IDLE_SECONDS:
            idle = [other for other in Connection.all_open if other.is_idle(now, self._IDLE_SECONDS)]
            self._idle = sorted(((other.waiting_since, other) for other in idle), key=lambda pair: -pair[0])
            self._sorted_at = now
        while self._idle:
            since, other = self._idle.pop()
            if other in Connection.all_open and other.waiting_since == since:
                other.close()
                return True
        return False


_connection_limit = _ConnectionLimit()


async def check_connections() -> None:
    """Check every connection, again and again."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        for number, connection in enumerate(list(Connection.all_open)):
            if number % _BATCH == 0:
                await asyncio.sleep(0)
            if connection in Connection.all_open and isinstance(connection, TimeoutProtocol):
                connection.check(loop.time())
