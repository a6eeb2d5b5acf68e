"""Threads beside the event loop, and a bound on what is worked on or waits there."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from service.http.errors import OverloadedError

_T = TypeVar("_T")


class Pool:
    """Does work in ``threads`` threads, ``most`` pieces at a time: so many wait that none waits for long."""

    def __init__(self, threads: int, most: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "menagerie")
        self._at_once = threads
        self._most = most
        self._inside = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many pieces no thread has begun."""
        return max(0, self._inside - self._at_once)

    def require_room(self) -> None:
        """Refuse what could not begin now, before more is spent on it.

        Raises:
            OverloadedError: as many pieces as are allowed are worked on or wait.
        """
        if self._inside >= self._most:
            raise OverloadedError(f"{self._most} requests are worked on or wait: come back later, or ask elsewhere")

    async def run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """The result of the work. If the caller is cancelled, because its client left, work not yet begun is dropped.

        Raises:
            OverloadedError: see `require_room`.
        """
        with self._lock:
            self.require_room()
            self._inside += 1
        future = self._threads.submit(work, *arguments)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: Future[Any]) -> None:
        """Called in whichever thread the work ended, or was dropped."""
        with self._lock:
            self._inside -= 1
