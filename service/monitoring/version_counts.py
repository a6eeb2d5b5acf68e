"""Counts of the requests, rows and predictions of a model's versions that have the same features and outputs."""

import time
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from models.manifest import Manifest
from service.arrays import Prediction, join_indices, join_rows
from service.http.context import RequestContext
from service.inference.model import Model, PerModel
from service.monitoring import output_counts
from service.monitoring.output_counts import Bounds, OutputCounts
from service.monitoring.shared_counters import Cells, SharedCounters
from service.monitoring.version_table import MAX_VERSIONS, VersionTable

FIELDS = ("version", "last_ms", "successes", "success_ns", "failures", "failure_ns", "runs", "run_ns", "rows")
_VERSION, _LAST, _SUCCESS, _, _FAILURE, _, _RUNS, _RUN_NS, _ROWS = range(len(FIELDS))
_SUMS = _SUCCESS  # of the fields before it, the maximum over all workers counts


class Counts(NamedTuple):
    """The counts of a version: fields by name, what each output predicted, and rows by out-of-range feature."""

    fields: dict[str, int]
    outputs: list[OutputCounts]
    features: list[int]


class VersionCounts:
    """The counts of every version of a model that has the schema of ``model``; they lie under ``name``.

    Thresholds and the bounds for values may differ from version to version.

    Raises:
        RegionsFullError: there is no memory for them.
    """

    def __init__(self, counters: SharedCounters, model: Model) -> None:
        self._lock = counters.lock
        self._heads = model.heads
        self._has_label = bool(model.labels)  # so that each prediction has one
        sizes = [output_counts.size(each.head) for each in self._heads]
        self._outputs = [slice(*ends) for ends in pairwise(accumulate(sizes, initial=len(FIELDS)))]
        self._features = len(FIELDS) + sum(sizes)  # where the counts of out-of-range values begin
        self._size = self._features + len(model.features)
        self.name = f"versions/{model.name}/{_schema_key(model.manifest)}"
        self._table = VersionTable(counters.model_block(self.name, MAX_VERSIONS * self._size), self._size)

    def add(self, model: Model, contexts: Sequence[RequestContext]) -> None:
        """Count completed requests to a version; those on inference routes also as successes and failures."""
        counts, has_runs = self._count(model, contexts)
        with self._lock:
            cells = self._table.here(model.version)
            cells += counts
            if has_runs:
                cells[_LAST] = time.time_ns() // 1_000_000

    def by_version(self, models: Sequence[Model]) -> dict[int, Counts]:
        """The counts of every version; for the bounds of its values, it must be among the ``models``."""
        loaded = {model.version: model for model in models}
        return {version: self._read(cells, loaded.get(version)) for version, cells in self._table.by_version().items()}

    def none(self) -> Counts:
        """The counts of a version that nobody has asked for anything."""
        return self._read(np.zeros((1, self._size), np.int64), None)

    def _count(self, model: Model, contexts: Sequence[RequestContext]) -> tuple[Cells, bool]:
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
            self._count_rows(model, [prediction for prediction, _ in runs], counts)
        return counts, bool(runs)

    def _count_rows(self, model: Model, predictions: Sequence[Prediction], counts: Cells) -> None:
        """Count the rows by what each output predicted, and their out-of-range values by feature."""
        outputs = join_rows([each.outputs for each in predictions])
        counts[_ROWS] = len(outputs)
        labels = join_indices([each.labels for each in predictions]) if self._has_label else None
        for head, bounds, cells in zip(model.heads, _bounds.of(model), self._outputs, strict=True):
            output_counts.count(head.head, head.of(outputs), labels, bounds, counts[cells])
        out_of_range = join_indices([each.out_of_range for each in predictions])
        np.add.at(counts, self._features + out_of_range % predictions[0].rows.shape[1], 1)

    def _read(self, cells: Cells, model: Model | None) -> Counts:
        """The counts of one version from its ``cells`` [processes, fields]: the sum, or the maximum of its gauges."""
        totals = [*cells[:, :_SUMS].max(axis=0).tolist(), *cells[:, _SUMS:].sum(axis=0).tolist()]
        all_bounds = _bounds.of(model) if model else [[] for _ in self._heads]
        heads = zip(self._heads, all_bounds, self._outputs, strict=True)
        outputs = [output_counts.read(each.head, bounds, totals[cells]) for each, bounds, cells in heads]
        return Counts(dict(zip(FIELDS, totals, strict=False)), outputs, totals[self._features :])


def _schema_key(manifest: Manifest) -> str:
    """What two versions must have in common so that their counts mean the same."""
    heads = [(head.name, head.kind, head.column_names) for head in manifest.heads]
    return blake2b(repr((manifest.feature_names, heads)).encode(), digest_size=8).hexdigest()


def _value_bounds(model: Model) -> list[list[Bounds]]:
    return [output_counts.value_bounds(model, head) for head in model.heads]


_bounds = PerModel(_value_bounds)
