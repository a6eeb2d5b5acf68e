"""A thread pool for work off the event loop, with a bound on what runs or waits there."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from service.http.errors import OverloadedError

_T = TypeVar("_T")


class BoundedThreadPool:
    """Runs work in ``threads`` threads; at most ``max_tasks`` run or wait, so that none waits for long."""

    def __init__(self, threads: int, max_tasks: int) -> None:
        self._executor = ThreadPoolExecutor(threads, "menagerie")
        self._threads = threads
        self._max_tasks = max_tasks
        self._tasks = 0
        self._lock = threading.Lock()

    @property
    def queued(self) -> int:
        """How many tasks wait for a thread."""
        return max(0, self._tasks - self._threads)

    def require_room(self) -> None:
        """Refuse work that could not be accepted now, before more is spent on it.

        Raises:
            OverloadedError: as many tasks as allowed run or wait.
        """
        if self._tasks >= self._max_tasks:
            raise OverloadedError(f"{self._max_tasks} requests are in progress or queued: retry later or elsewhere")

    async def run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """The result of ``work``. If the caller is cancelled, as its client left, work that waits is dropped.

        Raises:
            OverloadedError: as `require_room`.
        """
        with self._lock:
            self.require_room()
            self._tasks += 1
        future = self._executor.submit(work, *arguments)
        future.add_done_callback(self._finish)
        return await asyncio.wrap_future(future)

    def _finish(self, _: Future[Any]) -> None:
        """Called in whichever thread the work ended, or was dropped."""
        with self._lock:
            self._tasks -= 1
