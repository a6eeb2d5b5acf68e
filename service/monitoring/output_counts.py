"""What is counted of the rows that one output predicted: by label, by confidence, and by value.

The values of a regression's targets are counted in histograms whose bounds are quantiles of what the model predicts for
its sample: quantiles of recent values can be computed from them, on the scale of the target. Each version has bounds of
its own, so that its histogram is compared as a whole, not bucket by bucket. A sum of the values is not kept: it would
fall with each negative value, but Prometheus takes a counter that falls for one that was reset.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.signature import Head
from service.arrays import Array, Indices
from service.inference.binning.variables import MAX_CUTS, cut_positions
from service.inference.heads import HeadColumns, predict_label_sets, predict_labels
from service.inference.model import Model
from service.monitoring.shared_counters import Cells

Bounds = tuple[float, ...]

CONFIDENCE_BOUNDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)
_CONFIDENCE_BOUNDS = np.array(CONFIDENCE_BOUNDS, np.float32)  # clients read the float32 as 0.3
_MICRO = 1e-6
UNKNOWN_BOUNDS = (-1e6, -1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4, 1e6)  # of a model that was adopted without a sample
_CONFIDENCES = 1  # the first cell is the sum of the confidences, in millionths; where the histogram begins
_LABELS = _CONFIDENCES + len(CONFIDENCE_BOUNDS) + 1
_VALUES = MAX_CUTS + 1  # cells of each target


class Histogram(NamedTuple):
    """The number of rows in each bucket, the last of which is above all ``bounds``, and the ``total`` if it is kept."""

    bounds: Bounds
    counts: list[int]
    total: float | None = None


class OutputCounts(NamedTuple):
    """Rows by label, by the predicted label's probability in a classification, and by value of each target."""

    labels: list[int]
    confidence: Histogram | None
    values: list[Histogram]


def size(head: Head) -> int:
    """How many cells an output needs."""
    columns = len(head.column_names)
    return {"classification": _LABELS + columns, "multi_label": columns, "regression": columns * _VALUES}[head.kind]


def value_bounds(model: Model, head: HeadColumns) -> list[Bounds]:
    """The bounds of each target's histogram; none for labels."""
    reference = model.manifest.reference
    if head.head.kind != "regression":
        return []
    if not reference:
        return [UNKNOWN_BOUNDS] * len(head.head.targets)
    cuts = cut_positions(len(reference.probabilities))
    quantiles = [reference.targets[name] for name in model.column_names[head.columns]]
    return [tuple(sorted({float(str(np.float32(each[cut]))) for cut in cuts})) for each in quantiles]


def count(head: Head, outputs: Array, labels: Indices | None, bounds: Sequence[Bounds], cells: Cells) -> None:
    """Add rows to an output's ``cells``.

    ``outputs`` [rows, columns] are the output's own, ``labels`` [rows] the predicted ones if they are known already.
    Without the ``bounds`` of each target, values are not counted.
    """
    if head.kind == "classification":
        predicted = predict_labels(head, outputs) if labels is None else labels
        confidences = outputs[np.arange(len(predicted)), predicted]
        cells[0] += int(confidences.sum(dtype=np.float64) * 1e6)
        np.add.at(cells, _CONFIDENCES + np.searchsorted(_CONFIDENCE_BOUNDS, confidences), 1)
        np.add.at(cells, _LABELS + predicted, 1)
    elif head.kind == "multi_label":
        cells += predict_label_sets(head, outputs).sum(axis=0)
    else:
        for index, (limits, values) in enumerate(zip(bounds, outputs.T, strict=False)):
            np.add.at(cells, index * _VALUES + np.searchsorted(np.array(limits, np.float32), values), 1)


def read(head: Head, bounds: Sequence[Bounds], cells: list[int]) -> OutputCounts:
    """The counts in an output's cells, given the ``bounds`` with which they were counted."""
    if head.kind == "classification":
        confidence = Histogram(CONFIDENCE_BOUNDS, cells[_CONFIDENCES:_LABELS], cells[0] * _MICRO)
        return OutputCounts(cells[_LABELS:], confidence, [])
    if head.kind == "multi_label":
        return OutputCounts(cells, None, [])
    starts = range(0, len(cells), _VALUES)
    values = [
        Histogram(limits, cells[start : start + len(limits) + 1]) for limits, start in zip(bounds, starts, strict=False)
    ]
    return OutputCounts([], None, values)
