"""The bounded thread pool."""

import asyncio
import threading

import pytest

from service.app.thread_pool import BoundedThreadPool
from service.http.errors import OverloadedError


def test_task_beyond_the_limit_is_refused() -> None:
    """Running and queued tasks both count; a finished one makes room."""

    async def run_tasks() -> None:
        pool, release = BoundedThreadPool(threads=1, max_tasks=2), threading.Event()
        first = asyncio.create_task(pool.run(release.wait))
        second = asyncio.create_task(pool.run(lambda: 2))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="2 requests"):
            await pool.run(lambda: 3)
        release.set()
        assert [await first, await second] == [True, 2]
        pool.require_room()

    asyncio.run(run_tasks())


def test_cancelled_task_does_not_run() -> None:
    """A task that has not begun is dropped and makes room."""
    results: list[int] = []

    async def run_tasks() -> None:
        pool, release = BoundedThreadPool(threads=1, max_tasks=2), threading.Event()
        first = asyncio.create_task(pool.run(release.wait))
        second = asyncio.create_task(pool.run(results.append, 2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        pool.require_room()
        release.set()
        await first

    asyncio.run(run_tasks())
    assert results == []
