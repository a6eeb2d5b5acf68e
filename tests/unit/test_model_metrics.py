"""What is counted of a network: the same for rows one by one and together, for each version, over all workers."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.manifest import Manifest
from service.inference.model import Model
from service.monitoring.model_metrics import CONFIDENCES, Counts, Ledger
from service.monitoring.shared_counters import Memory

ROW, CAT = np.zeros((1, 8), np.float32), np.eye(1, 4, dtype=np.float32)
SURE = sorted({*CONFIDENCES, *np.nextafter(np.array(CONFIDENCES, np.float32), np.float32(2)).tolist(), 0.2501, 0.97})


def version(manifest: Manifest, number: int) -> Manifest:
    return manifest.model_copy(update={"version": number})


def counted(ledger: Ledger, number: int = 1) -> dict[str, Any]:
    """All of a version's counts, without its times."""
    found: Counts = ledger.all()[number]
    return found._asdict() | {"fields": {"rows": found.fields["rows"], "runs": found.fields["runs"]}}


@given(st.data())
def test_rows_count_the_same_alone_and_together(model: Model, data: st.DataObject) -> None:
    """By label, by confidence and by each value that no training row of the label had, edges of buckets among them."""
    count = data.draw(st.integers(2, 8))
    sure = data.draw(arrays.arrays(np.float32, count, elements=st.sampled_from(SURE)))
    labels = data.draw(arrays.arrays(np.intp, count, elements=st.integers(0, 3)))
    probabilities = np.repeat((1 - sure[:, None]) / 4, 4, axis=1).astype(np.float32)
    probabilities[np.arange(count), labels] = sure
    rows = data.draw(arrays.arrays(np.float32, (count, 8), elements=st.floats(0, 300, width=32)))
    alone, together = Ledger(Memory()), Ledger(Memory())
    places = [
        index * 8 + place
        for index in range(count)
        for place in alone.of(model.manifest).ran(rows[[index]], probabilities[[index]], 5)
    ]
    assert list(together.of(model.manifest).ran(rows, probabilities, 5)) == places
    one, other = counted(alone), counted(together)
    assert one | {"fields": {"rows": count, "runs": 1}} == other
    assert one["fields"] == {"rows": count, "runs": count}
    assert sum(one["confidences"]) == sum(one["labels"]) == count
    assert other["labels"] == np.bincount(probabilities.argmax(axis=1), minlength=4).tolist()
    assert other["features"] == np.bincount(np.array(places, int) % 8, minlength=8).tolist()
    for bound, below in zip(CONFIDENCES, np.cumsum(other["confidences"]), strict=False):
        assert below == (probabilities.max(axis=1) <= bound).sum()


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), max_size=40))
def test_versions_add_up_over_workers(model: Model, asked: list[tuple[int, int]]) -> None:
    """In whatever order workers come to know of versions, and so count them in places of their own."""
    memory = Memory()
    ledger = Ledger(memory)
    versions = {number: ledger.of(version(model.manifest, number)) for number in range(1, 6)}
    for slot, number in asked:
        memory.claim(slot)
        versions[number].ran(ROW, CAT, 10)
    expected = {number: [number for _, number in asked].count(number) for _, number in asked}
    assert {number: counts.fields["rows"] for number, counts in ledger.all().items()} == expected
    assert {number: counts.fields["run_ns"] for number, counts in ledger.all().items()} == {
        number: times * 10 for number, times in expected.items()
    }


def test_a_worker_counts_in_its_own_slot(model: Model) -> None:
    """Where its master had counted the version is the master's."""
    memory = Memory()
    statistics = Ledger(memory).of(model.manifest)
    statistics.loaded()
    before = memory.slots[0].tolist()
    memory.claim(memory.take())
    statistics.ran(ROW, CAT, 10)
    assert memory.slots[0].tolist() == before
    assert memory.slots[1].any()


class Slow(int):
    """A number that lets other threads go first when it is added."""

    def __radd__(self, other: int) -> int:
        time.sleep(0.0001)
        return other + int(self)


def test_threads_of_a_worker_lose_nothing(model: Model) -> None:
    """They share its slot."""
    ledger = Ledger(Memory())
    statistics = ledger.of(model.manifest)

    def run() -> None:
        for _ in range(50):
            statistics.ran(ROW, CAT, Slow(1))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.all()[1].fields["run_ns"] == 200


def test_of_very_many_versions_the_lowest_are_forgotten(model: Model) -> None:
    """There is no growth: the place of the lowest goes to one more, and nothing of the one is in the other's count."""
    ledger = Ledger(Memory())
    for number in range(1, 101):
        statistics = ledger.of(version(model.manifest, number))
        for _ in range(number):
            statistics.ran(ROW, CAT, 10)
    assert {number: counts.fields["rows"] for number, counts in ledger.all().items()} == {
        number: number for number in range(85, 101)
    }
    ledger.of(version(model.manifest, 2)).ran(ROW, CAT, 10)  # it is served again
    assert ledger.all()[2].fields["rows"] == 1
    assert 85 not in ledger.all()


@pytest.mark.parametrize(
    ("created", "told"), [("2026-11-23T06:43:29+00:00", 1795416209), ("long ago", 0), ("9" * 99, 0)]
)
def test_when_a_version_was_made(model: Model, created: str, told: int) -> None:
    """As its manifest says, if that is a moment."""
    training = model.manifest.training.model_copy(update={"created": created})
    ledger = Ledger(Memory())
    ledger.of(model.manifest.model_copy(update={"training": training})).loaded()
    assert ledger.all()[1].fields["created_s"] == told
    assert ledger.events()["loaded"] == 1
