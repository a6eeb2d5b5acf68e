"""What each version of the network was asked, how long it took and what it answered, summed over all workers."""

import time
from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import numpy as np

from models.manifest import Manifest
from service.http.context import Array, Places
from service.http.messages import Handler, Reply, Request
from service.inference.ranges import Ranges
from service.monitoring.shared_counters import Block, Cells, Memory

CONFIDENCES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)  # upper bounds
_BOUNDS: list[float] = np.array(CONFIDENCES, np.float32).tolist()  # so that what a caller reads as 0.3 is not beyond it
EVENTS = ("loaded", "refused", "forward", "back")
_PLACES = 16  # versions that one process counts at once; for one more, the lowest is forgotten
_LATEST = ("version", "created_s", "loaded_ms", "last_ms")  # of these the greatest is told, not the sum
_SUMMED = ("successes", "success_ns", "failures", "failure_ns", "runs", "run_ns", "confidence_ppm")
_FIELDS = (*_LATEST, *_SUMMED)
_VERSION, _CREATED, _LOADED, _LAST, _SUCCESS, _, _FAILURE, _, _RUNS, _RUN_NS, _CONFIDENCE = range(len(_FIELDS))
_CONFIDENCES_AT = len(_FIELDS)
_LABELS_AT = _CONFIDENCES_AT + len(CONFIDENCES) + 1

Amounts = Iterable[tuple[int, int]]  # what to add to which field


class Counts(NamedTuple):
    """What was counted of a version: the fields by name, the rows by confidence, label and feature out of range."""

    fields: dict[str, int]
    confidences: list[int]
    labels: list[int]
    features: list[int]


class Ledger:
    """Counts of every version that a process has loaded."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._events = memory.block(len(EVENTS))
        self._versions: Block | None = None
        self._size = self._features_at = 0
        self._places: dict[tuple[int, int], int] = {}

    def of(self, manifest: Manifest) -> "Statistics":
        """The counts of one version. All that are ever asked have as many labels and features as the first."""
        if not self._versions:
            self._features_at = _LABELS_AT + len(manifest.labels)
            self._size = self._features_at + len(manifest.features)
            self._versions = self._memory.block(_PLACES * self._size)
        return Statistics(self, manifest)

    def add(self, version: int, amounts: Amounts = (), latest: Amounts = ()) -> None:
        """Add to some fields of a version, and write others."""
        cells = self._memory.cells
        with self._memory.lock:
            start = self._places.get((self._memory.base, version), -1)
            if start < 0:
                start = self._place(version)
            for field, amount in amounts:
                cells[start + field] += amount
            for field, value in latest:
                cells[start + field] = value

    def tell(self, event: str) -> None:
        """Count what became of a version in the store."""
        with self._memory.lock:
            self._memory.cells[self._events.mine + EVENTS.index(event)] += 1

    def events(self) -> dict[str, int]:
        """How often each was told of."""
        return dict(zip(EVENTS, self._events.sums().tolist(), strict=True))

    def all(self) -> dict[int, Counts]:
        """What was counted of every version over all workers."""
        if not self._versions:
            return {}
        places = self._versions.of(self._memory.used).reshape(-1, self._size)
        numbers = sorted({*places[:, _VERSION].tolist()} - {0})
        return {number: self._merged(places[places[:, _VERSION] == number]) for number in numbers}

    def _merged(self, places: Cells) -> Counts:
        """One version's ``places`` [places, fields]: summed, or the latest."""
        told = [*places[:, :_SUCCESS].max(axis=0).tolist(), *places[:, _SUCCESS:].sum(axis=0).tolist()]
        at = self._features_at
        labels = told[_LABELS_AT:at]
        fields = dict(zip(_FIELDS, told, strict=False)) | {"rows": sum(labels)}
        return Counts(fields, told[_CONFIDENCES_AT:_LABELS_AT], labels, told[at:])

    def _place(self, version: int) -> int:
        """Where this process counts a version: where it or another before it in this slot has done so, or anew."""
        assert self._versions  # noqa: S101 (there is no version that `of` was not asked for)
        cells, size, base = self._memory.cells, self._size, self._memory.base
        starts = range(self._versions.mine, self._versions.mine + _PLACES * size, size)
        there = [start for start in starts if cells[start] == version]
        start = there[0] if there else min(starts, key=lambda start: cells[start])
        if not there:
            self._places.pop((base, cells[start]), None)
            cells[start : start + size] = memoryview(bytes(8 * size)).cast("q")
            cells[start] = version
        self._places[base, version] = start
        return start


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _unix(moment: str) -> int:
    """Seconds, or 0 if it is no moment: a manifest says what it likes there."""
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except (ValueError, OverflowError):
        return 0


class Statistics:
    """The counts of one version."""

    def __init__(self, ledger: Ledger, manifest: Manifest) -> None:
        self._ledger = ledger
        self._version = manifest.version
        self._created = _unix(manifest.training.created)
        self.ranges = Ranges(manifest)
        self._features_at = _LABELS_AT + len(manifest.labels)

    def loaded(self) -> None:
        """Note that the version was loaded, now."""
        self._ledger.add(self._version, latest=((_CREATED, self._created), (_LOADED, _now_ms())))
        self._ledger.tell("loaded")

    def counted(self, handler: Handler) -> Handler:
        """The handler, its successes and failures counted and timed."""

        def answer(request: Request) -> Reply:
            started = time.perf_counter_ns()
            field = _FAILURE
            try:
                reply = handler(request)
                field = _SUCCESS
                return reply
            finally:
                self._ledger.add(self._version, ((field, 1), (field + 1, time.perf_counter_ns() - started)))

        return answer

    def ran(self, rows: Array, probabilities: Array, nanoseconds: int) -> Places:
        """Count one run of the network, now: ``rows`` [rows, features], ``probabilities`` [rows, labels].

        What comes back are the values that no training row of the answer had.
        """
        amounts, unlike = (self._one if len(rows) == 1 else self._many)(rows, probabilities)
        self._ledger.add(self._version, [(_RUNS, 1), (_RUN_NS, nanoseconds), *amounts], [(_LAST, _now_ms())])
        return unlike

    def totals(self) -> dict[str, int]:
        """Requests, rows, runs, times in ns, the last run in ms; 0 of what was never counted."""
        found = self._ledger.all().get(self._version)
        return found.fields if found else dict.fromkeys([*_FIELDS, "rows"], 0)

    def _one(self, rows: Array, probabilities: Array) -> tuple[Amounts, Places]:
        """As `_many`, for one row: this costs less than NumPy's calls."""
        answer = probabilities[0].tolist()
        confidence = max(answer)
        label = answer.index(confidence)
        unlike = self.ranges.outside_one(rows[0].tolist(), label)
        amounts = [
            (_CONFIDENCE, int(confidence * 1e6)),
            (_CONFIDENCES_AT + bisect_left(_BOUNDS, confidence), 1),
            (_LABELS_AT + label, 1),
        ]
        if unlike:
            amounts += [(self._features_at + index, 1) for index in unlike]
        return amounts, unlike

    def _many(self, rows: Array, probabilities: Array) -> tuple[Amounts, Places]:
        """What to add for labels, for confidences and for values that no training row of the label had: those too."""
        labels = probabilities.argmax(axis=1)
        confidences = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
        unlike = self.ranges.outside(rows, labels)
        found = (
            (_CONFIDENCES_AT, np.searchsorted(_BOUNDS, confidences)),
            (_LABELS_AT, labels),
            (self._features_at, unlike % rows.shape[1]),
        )
        amounts = [
            (start + index, count) for start, kind in found for index, count in enumerate(np.bincount(kind).tolist())
        ]
        return [(_CONFIDENCE, int(confidences.sum(dtype=np.float64) * 1e6)), *amounts], unlike
