"""The threads of a job: one reads, some compute, and the caller's writes."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, ParamSpec, TypeVar

Item = TypeVar("Item")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

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
    """Worker threads, ``count`` with the caller's own, joined when the ``with`` block ends.

    With ``may_block``, reading may block for ever, as on a silent standard input: that thread is not joined.
    """
    compute_pool = CallerExecutor() if count == 1 else ThreadPoolExecutor(count - 1)
    # A caller that waits for another thread can be interrupted; one that is blocked in a read cannot.
    read_pool = CallerExecutor() if count == 1 and not may_block else ThreadPoolExecutor(1)
    try:
        yield WorkerThreads(read_pool, compute_pool, 1 if count == 1 else _PENDING_PER_THREAD * count)
    finally:
        read_pool.shutdown(wait=not may_block, cancel_futures=True)
        compute_pool.shutdown(cancel_futures=True)


class CallerExecutor(Executor):
    """Runs each call at once in the thread that submits it."""

    def submit(
        self, function: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (raised by `Future.result`)
            future.set_exception(error)
        return future
