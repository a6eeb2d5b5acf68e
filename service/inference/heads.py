"""Heads: which columns of a network's output belong to which of the model's outputs, and what they predict."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import Manifest
from models.signature import Head
from service.arrays import Array, Indices

DEFAULT_THRESHOLD = 0.5


class HeadColumns(NamedTuple):
    """A head and the columns of the network's output that are its own.

    The model itself gives ``raw_width`` columns: ``raw_columns``, or the output of ``head.layer`` if that is None.
    """

    head: Head
    columns: slice
    raw_columns: slice | None
    raw_width: int

    def of(self, outputs: Array) -> Array:
        """The head's columns [rows, labels or targets] of a network's output [rows, columns]."""
        return outputs[:, self.columns]


def assign_columns(manifest: Manifest) -> tuple[HeadColumns, ...]:
    """Each head of a model with its columns, which follow each other."""
    widths = {layer.name: layer.units for layer in manifest.layers}
    assigned, start = [], 0
    for head in manifest.heads:
        stop = start + len(head.column_names)
        columns = slice(start, stop)
        raw_columns = _find_raw_columns(manifest, head, columns)
        raw_width = widths[head.layer] if head.layer != manifest.layers[-1].name else stop - start
        assigned.append(HeadColumns(head, columns, raw_columns, raw_width))
        start = stop
    return tuple(assigned)


def _find_raw_columns(manifest: Manifest, head: Head, columns: slice) -> slice | None:
    """All of the head's columns, or the last one, if they have the numbers of ``head.layer`` in every golden row.

    The last one: of two labels, a model may give only the probability of the second.
    """
    last = manifest.layers[-1].name
    served, raw = (np.array([row.outputs[name] for row in manifest.golden]) for name in (last, head.layer))
    if head.layer == last:
        return columns
    parts = (columns, slice(columns.stop - 1, columns.stop))
    return next((part for part in parts if np.array_equal(served[:, part], raw)), None)


def threshold_of(head: Head) -> float:
    """The threshold of a head in the precision of its probabilities: as float32, so that 0.3 is not above 0.3."""
    return float(np.float32(head.threshold or DEFAULT_THRESHOLD))


def predict_labels(head: Head, probabilities: Array) -> Indices:
    """The index of the label that a classification predicts, [rows], from its probabilities [rows, labels]."""
    if head.threshold is None:
        most_probable: Indices = probabilities.argmax(axis=1)
        return most_probable
    return (probabilities[:, 1] > threshold_of(head)).astype(np.intp)


def predict_label_sets(head: Head, probabilities: Array) -> NDArray[np.bool_]:
    """Which labels a multi-label head predicts, [rows, labels], from their probabilities of the same shape."""
    return probabilities > threshold_of(head)


def row_classifier(head: Head) -> Callable[[Sequence[float]], int]:
    """What finds the index of the label that a classification predicts in the probabilities of one row.

    Python's functions take a few us less than NumPy's.
    """
    if head.threshold is None:
        return lambda values: values.index(max(values))
    threshold = threshold_of(head)
    return lambda values: int(values[1] > threshold)
