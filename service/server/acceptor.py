"""Who is let in, and when: as many callers as the event loop keeps up with; the others wait with the kernel, not long.

asyncio lets a hundred in at every turn of its loop, however long a turn takes, and the kernel's queue is served from
its head, where those wait who have given up. Under three times the load that can be carried hardly any answer is in
time then. Refusing each in words would cost half of what an answer does; who finds no room in the queue costs nothing.
"""

import asyncio
import errno
import socket
import sys
from contextlib import suppress
from ssl import SSLContext
from typing import Any

from service.server.fast_path import Lane

_AT_ONCE = 100  # callers let in at one turn of the loop, at most
_LONG_TURN = 0.05  # seconds; a turn that takes as long has too much to do, and a new caller's answer takes three
_LEAST = 100  # callers that may always wait
_RETRY_SECONDS = 1.0  # after which to try again, once no more files can be opened
_CLOSE_WAIT = 8  # TCP's state once the other side has closed
_LAST_CAME = slice(52, 56)  # tcpi_last_data_recv in the kernel's struct tcp_info, in milliseconds


class Door:
    """One listener of a worker, and who comes in by it."""

    def __init__(self, worker: Any, sock: socket.socket, tls: SSLContext | None) -> None:
        self._worker = worker
        self._sock = sock
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._patience = worker.asgi.settings.queue_seconds
        self._most_shaking = worker.asgi.settings.max_connections
        self._most = self._queue = worker.cfg.backlog
        self._turned = self._fitted = self._loop.time()  # when the last turn was, and the last change of the queue
        self._at_once = _AT_ONCE
        self._coming: dict[asyncio.Task[None], socket.socket] = {}  # who came first is first

    @property
    def busy(self) -> bool:
        """Whether somebody is on his way in."""
        return bool(self._coming)

    def open(self) -> None:
        """Begin, instead of asyncio, which has also made the queue 100 long: a burst overflows that."""
        self._sock.listen(self._queue)
        self._loop.remove_reader(self._sock)
        self._loop.add_reader(self._sock, self._let_in)

    def close(self) -> None:
        """Stop listening, once whoever waits is let in: closing the last listener would cut them off."""
        self._loop.remove_reader(self._sock)
        with suppress(OSError):  # nobody is left
            while True:
                self._admit()
        self._sock.close()

    def _let_in(self) -> None:
        """Let some in; called at every turn of the loop at which somebody waits."""
        turn, self._turned = self._loop.time() - self._turned, self._loop.time()
        if turn > _LONG_TURN:
            self._at_once = max(1, self._at_once // 2)
        elif turn < _LONG_TURN / 2:
            self._at_once = min(_AT_ONCE, self._at_once * 2)
        admitted, waited = 0, 0.0
        try:
            while admitted < self._at_once:
                waited = max(waited, self._admit())
                admitted += 1
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                self._pause(error)
        if admitted:
            self._fit(waited, admitted / turn)

    def _admit(self) -> float:
        """Let in whoever has waited for longest and not hung up meanwhile; for how many seconds he has waited.

        Raises:
            OSError: there is nobody, or nothing to give him.
        """
        while True:
            connection, _ = self._sock.accept()
            waited, left = _standing(connection)
            if not left or waited < self._patience:
                break
            connection.close()
        connection.settimeout(0)
        task = self._loop.create_task(self._seat(connection))
        self._coming[task] = connection
        task.add_done_callback(lambda task: self._coming.pop(task, None))
        if self._tls and len(self._coming) > self._most_shaking:
            with suppress(OSError):  # he has left
                self._coming.pop(next(iter(self._coming))).shutdown(socket.SHUT_RDWR)
        return waited

    async def _seat(self, connection: socket.socket) -> None:
        with suppress(OSError):  # he has left, or TLS did not come about
            await self._loop.connect_accepted_socket(lambda: Lane(self._worker), connection, ssl=self._tls)

    def _fit(self, waited: float, rate: float) -> None:
        """Make the queue as long as is let in within patience; longer again by and by, once nobody waits long."""
        length = self._queue
        if waited > self._patience:
            length = min(length, max(_LEAST, int(self._patience * rate)))
        elif waited < self._patience / 2 and self._turned - self._fitted > self._patience:
            length = min(self._most, length * 2)
        if length != self._queue:
            self._sock.listen(length)
            self._queue, self._fitted = length, self._turned

    def _pause(self, error: OSError) -> None:
        """Wait for files to be closed: the kernel would call us again and again."""
        self._worker.log.error("menagerie: nobody can be let in for %g s: %s", _RETRY_SECONDS, error)
        self._loop.remove_reader(self._sock)
        self._loop.call_later(_RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._let_in)


def _standing(connection: socket.socket) -> tuple[float, bool]:
    """How long ago a caller has last sent something, in seconds, and whether he has hung up since."""
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_CAME.stop)
    except OSError:  # not TCP
        return 0.0, False
    return int.from_bytes(told[_LAST_CAME], sys.byteorder) / 1000, told[0] == _CLOSE_WAIT
