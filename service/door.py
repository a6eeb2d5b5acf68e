"""Who is let in, and when: as many callers as the event loop keeps up with; the others wait with the kernel, not long.

asyncio lets a hundred in at every turn of its loop, however long a turn takes, and the kernel's queue before it is
served from its head, whether or not those who wait there have given up. Under three times the load that can be carried
nearly every answer then comes too late. To refuse in words costs a third of an answer or more, so that most of the time
would go into refusing; who finds no room in the queue costs nothing.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from ssl import SSLContext

from service.patience import Patient

_AT_ONCE = 100  # callers let in at one turn of the loop, as asyncio does
_LEAST = 16  # callers that may always wait
_RETRY_SECONDS = 1.0  # after which to try again, when no file can be opened
_LAST_CAME = slice(52, 56)  # tcpi_last_data_recv in the kernel's struct tcp_info, in milliseconds


class Door:
    """One listener, and who comes in by it. ``seconds`` is how long anyone should have to wait."""

    def __init__(
        self, sock: socket.socket, make: Callable[[], Patient], tls: SSLContext | None, most: int, seconds: float
    ) -> None:
        self._sock = sock
        self._make = make
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._most = self._queue = most
        self._seconds = seconds
        self._turned = self._changed = 0.0  # when the last turn was; since when the queue has been as long as it is
        self._coming: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether somebody is on his way in."""
        return bool(self._coming)

    def open(self) -> None:
        """Begin, instead of asyncio, which has made the queue 100 long: a burst overflows that."""
        self._sock.listen(self._most)
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
        """Called at every turn of the loop at which somebody waits."""
        turn, self._turned = self._loop.time() - self._turned, self._loop.time()
        try:
            self._judge(_waited(self._admit()))
            for _ in range(_AT_ONCE - 1 if turn < self._seconds else 0):
                self._admit()
        except (BlockingIOError, ConnectionAbortedError):
            pass
        except OSError as error:  # too many open files
            self._loop.call_exception_handler({"message": "a caller cannot be let in", "exception": error})
            self._loop.remove_reader(self._sock)
            self._loop.call_later(_RETRY_SECONDS, self._loop.add_reader, self._sock, self._let_in)

    def _admit(self) -> socket.socket:
        connection, _ = self._sock.accept()
        connection.setblocking(False)
        task = self._loop.create_task(self._seat(connection))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)
        return connection

    async def _seat(self, connection: socket.socket) -> None:
        with suppress(OSError):  # he left, or TLS did not come about
            await self._loop.connect_accepted_socket(self._make, connection, ssl=self._tls)

    def _judge(self, waited: float) -> None:
        """Make the queue as long as can be served in time, judging by those who came since that was last done."""
        now = self._loop.time()
        if now - waited > self._changed:
            share = min(2.0, self._seconds / max(waited, 0.001))
            length = min(self._most, max(_LEAST, int(self._queue * share)))
            if length != self._queue:
                self._sock.listen(length)
                self._queue, self._changed = length, now


def _waited(connection: socket.socket) -> float:
    """How long ago a caller has last sent something, in seconds."""
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_CAME.stop)
    except OSError:  # not TCP
        return 0.0
    return int.from_bytes(told[_LAST_CAME], sys.byteorder) / 1000
