"""Memory by name that real processes find and allocate at the same time, and in whose midst some are killed."""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from service.monitoring import shared_regions
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.shared_regions import MAX_REGION_BYTES, SharedRegions

PROCESSES = 4


def fork(work: Callable[[], object]) -> int:
    """The id of a new process that does the work, and ends with 1 if it fails."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def end(children: Sequence[int]) -> list[int]:
    """The exit codes of processes that end by themselves."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@given(some.lists(some.tuples(some.text(max_size=2), some.sampled_from([8, 5000, 20_000_000])), max_size=60))
@settings(max_examples=25)
def test_processes_agree(asked: list[tuple[str, int]]) -> None:
    """Each counts once in every region, all in another order: each region has one count of each process, of no other.

    One of the processes is forked while the others are at work.
    """
    counters = SharedCounters()
    regions = counters.regions

    def count(process: int) -> None:
        mine = sorted(set(asked), key=lambda key: hash((process, key)))
        for name, size in mine:
            regions.get(name, size).memory[[process, -1 - process]] += 1

    started = [fork(partial(count, process)) for process in range(PROCESSES - 1)]
    count(PROCESSES - 1)
    assert end(started) == [0] * len(started)
    for name, size in asked:
        memory = regions.get(name, size).memory
        assert memory[:PROCESSES].tolist() == memory[-PROCESSES:].tolist() == [1] * PROCESSES


def test_a_worker_finds_what_another_made() -> None:
    """Also the master, which was there before, and a worker that is forked afterwards."""
    counters = SharedCounters()

    def count() -> None:
        counters.use_slot(slot)
        counters.model_block("new", 2).here[:] += [1, 10]

    for _ in range(3):
        slot = counters.allocate_slot()
        assert end([fork(count)]) == [0]
    assert counters.model_block("new", 2).sums().tolist() == [3, 30]


def test_processes_that_are_killed_leave_the_directory_whole() -> None:
    """While they allocate and this process does too: what is there later is apart and zeroed."""
    regions = SharedRegions()
    for process in range(8):
        reading, writing = os.pipe()
        child = fork(partial(allocate_for_ever, regions, process, writing))
        os.read(reading, 1)
        os.close(reading)
        os.close(writing)
        regions.get(f"{process}/300", 8 * 301)  # meanwhile
        os.kill(child, signal.SIGKILL)
        assert end([child]) == [-signal.SIGKILL]
    require_sound(regions)


def allocate_for_ever(regions: SharedRegions, process: int, pipe: int) -> None:
    """Up to the limit, that is."""
    os.write(pipe, b"!")
    for number in itertools.count():
        size = 8 * (number % 700 + 1)
        regions.get(f"{process}/{number % 400}", size).memory[:] = 1


def require_sound(regions: SharedRegions) -> None:
    """Regions that are new are zeroed and apart from each other."""
    memories = {number: regions.get(f"new/{number}", 5000).memory for number in range(1, 100)}
    for number, memory in memories.items():
        assert not memory.any()
        memory[:] = number
    assert all(set(memory.tolist()) == {number} for number, memory in memories.items())


def test_a_process_killed_at_any_line_of_an_allocation() -> None:
    """Its region is known or not, and others find the same memory; what was there before stays."""
    outcomes = []
    for line in itertools.count(1):
        regions = SharedRegions()
        half = MAX_REGION_BYTES // 2
        regions.get("before", half).memory[:] = 1
        outcomes += end([fork(partial(allocate_and_die, regions, line))])
        assert not regions.get("large", MAX_REGION_BYTES).memory[[0, -1]].any()
        regions.get("large", MAX_REGION_BYTES).memory[:8] = 2
        assert regions.get("before", half).memory.all()
        assert end([fork(lambda regions=regions: require_sound(regions))]) == [0]  # type: ignore[misc]
        if not outcomes[-1]:  # it was through before the line
            break
    assert outcomes == [-signal.SIGKILL] * (len(outcomes) - 1) + [0]
    assert len(outcomes) > 20


def allocate_and_die(regions: SharedRegions, last_line: int) -> None:
    """Be killed at the n-th line that runs in the module."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != shared_regions.__file__:
            return None
        if event == "line" and next(lines) == last_line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    regions.get("large", MAX_REGION_BYTES)
    sys.settrace(None)


def is_free(regions: SharedRegions, name: str) -> bool:
    """Whether another process could lock a region."""

    def attempt() -> None:
        with regions.get(name, 8).lock.attempt() as is_locked:
            assert is_locked

    return end([fork(attempt)]) == [0]


def test_a_lock_is_of_one_region_and_outlives_allocations() -> None:
    """Other regions, new ones, and new segments of the file do not release it; its end does."""
    regions = SharedRegions()
    held = regions.get("held", 8)
    regions.get("other", 8)
    with held.lock.attempt() as is_locked:
        assert is_locked
        assert not is_free(regions, "held")
        assert is_free(regions, "other")
        with regions.get("other", 8).lock.attempt() as is_other_locked:
            assert is_other_locked
        for number in range(3):
            regions.get(f"large-{number}", MAX_REGION_BYTES)
        assert not is_free(regions, "held")
        with regions.get("held", 8).lock.attempt(attempts=2) as is_locked_again:  # as another thread would
            assert not is_locked_again
    assert is_free(regions, "held")
