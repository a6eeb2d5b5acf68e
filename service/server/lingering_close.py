"""Lingering close (RFC 9112, section 9.6): end writing, discard what the client still sends, then close.

A client that writes its whole body before it reads has not seen an early response yet. If the server closed at once,
the kernel would answer the client's next bytes with a reset, which also deletes the response that the client has not
read. nginx closes in the same way (lingering_close, lingering_time, lingering_timeout).
"""

import asyncio
from collections import deque
from typing import ClassVar

from service.server.gunicorn_compat import GunicornConnection

_SILENCE_SECONDS = 5.0  # after which nothing more is awaited
_READ_BYTES = 262_144
_TICK_SECONDS = 0.001
_MIN_COST = 16_384  # bytes; what a short read costs, compared with a long one


class LingeringClose(asyncio.BufferedProtocol):
    """The protocol of a connection's transport, from the connection's last response to its end.

    It ends when the client closes, has sent nothing for 5 s, or has had ``seconds``. All of a worker together read
    about 256 kB every millisecond, so that clients that send without end take little time from others.
    """

    all_open: ClassVar[dict[GunicornConnection, "LingeringClose"]] = {}  # of this process, oldest first

    _buffer = memoryview(bytearray(_READ_BYTES))  # nobody reads what is in it
    _paused: ClassVar[deque["LingeringClose"]] = deque()

    def __init__(self, connection: GunicornConnection, seconds: float) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._loop: asyncio.AbstractEventLoop = connection.worker.loop
        self._received_at = self._loop.time()
        self._deadline = self._received_at + seconds
        self._cost = 0
        LingeringClose.all_open[connection] = self
        self._transport.set_protocol(self)
        connection.end_writing()
        self._timer = self._loop.call_later(min(seconds, _SILENCE_SECONDS), self._check)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Discard them, and read on when it is this connection's turn."""
        self._received_at = self._loop.time()
        self._cost = max(nbytes, _MIN_COST)
        self._transport.pause_reading()
        if not self._paused:
            self._loop.call_later(_TICK_SECONDS, self._resume_some)
        self._paused.append(self)

    def eof_received(self) -> None:
        """The client has closed its side: the transport closes itself."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._connection.resume_writing()

    def close_if_silent(self, now: float, seconds: float) -> None:
        """Close if the client has sent nothing for so many seconds."""
        if now - self._received_at >= seconds:
            self._close()

    def abort(self) -> None:
        """Close now, whatever the client still sends."""
        self._end()
        self._transport.abort()

    def _resume_some(self) -> None:
        """Let those that have waited longest read on, as many as one tick has time for."""
        budget = _READ_BYTES
        while self._paused and budget > 0:
            budget -= self._paused.popleft().resume()
        if self._paused:
            self._loop.call_later(_TICK_SECONDS, self._resume_some)

    def resume(self) -> int:
        """Read on; what the last read cost, in bytes."""
        if not self._transport.is_closing():
            self._transport.resume_reading()
        return self._cost

    def _check(self) -> None:
        now = self._loop.time()
        due = min(self._deadline, self._received_at + _SILENCE_SECONDS)
        if now >= due:
            self._close()
        else:
            self._timer = self._loop.call_at(due, self._check)

    def _close(self) -> None:
        self._end()
        self._transport.close()

    def _end(self) -> None:
        self._timer.cancel()
        if self.all_open.pop(self._connection, None):
            self._connection.finish_close()
