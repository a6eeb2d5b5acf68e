"""Bounded body reading: limits on the size of each body, on its time, and on the sum of all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from service.http.errors import OverloadedError, TooSlowError
from service.http.messages import Headers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_ALWAYS_ACCEPTED = 65_536  # bytes; a small body is not refused for what other clients send


class BodyLimits:
    """Each body has at most ``max_bytes`` and arrives within ``seconds``; all together have ``max_pending_bytes``."""

    def __init__(self, max_bytes: int, seconds: float, max_pending_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.max_pending_bytes = max_pending_bytes
        self.pending_bytes = 0


class RequestBody:
    """One body. Its bytes count as pending until it is closed.

    ``length`` is its Content-Length, 0 if it is chunked; ``has_more`` says whether some of it has yet to arrive.
    """

    def __init__(self, limits: BodyLimits, headers: Headers, receive: Receive) -> None:
        self._limits = limits
        self._receive = receive
        self._size = 0
        self.length = int(headers.get("content-length", "0"))
        self.has_more = self.length > 0 or headers.get("transfer-encoding", "") != ""

    async def read(self) -> bytes | None:
        """The whole body, or None as soon as it is known to be longer than allowed.

        Raises:
            ConnectionError: the client left before the end of it.
            TooSlowError: it did not arrive in time.
            OverloadedError: all bodies together would exceed their limit.
        """
        if not self.has_more:
            return b""
        if self.length > self._limits.max_bytes:
            return None
        content = bytearray()  # a list of chunks of two bytes each would take thirty times their size
        try:
            async for chunk in self._chunks():
                content += chunk
                self._count(len(chunk))
                if self._size > self._limits.max_bytes:
                    return None
        except TimeoutError:
            raise TooSlowError.after(self._limits.seconds) from None
        return bytes(content)

    def close(self) -> None:
        """Count its bytes no longer."""
        self._limits.pending_bytes -= self._size

    async def _chunks(self) -> AsyncIterator[bytes]:
        """What arrives in time.

        Raises:
            TimeoutError: there is more.
            ConnectionError: the client left.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.seconds
        while self.has_more:
            async with asyncio.timeout_at(deadline):
                message = await self._receive()
            # gunicorn's own awaits may swallow the cancellation that a timeout is (Python 3.11).
            if loop.time() > deadline:
                raise TimeoutError
            if message["type"] == "http.disconnect":
                raise ConnectionError
            chunk = message.get("body", b"")
            self.has_more = message.get("more_body", False)
            yield chunk

    def _count(self, size: int) -> None:
        limits = self._limits
        self._size += size
        limits.pending_bytes += size
        if limits.pending_bytes > limits.max_pending_bytes and self._size > _ALWAYS_ACCEPTED:
            raise OverloadedError(f"{limits.max_pending_bytes} bytes of request bodies are pending: retry later")
