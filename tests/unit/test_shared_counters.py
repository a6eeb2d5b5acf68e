"""Counters that processes share: they survive every process, and add up in whatever order processes end."""

import math
import time
from collections import Counter

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.errors import StartupError
from service.monitoring.shared_counters import Block, SharedCounters
from service.monitoring.worker_metrics import FIELDS, WorkerMetrics

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.just(0), st.just(0)),
        st.tuples(st.just("exit"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("count"), st.integers(0, 5), st.integers(0, 2)),
    ),
    max_size=60,
)


def add(counters: SharedCounters, block: Block, index: int, amount: int = 1) -> None:
    with counters.lock:
        block.here[index] += amount


def report(metrics: WorkerMetrics, **values: int) -> None:
    metrics.report(**(dict.fromkeys(FIELDS, 0) | values))


@given(STEPS)
def test_sums_include_all_workers_and_gauges_the_living(steps: list[tuple[str, int, int]]) -> None:
    """In any order of starts, counts and exits: each count is in the sum once, and only living workers have gauges."""
    counters = SharedCounters()
    block, metrics = counters.block(3), WorkerMetrics(counters)
    living: list[int] = []
    counted: Counter[int] = Counter()
    for step, worker, index in steps:
        if step == "start":
            living.append(counters.allocate_slot())
            counters.use_slot(living[-1])
            report(metrics, connections=living[-1])
        elif living and step == "exit":
            counters.release_slot(living.pop(worker % len(living)))
        elif living:
            counters.use_slot(living[worker % len(living)])
            add(counters, block, index)
            counted[index] += 1
        assert 0 not in living
        assert len(set(living)) == len(living)
    assert block.sums().tolist() == [counted[index] for index in range(3)]
    assert {slot: values["connections"] for slot, values in metrics.living().items()} == {slot: slot for slot in living}


def test_slots_are_reused() -> None:
    """There are only as many as workers that live at the same time."""
    counters = SharedCounters()
    block = counters.block(1)
    for _ in range(1000):
        slots = [counters.allocate_slot(), counters.allocate_slot()]
        counters.use_slot(slots[1])
        add(counters, block, 0)
        for slot in slots:
            counters.release_slot(slot)
    assert counters.used == [0, 2]
    assert block.sums().tolist() == [1000]


def test_a_marked_exit_counts_as_planned() -> None:
    """The mark does not pass to the next worker in the same slot."""
    counters = SharedCounters()
    for is_planned in (True, False):
        slot = counters.allocate_slot()
        counters.use_slot(slot)
        if is_planned:
            counters.mark_planned_exit()
        counters.release_slot(slot)
    assert counters.worker_counts == {"starts": 2, "planned_exits": 1, "unplanned_exits": 1}


def test_a_report_outlives_its_worker_and_its_accepting_does_not() -> None:
    """Whoever asks whether all workers hang does not depend on which have ended."""
    counters = SharedCounters()
    reported = time.monotonic()
    assert counters.last_report(accepting=False) == counters.last_report(accepting=True) == -math.inf
    slot = counters.allocate_slot()
    counters.use_slot(slot)
    counters.mark_alive()
    assert counters.last_report(accepting=False) == pytest.approx(reported, abs=60)
    assert counters.last_report(accepting=True) == -math.inf
    counters.mark_accepting(is_accepting=True)
    assert counters.last_report(accepting=True) == -math.inf  # its models are not loaded yet
    counters.mark_ready(is_ready=True)
    assert counters.last_report(accepting=True) == counters.last_report(accepting=False)
    counters.mark_ready(is_ready=False)
    assert counters.last_report(accepting=True) == -math.inf
    counters.mark_ready(is_ready=True)
    counters.release_slot(slot)
    assert counters.allocate_slot() == slot
    assert counters.last_report(accepting=True) == -math.inf
    assert counters.last_report(accepting=False) == pytest.approx(reported, abs=60)


def test_counts_of_another_layout_are_dropped() -> None:
    """A worker that loads another model by itself starts at 0 in the slot of a worker with the old model."""
    counters = SharedCounters()
    old = counters.block(2)
    slot = counters.allocate_slot()
    counters.use_slot(slot)
    add(counters, old, 1, 7)
    counters.block(3)  # the counts so far belong to a layout without it
    counters.use_slot(slot)
    assert old.sums().tolist() == [0, 0]


def test_blocks_beyond_the_capacity_are_refused() -> None:
    """At the start, with one line for the operator."""
    with pytest.raises(StartupError, match="no room for 1000000 counters"):
        SharedCounters().block(10**6)


def test_unused_slots_take_no_memory() -> None:
    """Summing touches only the slots in use."""
    process = psutil.Process()
    before = process.memory_info().rss
    all_counters = [SharedCounters() for _ in range(5)]
    for counters in all_counters:
        block = counters.block(60_000)
        counters.use_slot(counters.allocate_slot())
        add(counters, block, 59_999)
        assert block.sums()[59_999] == 1
    assert process.memory_info().rss - before < 20_000_000
