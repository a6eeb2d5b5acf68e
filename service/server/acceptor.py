"""Admission control: a worker accepts as many new connections as its event loop keeps up with.

The others wait in the kernel's listen backlog, and not for long. asyncio accepts a hundred at every turn of its loop,
however long a turn takes, and the backlog is served from its head, where clients wait that have given up: under three
times the load that can be carried hardly any response is in time then. A 503 for each would cost half of what a
response does; a client that finds no room in the backlog costs nothing. MENAGERIE_ACCEPTOR=false leaves all of it out.
"""

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLContext
from typing import Any

_MAX_BATCH = 100  # connections accepted at one turn of the loop
_LONG_TURN_SECONDS = 0.05  # such a turn has too much to do, and a new client's response takes three
_MIN_BACKLOG = 100
_RETRY_SECONDS = 1.0  # after which to try again, once no more files can be opened
_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CLOSE_WAIT = 8  # TCP's state once the other side has closed
_LAST_RECEIVED = slice(52, 56)  # tcpi_last_data_recv in the kernel's struct tcp_info, in milliseconds


class Acceptor:
    """Accepts the connections of one listener of a worker.

    It adapts two numbers: how many it accepts at one turn of the loop, to the time that a turn takes; and the length of
    the listen backlog, to as many as are accepted within ``queue_seconds``.
    """

    def __init__(
        self, worker: Any, listener: socket.socket, tls: SSLContext | None, protocol: Callable[[Any], asyncio.Protocol]
    ) -> None:
        self._worker = worker
        self._listener = listener
        self._tls = tls
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._queue_seconds = worker.asgi.settings.queue_seconds
        self._max_handshakes = worker.asgi.settings.max_connections
        self._max_backlog = self._backlog = worker.cfg.backlog
        self._last_turn = self._resized = self._loop.time()
        self._batch = _MAX_BATCH
        self._handshakes: dict[asyncio.Task[None], socket.socket] = {}  # oldest first

    @property
    def is_busy(self) -> bool:
        """Whether a connection is accepted but not made, as in a TLS handshake."""
        return bool(self._handshakes)

    def start(self) -> None:
        """Accept instead of asyncio, which has also made the backlog 100 long: a burst overflows that."""
        self._listener.listen(self._backlog)
        self._loop.remove_reader(self._listener)
        self._loop.add_reader(self._listener, self._accept_batch)

    def stop(self) -> None:
        """Accept all that wait in the backlog, and no more: closing the last listener would cut them off."""
        self._loop.remove_reader(self._listener)
        with suppress(OSError):  # nobody waits
            while True:
                self._accept()

    def _accept_batch(self) -> None:
        """Called at every turn of the loop at which a connection waits."""
        turn_seconds, self._last_turn = self._loop.time() - self._last_turn, self._loop.time()
        if turn_seconds > _LONG_TURN_SECONDS:
            self._batch = max(1, self._batch // 2)
        elif turn_seconds < _LONG_TURN_SECONDS / 2:
            self._batch = min(_MAX_BATCH, self._batch * 2)
        accepted, waited = 0, 0.0
        try:
            while accepted < self._batch:
                waited = max(waited, self._accept())
                accepted += 1
        except OSError as error:
            if error.errno in _NO_RESOURCES:
                self._pause(error)
        if accepted:
            self._resize_backlog(waited, accepted / turn_seconds)

    def _accept(self) -> float:
        """Accept the connection that has waited longest; how long it has, in seconds.

        One whose client has waited too long and hung up is closed and passed over.

        Raises:
            OSError: none waits, or there are no resources for it.
        """
        while True:
            connection, _ = self._listener.accept()
            waited, has_left = _tcp_state(connection)
            if not has_left or waited < self._queue_seconds:
                break
            connection.close()
        connection.settimeout(0)
        task = self._loop.create_task(self._make_connection(connection))
        self._handshakes[task] = connection
        task.add_done_callback(lambda task: self._handshakes.pop(task, None))
        if self._tls and len(self._handshakes) > self._max_handshakes:
            with suppress(OSError):  # the client has left
                self._handshakes.pop(next(iter(self._handshakes))).shutdown(socket.SHUT_RDWR)
        return waited

    async def _make_connection(self, connection: socket.socket) -> None:
        with suppress(OSError):  # the client has left, or the TLS handshake failed
            await self._loop.connect_accepted_socket(lambda: self._protocol(self._worker), connection, ssl=self._tls)

    def _resize_backlog(self, waited: float, rate: float) -> None:
        """Shorten the backlog to what is accepted in time; lengthen it step by step while nobody waits long."""
        length = self._backlog
        if waited > self._queue_seconds:
            length = min(length, max(_MIN_BACKLOG, int(self._queue_seconds * rate)))
        elif waited < self._queue_seconds / 2 and self._last_turn - self._resized > self._queue_seconds:
            length = min(self._max_backlog, length * 2)
        if length != self._backlog:
            self._listener.listen(length)
            self._backlog, self._resized = length, self._last_turn

    def _pause(self, error: OSError) -> None:
        """Wait for files to be closed: the kernel would call back again and again."""
        self._worker.log.error("menagerie: accepting no connections for %g s: %s", _RETRY_SECONDS, error)
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept_batch)


def _tcp_state(connection: socket.socket) -> tuple[float, bool]:
    """How long ago the client last sent something, in seconds, and whether it has closed its side since.

    0 and False where that is unknown: without TCP_INFO, as on macOS, and on unix sockets.
    """
    if not hasattr(socket, "TCP_INFO"):
        return 0.0, False
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_RECEIVED.stop)
    except OSError:  # not TCP
        return 0.0, False
    return int.from_bytes(info[_LAST_RECEIVED], sys.byteorder) / 1000, info[0] == _CLOSE_WAIT
