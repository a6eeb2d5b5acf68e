"""Counts of the requests, rows and predictions of each model version, summed over all workers."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from models.manifest import Manifest
from service.arrays import Prediction
from service.http.context import RequestContext
from service.inference.registry import Event
from service.monitoring.shared_counters import Cells, SharedCounters

CONFIDENCE_BOUNDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)
_BOUNDS: list[float] = np.array(CONFIDENCE_BOUNDS, np.float32).tolist()  # clients read the float32 as 0.3
EVENTS = ("loaded", "refused", "forward", "back")
_MAX_VERSIONS = 16  # that one process counts at a time; one more replaces the lowest
_GAUGES = ("version", "created_s", "loaded_ms", "last_ms")  # the maximum over all workers counts, not the sum
_SUMS = ("successes", "success_ns", "failures", "failure_ns", "runs", "run_ns", "confidence_ppm")
_FIELDS = (*_GAUGES, *_SUMS)
_VERSION, _CREATED, _LOADED, _LAST, _SUCCESS, _, _FAILURE, _, _RUNS, _RUN_NS, _CONFIDENCE = range(len(_FIELDS))
_CONFIDENCES = len(_FIELDS)  # where the histogram begins
_LABELS = _CONFIDENCES + len(CONFIDENCE_BOUNDS) + 1

Amounts = Iterable[tuple[int, int]]  # pairs of a field and an amount


class Counts(NamedTuple):
    """The counts of a version: fields by name; rows by bucket of confidence, by label, and by out-of-range feature."""

    fields: dict[str, int]
    confidences: list[int]
    labels: list[int]
    features: list[int]


class ModelMetrics:
    """Counts for every version; all have the labels and features of ``manifest``."""

    def __init__(self, counters: SharedCounters, manifest: Manifest) -> None:
        self._counters = counters
        self._features = _LABELS + len(manifest.labels)  # where the counts of out-of-range values begin
        self._size = self._features + len(manifest.features)
        self._events = counters.block(len(EVENTS))
        self._versions = counters.block(_MAX_VERSIONS * self._size)
        self._starts: dict[tuple[int, int], int] = {}

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count completed requests; those on inference routes also as successes and failures."""
        amounts: dict[int, Counter[int]] = {}
        for context in contexts:
            if context.version is None:
                continue
            counts = amounts.setdefault(context.version, Counter())
            if context.route and context.route.inference:
                outcome = _FAILURE if context.error else _SUCCESS
                counts[outcome] += 1
                counts[outcome + 1] += context.duration
            if context.prediction:
                counts[_RUNS] += 1
                counts[_RUN_NS] += context.stage_duration("infer")
                self._count_rows(context.prediction, counts)
        for version, counts in amounts.items():
            self._add(version, counts.items(), ((_LAST, _now_ms()),) if counts[_RUNS] else ())

    def count_event(self, event: Event) -> None:
        """Count an event of a version in the store; note the time if the version was loaded."""
        with self._counters.lock:
            self._counters.cells[self._events.start_here + EVENTS.index(event.name)] += 1
        if event.name == "loaded":
            self._add(event.version, (), ((_CREATED, _unix_time(event.trained)), (_LOADED, _now_ms())))

    def events(self) -> dict[str, int]:
        """The number of events by name."""
        return dict(zip(EVENTS, self._events.sums().tolist(), strict=True))

    def versions(self) -> dict[int, Counts]:
        """The counts of every version, over all workers."""
        blocks = self._versions.of(self._counters.used).reshape(-1, self._size)
        numbers = sorted({*blocks[:, _VERSION].tolist()} - {0})
        return {number: self._merge(blocks[blocks[:, _VERSION] == number]) for number in numbers}

    def totals(self, version: int) -> dict[str, int]:
        """The fields of one version: requests, rows and runs, times in ns, the last run in ms; 0 if never counted."""
        counts = self.versions().get(version)
        return counts.fields if counts else dict.fromkeys([*_FIELDS, "rows"], 0)

    def _count_rows(self, prediction: Prediction, counts: Counter[int]) -> None:
        """Count the rows of one run by label and by confidence, and its out-of-range values by feature."""
        if len(prediction.rows) == 1:  # this costs less than NumPy's calls
            label = prediction.labels[0]
            confidence = float(prediction.probabilities[0, label])
            counts[_CONFIDENCE] += int(confidence * 1e6)
            counts[_CONFIDENCES + bisect_left(_BOUNDS, confidence)] += 1
            counts[_LABELS + label] += 1
            for feature in prediction.out_of_range:
                counts[self._features + feature] += 1
            return
        confidences = prediction.probabilities.max(axis=1)
        counts[_CONFIDENCE] += int(confidences.sum(dtype=np.float64) * 1e6)
        features = np.asarray(prediction.out_of_range, np.intp) % prediction.rows.shape[1]
        groups = (
            (_CONFIDENCES, np.searchsorted(_BOUNDS, confidences)),
            (_LABELS, prediction.labels),
            (self._features, features),
        )
        for start, indices in groups:
            for index, count in enumerate(np.bincount(indices).tolist()):
                counts[start + index] += count

    def _add(self, version: int, amounts: Amounts, gauges: Amounts) -> None:
        """Add to some fields of a version, and set others."""
        counters = self._counters
        with counters.lock:
            start = self._starts.get((counters.base, version), -1)
            if start < 0:
                start = self._allocate(version)
            for field, amount in amounts:
                counters.cells[start + field] += amount
            for field, value in gauges:
                counters.cells[start + field] = value

    def _allocate(self, version: int) -> int:
        """The start of a version's cells: those of an earlier process in this slot, or of the lowest version."""
        cells, size, base = self._counters.cells, self._size, self._counters.base
        first = self._versions.start_here
        starts = range(first, first + _MAX_VERSIONS * size, size)
        existing = [start for start in starts if cells[start] == version]
        start = existing[0] if existing else min(starts, key=lambda start: cells[start])
        if not existing:
            self._starts.pop((base, cells[start]), None)
            cells[start : start + size] = memoryview(bytes(8 * size)).cast("q")
            cells[start] = version
        self._starts[base, version] = start
        return start

    def _merge(self, blocks: Cells) -> Counts:
        """The counts of one version from its ``blocks`` [processes, fields]: summed, or the maximum of gauges."""
        totals = [*blocks[:, :_SUCCESS].max(axis=0).tolist(), *blocks[:, _SUCCESS:].sum(axis=0).tolist()]
        labels = totals[_LABELS : self._features]
        fields = dict(zip(_FIELDS, totals, strict=False)) | {"rows": sum(labels)}
        return Counts(fields, totals[_CONFIDENCES:_LABELS], labels, totals[self._features :])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _unix_time(timestamp: str) -> int:
    """Seconds since 1970, or 0 if a manifest's timestamp can't be read."""
    try:
        return int(datetime.fromisoformat(timestamp).timestamp())
    except (ValueError, OverflowError):
        return 0
