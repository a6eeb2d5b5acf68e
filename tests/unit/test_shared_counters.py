"""Memory that processes share: what is counted stays and adds up, whoever ends, in whatever order."""

import os
import signal
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.errors import StartupError
from service.monitoring.shared_counters import Block
from service.monitoring.worker_metrics import FIELDS, Vitals

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.just(0), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("count"), st.integers(0, 5), st.integers(0, 2)),
    ),
    max_size=60,
)


def add(memory: SharedCounters, block: Block, index: int, amount: int = 1) -> None:
    with memory.lock:
        memory.cells[block.mine + index] += amount


def tell(vitals: Vitals, **found: int) -> None:
    vitals.tell(**(dict.fromkeys(FIELDS, 0) | found))


@given(STEPS)
def test_sums_are_of_all_and_vitals_of_the_living(steps: list[tuple[str, int, int]]) -> None:
    """However workers begin, count and end: every count is in the sum once, and only the living are told of."""
    memory = SharedCounters()
    block, vitals = memory.block(3), Vitals(memory)
    living: list[int] = []
    counted: Counter[int] = Counter()
    for step, who, index in steps:
        if step == "begin":
            living.append(memory.take())
            memory.claim(living[-1])
            tell(vitals, connections=living[-1])
        elif living and step == "end":
            memory.free(living.pop(who % len(living)))
        elif living:
            memory.claim(living[who % len(living)])
            add(memory, block, index)
            counted[index] += 1
        assert 0 not in living
        assert len(set(living)) == len(living)
    assert block.sums().tolist() == [counted[index] for index in range(3)]
    assert {slot: told["connections"] for slot, told in vitals.living().items()} == {slot: slot for slot in living}


def test_killed_processes_leave_what_they_counted() -> None:
    """Real ones, three at a time and each in a slot of its own, some killed while they count: not one count is lost."""
    memory = SharedCounters()
    block = memory.block(2)
    for _ in range(4):
        children = [fork_and_count(memory, block) for _ in range(3)]
        for slot, child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            memory.free(slot)
        assert {slot for slot, _ in children} == {1, 2, 3}
    first, second = block.sums().tolist()
    assert first >= 12 * 1000
    assert 0 <= first - second <= 12  # one by each, between the two
    assert memory.lives == {"begun": 12, "planned": 0, "unplanned": 12}


def fork_and_count(memory: SharedCounters, block: Block) -> tuple[int, int]:
    """A process that counts without end, and its slot; it has begun to."""
    slot = memory.take()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        memory.claim(slot)
        for number in range(10**9):
            add(memory, block, 0)
            add(memory, block, 1)
            if number == 1000:
                os.write(writing, b"!")
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    return slot, child


def test_a_process_that_forks_keeps_its_slot() -> None:
    """A worker that starts another process, to try a bundle, goes on to count where it did."""
    memory = SharedCounters()
    memory.block(1)
    memory.claim(memory.take())
    child = os.fork()
    if not child:
        os._exit(memory.slot != 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert memory.slot == 1


def test_slots_are_used_again() -> None:
    """As many as live at once, however many come and go."""
    memory = SharedCounters()
    block = memory.block(1)
    for _ in range(1000):
        slots = [memory.take(), memory.take()]
        memory.claim(slots[1])
        add(memory, block, 0)
        for slot in slots:
            memory.free(slot)
    assert memory.used == [0, 2]
    assert block.sums().tolist() == [1000]


def test_whoever_said_that_he_leaves_has_ended_as_planned() -> None:
    """Who follows in his slot has said nothing yet."""
    memory = SharedCounters()
    for leaves in (True, False):
        slot = memory.take()
        memory.claim(slot)
        if leaves:
            memory.leave()
        memory.free(slot)
    assert memory.lives == {"begun": 2, "planned": 1, "unplanned": 1}


def test_what_another_layout_left_is_not_added() -> None:
    """A worker that loads another model by itself counts anew where one has counted for the old model."""
    memory = SharedCounters()
    old = memory.block(2)
    slot = memory.take()
    memory.claim(slot)
    add(memory, old, 1, 7)
    memory.block(3)  # what was counted belongs to a layout without it
    memory.claim(slot)
    assert old.sums().tolist() == [0, 0]


def test_more_than_there_is_room_for_is_refused() -> None:
    """One line for the operator, at the start."""
    with pytest.raises(StartupError, match="features"):
        SharedCounters().block(10**6)


def test_room_that_nobody_uses_takes_no_memory() -> None:
    """Capacity is free: adding up touches the slots in use only."""
    before = resident()
    memories = [SharedCounters() for _ in range(5)]
    for memory in memories:
        block = memory.block(60_000)
        memory.claim(memory.take())
        add(memory, block, 59_999)
        assert block.sums()[59_999] == 1
    assert resident() - before < 20_000_000


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as told:  # noqa: PTH123 (read at once)
        return int(told.read().split()[1]) * 4096
