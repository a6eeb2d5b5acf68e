"""Who does what at a time: one thread reads, some compute, and the one that asks for the next piece writes."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, ParamSpec, TypeVar

Item = TypeVar("Item")
Given = ParamSpec("Given")
Made = TypeVar("Made")

_AHEAD = 4  # pieces in work or waiting to be written, a thread


class Threads(NamedTuple):
    """The threads that read and compute; ``most`` pieces are read and not yet written."""

    reading: Executor
    computing: Executor
    most: int

    def ahead(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items, made in order by the thread that reads, before they are asked for."""
        coming = deque(self.reading.submit(next, items, None) for _ in range(self.most))
        while (item := coming.popleft().result()) is not None:
            yield item
            coming.append(self.reading.submit(next, items, None))


@contextmanager
def started(count: int, *, stuck: bool) -> Iterator[Threads]:
    """So many threads, the caller's among them, which wait for each other at the end.

    The one that reads may be ``stuck`` for ever, on a standard input that says nothing: it is not waited for.
    """
    computing = Here() if count == 1 else ThreadPoolExecutor(count - 1)
    reading = Here() if count == 1 and not stuck else ThreadPoolExecutor(1)  # the caller can be interrupted
    try:
        yield Threads(reading, computing, 1 if count == 1 else _AHEAD * count)
    finally:
        reading.shutdown(wait=not stuck, cancel_futures=True)
        computing.shutdown(cancel_futures=True)


class Here(Executor):
    """Does at once what it is asked to, in the thread that asks."""

    def submit(self, do: Callable[Given, Made], /, *args: Given.args, **kwargs: Given.kwargs) -> Future[Made]:
        done: Future[Made] = Future()
        try:
            done.set_result(do(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (it is raised where the result is asked for)
            done.set_exception(error)
        return done
