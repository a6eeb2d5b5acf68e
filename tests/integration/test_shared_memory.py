"""Counters and windows in memory that processes share, with real processes that are forked and killed."""

import os
import signal
import subprocess
import sys

from service.monitoring.drift.window import Windows
from service.monitoring.shared_counters import Block, SharedCounters
from service.monitoring.shared_regions import SharedRegions

HOLD_LOCK = (
    "import fcntl, sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
)


def add(counters: SharedCounters, block: Block, index: int, amount: int = 1) -> None:
    with counters.lock:
        block.here[index] += amount


def test_counts_of_killed_processes_stay() -> None:
    """Three processes at a time, each in a slot of its own, are killed while they count: no count is lost."""
    counters = SharedCounters()
    block = counters.block(2)
    for _ in range(4):
        children = [fork_and_count(counters, block) for _ in range(3)]
        for slot, child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            counters.release_slot(slot)
        assert {slot for slot, _ in children} == {1, 2, 3}
    first, second = block.sums().tolist()
    assert first >= 12 * 1000
    assert 0 <= first - second <= 12  # each may be killed between the two
    assert counters.worker_counts == {"starts": 12, "planned_exits": 0, "unplanned_exits": 12}


def fork_and_count(counters: SharedCounters, block: Block) -> tuple[int, int]:
    """The slot and the process id of a new process that counts for ever; it has counted to 1,000."""
    slot = counters.allocate_slot()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        counters.use_slot(slot)
        for number in range(10**9):
            add(counters, block, 0)
            add(counters, block, 1)
            if number == 1000:
                os.write(writing, b"!")
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    return slot, child


def test_a_fork_keeps_the_slot() -> None:
    """A worker that forks, to check a bundle, keeps its slot."""
    counters = SharedCounters()
    counters.block(1)
    counters.use_slot(counters.allocate_slot())
    child = os.fork()
    if not child:
        os._exit(counters.slot != 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counters.slot == 1


def test_a_killed_process_releases_the_lock() -> None:
    """While another process holds the lock, no other waits for it; once that process has ended, the lock is free."""
    regions = SharedRegions()
    windows, others = (Windows(regions, name, 100, 1, 1) for name in ("held", "other"))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(regions.lock_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[regions.lock_file],
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        for each in (windows, others):
            with each.lock.attempt() as is_locked:
                assert not is_locked
        assert windows.read(1).rows == 0  # reading does not need the lock
        other.kill()
    with windows.lock.attempt() as is_locked:
        assert is_locked
