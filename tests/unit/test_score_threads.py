"""Reading, computing and writing at a time: in order, a few pieces ahead, with errors in their place."""

import threading
from collections.abc import Iterator

import pytest

from service.score import threads


@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_items_come_in_order(count: int, stuck: bool) -> None:
    """Whoever computes first: and no more of them wait than are allowed, so that memory does not grow."""
    taken = 0
    early = threading.Event()

    def slow(number: int) -> int:
        if number == 1 and count == 3:
            assert early.wait(10)  # the third is done before the second
        if number == 2:
            early.set()
        return number

    with threads.started(count, stuck=stuck) as started:

        def items() -> Iterator[int]:
            for number in range(50):
                assert number < taken + started.most
                yield number

        for expected, job in enumerate(started.ahead(started.computing.submit(slow, item) for item in items())):
            assert job.result() == expected
            taken += 1
    assert taken == 50


@pytest.mark.parametrize("count", [1, 2])
def test_what_goes_wrong_while_reading_comes_after_what_was_read(count: int) -> None:
    """An error far into a table costs nothing of what is before it."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("torn")

    seen: list[int] = []
    with threads.started(count, stuck=False) as started, pytest.raises(OSError, match="torn"):
        seen.extend(started.ahead(items()))
    assert seen == [0, 1, 2, 3, 4]


def test_one_reads_while_another_writes() -> None:
    """With two threads, the next item is made while the last is with whoever asked for it."""
    with_me, made = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        assert with_me.wait(10)
        made.set()
        yield 1

    with threads.started(2, stuck=False) as started:
        for _ in started.ahead(items()):
            with_me.set()
            assert made.wait(10)


def test_nothing_is_read_once_it_is_over() -> None:
    """When whoever asks has left, no thread is with the table any more."""
    with pytest.raises(KeyboardInterrupt), threads.started(2, stuck=False) as started:
        for number in started.ahead(iter(range(1000))):
            if number == 20:
                raise KeyboardInterrupt
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPoolExecutor")]
