"""The threads of a job: one reads, some compute, and the caller's writes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

_PENDING_PER_THREAD = 4


class WorkerThreads(NamedTuple):
    """The pools that read and compute; at most ``max_pending`` items are read and not yet written."""

    read_pool: Executor
    compute_pool: Executor
    max_pending: int

    def prefetch(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items in order, each produced on the read pool before it is asked for."""
        pending = deque(self.read_pool.submit(next, items, None) for _ in range(self.max_pending))
        while (item := pending.popleft().result()) is not None:
            yield item
            pending.append(self.read_pool.submit(next, items, None))


@contextmanager
def start_threads(count: int, *, may_block: bool) -> Iterator[WorkerThreads]:
    """Worker threads, ``count`` of which run at a time with the caller's own; they end when the ``with`` block ends.

    With ``may_block``, reading may block for ever, as on a silent standard input: that thread is not joined.
    """
    read_pool, compute_pool = ThreadPoolExecutor(1), ThreadPoolExecutor(max(count - 1, 1))
    try:
        # With a single pending item the threads take turns.
        yield WorkerThreads(read_pool, compute_pool, 1 if count == 1 else _PENDING_PER_THREAD * count)
    finally:
        read_pool.shutdown(wait=not may_block, cancel_futures=True)
        compute_pool.shutdown(cancel_futures=True)
