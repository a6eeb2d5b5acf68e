"""Memory by name: the same for the same name and size, zeroed, apart from all others, and bounded."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.monitoring import shared_regions
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.shared_regions import MAX_REGION_BYTES, RegionsFullError, SharedRegions, unless_full

NAMES = some.text(max_size=5)
SIZES = some.integers(1, 100_000) | some.sampled_from([4096, 4097, MAX_REGION_BYTES - 1, MAX_REGION_BYTES])


@given(some.lists(some.tuples(NAMES, SIZES), max_size=30))
def test_regions_are_apart(asked: list[tuple[str, int]]) -> None:
    """Each name and size has memory of its own, which was 0; asked for again, it is the same."""
    regions = SharedRegions()
    numbers = {key: number for number, key in enumerate(dict.fromkeys(asked), 1)}
    for (name, size), number in numbers.items():
        memory = regions.get(name, size).memory
        assert len(memory) == size
        assert not memory[:10].any()
        assert not memory[-10:].any()
        memory[:10] = memory[-10:] = number
    for name, size in asked:
        memory = regions.get(name, size).memory
        assert set(memory[:10].tolist()) == set(memory[-10:].tolist()) == {numbers[name, size]}


def test_a_region_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a region keeps it, and an unusual size is refused before it takes anything."""
    monkeypatch.setattr(shared_regions, "MAX_REGIONS", 3)
    regions = SharedRegions()
    for name in "abc":
        regions.get(name, 8).memory[:] = ord(name)
    for _ in range(2):
        with pytest.raises(RegionsFullError, match=r"no shared memory for d: there are 3 regions; a restart frees"):
            regions.get("d", 8)
    assert [regions.get(name, 8).memory[0] for name in "abc"] == [*b"abc"]
    with pytest.raises(RegionsFullError, match="wide needs"):
        regions.get("wide", MAX_REGION_BYTES + 1)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes, as with `ulimit -f`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_of_the_system_is_reported() -> None:
    """The memory that is there goes on being given."""
    with file_size_limit(MAX_REGION_BYTES):
        regions = SharedRegions()
        regions.get("a", 8)
        with pytest.raises(RegionsFullError, match="no shared memory for b: File too large"):
            regions.get("b", MAX_REGION_BYTES)
        assert regions.get("c", 8).memory.tolist() == [0] * 8


def test_without_any_room_nothing_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """And whoever counts starts nevertheless."""
    with file_size_limit(4096):
        counters = SharedCounters()
        assert unless_full(lambda: counters.model_block("a", 1)) is None
    assert caplog.messages == ["not counted: no shared memory for a: File too large"]
    counters.model_block("a", 1).here[:] = 1


def test_regions_take_few_descriptors_and_little_memory() -> None:
    """Three for each of 200 models, each of the size of their counts."""
    process, counters = psutil.Process(), SharedCounters()
    descriptors, memory = process.num_fds(), process.memory_info().rss
    for number in range(600):
        block = counters.model_block(f"model-{number}", 1000)
        block.here[:] = 1
        assert block.sums().tolist() == [1] * 1000
    assert process.num_fds() - descriptors <= 15
    assert process.memory_info().rss - memory < 600 * 3 * 4096 + 10_000_000


def test_files_are_closed() -> None:
    """With their regions."""
    process = psutil.Process()
    before = process.num_fds()
    for _ in range(20):
        SharedRegions().get("a", 8)
    assert process.num_fds() <= before + 4


def test_a_model_block_counts_by_slot() -> None:
    """Two blocks of one name and size are one; those of another size or name are not."""
    counters = SharedCounters()
    first, again = (counters.model_block("a", 3) for _ in range(2))
    others = [counters.model_block("a", 4), counters.model_block("b", 3)]
    for _ in range(2):
        counters.use_slot(counters.allocate_slot())
        first.here[:] += [1, 2, 3]
    assert again.sums().tolist() == [2, 4, 6]
    assert again.of([2, 0]).tolist() == [[1, 2, 3], [0, 0, 0]]
    assert again.here.tolist() == [1, 2, 3]
    assert not any(other.sums().any() for other in others)


def test_a_model_block_outlives_a_layout() -> None:
    """Counts of a model stay where a worker with other routes begins its own at 0."""
    counters = SharedCounters()
    old, slot = counters.block(2), counters.allocate_slot()
    counters.use_slot(slot)
    old.here[:] = 5
    block = counters.model_block("a", 2)
    block.here[:] = 7
    counters.block(3)
    assert block.sums().tolist() == [7, 7]  # the slot is of the old layout until a new worker has it
    counters.use_slot(slot)
    assert old.sums().tolist() == [0, 0]
    assert block.sums().tolist() == [7, 7]


def test_without_memory_files_a_temporary_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS; it has no name, and is as large as what is written to it."""
    monkeypatch.delattr(os, "memfd_create")
    regions = SharedRegions()
    regions.get("a", 8).memory[:] = np.arange(8)
    assert regions.get("a", 8).memory.tolist() == list(range(8))
    status = os.fstat(regions.lock_file)
    assert (status.st_nlink, status.st_size) == (0, 0)
