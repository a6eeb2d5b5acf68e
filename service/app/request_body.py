"""Bodies as they come in: bounded in size, in time, and in their sum."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from service.http.errors import OverloadedError, TooSlowError
from service.http.messages import Headers

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_LINGER_SECONDS = 2
_SMALL = 65_536  # bytes; those who send so little are not refused for what others send


class Intake:
    """Bodies of at most ``limit`` bytes, each here within ``seconds``, all together at most ``most`` bytes."""

    def __init__(self, limit: int, seconds: float, most: int) -> None:
        self.limit = limit
        self.seconds = seconds
        self.most = most
        self.pending = 0


class Body:
    """One body. What it holds counts until it is closed, answered or not.

    ``length`` is what its head says, 0 for chunks; ``more`` whether some of it has yet to come.
    """

    def __init__(self, intake: Intake, headers: Headers, receive: Receive) -> None:
        self._intake = intake
        self._receive = receive
        self._size = 0
        self.length = int(headers.get("content-length", "0"))
        self.more = self.length > 0 or headers.get("transfer-encoding", "") != ""

    async def read(self) -> bytes | None:
        """All of it, or None as soon as it is known to be longer than allowed.

        Raises:
            ConnectionError: the client left before the end of it.
            TooSlowError: it is not here in time.
            OverloadedError: all bodies together would be more than are held at once.
        """
        if not self.more:
            return b""
        if self.length > self._intake.limit:
            return None
        content = bytearray()  # a list of chunks of two bytes each would take thirty times their size
        try:
            async for chunk in self._chunks(self._intake.seconds):
                content += chunk
                self._count(len(chunk))
                if self._size > self._intake.limit:
                    return None
        except TimeoutError:
            raise TooSlowError.after(self._intake.seconds) from None
        return bytes(content)

    async def linger(self) -> None:
        """Throw away more of what was refused: closing on a caller who still sends could cost him the answer."""
        most = self._intake.limit
        with suppress(TimeoutError, ConnectionError):
            async for chunk in self._chunks(_LINGER_SECONDS):
                most -= len(chunk)
                if most < 0:
                    return

    def close(self) -> None:
        """Forget it."""
        self._intake.pending -= self._size

    async def _chunks(self, seconds: float) -> AsyncIterator[bytes]:
        """What comes in within some seconds.

        Raises:
            TimeoutError: there is more.
            ConnectionError: the client left.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.more:
            async with asyncio.timeout_at(deadline):
                message = await self._receive()
            # What gunicorn awaits inside may swallow the cancellation that a timeout is (Python 3.11).
            if loop.time() > deadline:
                raise TimeoutError
            if message["type"] == "http.disconnect":
                raise ConnectionError
            chunk = message.get("body", b"")
            self.more = message.get("more_body", False)
            yield chunk

    def _count(self, size: int) -> None:
        self._size += size
        self._intake.pending += size
        if self._intake.pending > self._intake.most and self._size > _SMALL:
            raise OverloadedError(f"{self._intake.most} bytes of bodies wait for their answers: come back later")
