"""The pool: bounded, and no work for whoever has left."""

import asyncio
import threading

import pytest

from service.app.thread_pool import BoundedThreadPool
from service.http.errors import OverloadedError


def test_more_than_allowed_is_refused_at_once() -> None:
    """What is worked on and what waits both count; room is there again once one is done."""

    async def ask() -> None:
        pool, hold = BoundedThreadPool(threads=1, max_tasks=2), threading.Event()
        first = asyncio.create_task(pool.run(hold.wait))
        second = asyncio.create_task(pool.run(lambda: 2))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="2 requests"):
            await pool.run(lambda: 3)
        hold.set()
        assert [await first, await second] == [True, 2]
        pool.require_room()

    asyncio.run(ask())


def test_work_for_a_caller_who_left_is_not_done() -> None:
    """What had not begun is dropped, and makes room."""
    done: list[int] = []

    async def ask() -> None:
        pool, hold = BoundedThreadPool(threads=1, max_tasks=2), threading.Event()
        first = asyncio.create_task(pool.run(hold.wait))
        second = asyncio.create_task(pool.run(done.append, 2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        pool.require_room()
        hold.set()
        await first

    asyncio.run(ask())
    assert done == []
