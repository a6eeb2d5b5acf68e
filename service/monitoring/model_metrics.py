"""Counts of the requests, rows and predictions of each model version, summed over all workers."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from models.manifest import Manifest
from service.arrays import Prediction, join_indices, join_rows
from service.http.context import RequestContext
from service.inference.heads import assign_columns
from service.inference.model import Model, PerModel
from service.inference.registry import Event
from service.monitoring import output_counts
from service.monitoring.output_counts import Bounds, OutputCounts
from service.monitoring.shared_counters import Cells, SharedCounters

EVENTS = ("loaded", "refused", "forward", "back")
_MAX_VERSIONS = 16  # that one process counts at a time; one more replaces the lowest
_GAUGES = ("version", "created_s", "loaded_ms", "last_ms")  # the maximum over all workers counts, not the sum
_SUMS = ("successes", "success_ns", "failures", "failure_ns", "runs", "run_ns", "rows")
_FIELDS = (*_GAUGES, *_SUMS)
_VERSION, _CREATED, _LOADED, _LAST, _SUCCESS, _, _FAILURE, _, _RUNS, _RUN_NS, _ROWS = range(len(_FIELDS))


class Counts(NamedTuple):
    """The counts of a version: fields by name, what each output predicted, and rows by out-of-range feature."""

    fields: dict[str, int]
    outputs: list[OutputCounts]
    features: list[int]


class ModelMetrics:
    """Counts for every version; all have the outputs and features of ``manifest``.

    Their thresholds and their bounds for values may differ: ``find_model`` gives a version's model if it is loaded.
    """

    def __init__(
        self, counters: SharedCounters, manifest: Manifest, find_model: Callable[[int], Model | None] = lambda _: None
    ) -> None:
        self._counters = counters
        self._heads = assign_columns(manifest)
        self._has_label = bool(manifest.class_labels)  # so that each prediction has one
        self._find_model = find_model
        self._bounds = PerModel(_value_bounds)
        sizes = [output_counts.size(each.head) for each in self._heads]
        self._outputs = [slice(*ends) for ends in pairwise(accumulate(sizes, initial=len(_FIELDS)))]
        self._features = len(_FIELDS) + sum(sizes)  # where the counts of out-of-range values begin
        self._size = self._features + len(manifest.features)
        self._events = counters.block(len(EVENTS))
        self._versions = counters.block(_MAX_VERSIONS * self._size)

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count completed requests; those on inference routes also as successes and failures."""
        for model in {each.model for each in contexts if each.model}:
            counts, has_runs = self._count([each for each in contexts if each.model is model])
            self._add(model.version, counts, {_LAST: _now_ms()} if has_runs else {})

    def count_event(self, event: Event) -> None:
        """Count an event of a version in the store; note the time if the version was loaded."""
        with self._counters.lock:
            self._events.here[EVENTS.index(event.kind)] += 1
        if event.kind == "loaded":
            self._add(event.version, 0, {_CREATED: _unix_time(event.trained), _LOADED: _now_ms()})

    def events(self) -> dict[str, int]:
        """The number of events by name."""
        return dict(zip(EVENTS, self._events.sums().tolist(), strict=True))

    def versions(self) -> dict[int, Counts]:
        """The counts of every version, over all workers."""
        blocks = self._versions.of(self._counters.used).reshape(-1, self._size)
        numbers = sorted({*blocks[:, _VERSION].tolist()} - {0})
        return {number: self._merge(number, blocks[blocks[:, _VERSION] == number]) for number in numbers}

    def totals(self, version: int) -> dict[str, int]:
        """The fields of one version: requests, rows and runs, times in ns, the last run in ms; 0 if never counted."""
        counts = self.versions().get(version)
        return counts.fields if counts else dict.fromkeys(_FIELDS, 0)

    def _count(self, contexts: Sequence[RequestContext]) -> tuple[Cells, bool]:
        """The counts of some requests to one version, [fields], and whether they ran its network."""
        counts = np.zeros(self._size, np.int64)
        durations = np.array([each.duration for each in contexts])
        is_inference = np.array([each.route is not None and each.route.inference for each in contexts])
        has_failed = np.array([each.error != "" for each in contexts])
        for field, outcome in ((_SUCCESS, is_inference & ~has_failed), (_FAILURE, is_inference & has_failed)):
            counts[field : field + 2] = np.count_nonzero(outcome), durations[outcome].sum()
        runs = [(each.prediction, each.stages) for each in contexts if each.prediction is not None]
        if runs:
            counts[_RUNS] = len(runs)
            counts[_RUN_NS] = sum([stages["infer"] - stages["validate"] for _, stages in runs])
            self._count_rows([prediction for prediction, _ in runs], counts, contexts[0].model)
        return counts, bool(runs)

    def _count_rows(self, predictions: Sequence[Prediction], counts: Cells, model: Model | None) -> None:
        """Count the rows by what each output predicted, and their out-of-range values by feature.

        If the version has just been unloaded, there is no ``model``: the thresholds are those at the start.
        """
        outputs = join_rows([each.outputs for each in predictions])
        counts[_ROWS] = len(outputs)
        labels = join_indices([each.labels for each in predictions]) if self._has_label else None
        heads = model.heads if model else self._heads
        for head, bounds, cells in zip(heads, self._bounds_of(model), self._outputs, strict=True):
            output_counts.count(head.head, head.of(outputs), labels, bounds, counts[cells])
        out_of_range = join_indices([each.out_of_range for each in predictions])
        np.add.at(counts, self._features + out_of_range % predictions[0].rows.shape[1], 1)

    def _add(self, version: int, counts: Cells | int, gauges: Mapping[int, int]) -> None:
        """Add to the fields of a version, and set some of its gauges."""
        with self._counters.lock:
            fields = self._fields_of(version)
            fields += counts
            for field, value in gauges.items():
                fields[field] = value

    def _fields_of(self, version: int) -> Cells:
        """The fields of a version: those of an earlier process in this slot, or else of the lowest version."""
        blocks = self._versions.here.reshape(_MAX_VERSIONS, self._size)
        versions = blocks[:, _VERSION].tolist()
        if version in versions:
            fields: Cells = blocks[versions.index(version)]
            return fields
        fields = blocks[versions.index(min(versions))]
        fields[:] = 0
        fields[_VERSION] = version
        return fields

    def _merge(self, version: int, blocks: Cells) -> Counts:
        """The counts of one version from its ``blocks`` [processes, fields]: summed, or the maximum of gauges."""
        totals = [*blocks[:, :_SUCCESS].max(axis=0).tolist(), *blocks[:, _SUCCESS:].sum(axis=0).tolist()]
        heads = zip(self._heads, self._bounds_of(self._find_model(version)), self._outputs, strict=True)
        outputs = [output_counts.read(each.head, bounds, totals[cells]) for each, bounds, cells in heads]
        return Counts(dict(zip(_FIELDS, totals, strict=False)), outputs, totals[self._features :])

    def _bounds_of(self, model: Model | None) -> list[list[Bounds]]:
        """The bounds of each output's targets; none if they are not known."""
        return self._bounds.of(model) if model else [[] for _ in self._heads]


def _value_bounds(model: Model) -> list[list[Bounds]]:
    return [output_counts.value_bounds(model, head) for head in model.heads]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _unix_time(timestamp: str) -> int:
    """Seconds since 1970, or 0 if a manifest's timestamp can't be read."""
    try:
        return int(datetime.fromisoformat(timestamp).timestamp())
    except (ValueError, OverflowError):
        return 0
