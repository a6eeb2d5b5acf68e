"""The threads of a job: the order of items, the bound on pending ones, errors and shutdown."""

import threading
from collections.abc import Iterator

import pytest

from service.score.threads import start_threads


@pytest.mark.parametrize("may_block", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_items_come_in_order(count: int, may_block: bool) -> None:
    """Whichever thread finishes first; and no more than ``max_pending`` items wait, so that memory does not grow."""
    consumed = 0
    item_2_computed = threading.Event()

    def slow(number: int) -> int:
        if number == 1 and count == 3:
            assert item_2_computed.wait(10)  # so item 2 is computed before item 1
        if number == 2:
            item_2_computed.set()
        return number

    with start_threads(count, may_block=may_block) as threads:

        def items() -> Iterator[int]:
            for number in range(50):
                assert number < consumed + threads.max_pending
                yield number

        futures = threads.prefetch(threads.compute_pool.submit(slow, item) for item in items())
        for expected, future in enumerate(futures):
            assert future.result() == expected
            consumed += 1
    assert consumed == 50


@pytest.mark.parametrize("count", [1, 2])
def test_a_read_error_follows_the_items_before_it(count: int) -> None:
    """An error deep in a table loses none of the rows before it."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("torn")

    items_read: list[int] = []
    with start_threads(count, may_block=False) as threads, pytest.raises(OSError, match="torn"):
        items_read.extend(threads.prefetch(items()))
    assert items_read == [0, 1, 2, 3, 4]


def test_the_next_item_is_read_while_the_last_is_written() -> None:
    """With two threads, reading does not wait for the consumer."""
    consumer_has_item, next_read = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        assert consumer_has_item.wait(10)
        next_read.set()
        yield 1

    with start_threads(2, may_block=False) as threads:
        for _ in threads.prefetch(items()):
            consumer_has_item.set()
            assert next_read.wait(10)


def test_no_thread_outlives_the_with_block() -> None:
    """Also when the consumer is interrupted."""
    with pytest.raises(KeyboardInterrupt), start_threads(2, may_block=False) as threads:
        for number in threads.prefetch(iter(range(1000))):
            if number == 20:
                raise KeyboardInterrupt
    assert not [each for each in threading.enumerate() if each.name.startswith("ThreadPoolExecutor")]
