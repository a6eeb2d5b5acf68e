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
    """A head and the columns of the network's output that are its own."""

    head: Head
    columns: slice

    def of(self, outputs: Array) -> Array:
        """The head's columns [rows, labels or targets] of a network's output [rows, columns]."""
        return outputs[:, self.columns]


def assign_columns(manifest: Manifest) -> tuple[HeadColumns, ...]:
    """Each head of a model with its columns, which follow each other."""
    assigned, start = [], 0
    for head in manifest.heads:
        stop = start + len(head.column_names)
        assigned.append(HeadColumns(head, slice(start, stop)))
        start = stop
    return tuple(assigned)


def predict_labels(head: Head, probabilities: Array) -> Indices:
    """The index of the label that a classification predicts, [rows], from its probabilities [rows, labels]."""
    if head.threshold is None:
        most_probable: Indices = probabilities.argmax(axis=1)
        return most_probable
    return (probabilities[:, 1] > head.threshold).astype(np.intp)


def predict_label_sets(head: Head, probabilities: Array) -> NDArray[np.bool_]:
    """Which labels a multi-label head predicts, [rows, labels], from their probabilities of the same shape."""
    return probabilities > (head.threshold or DEFAULT_THRESHOLD)


def row_classifier(manifest: Manifest) -> Callable[[Sequence[float]], int]:
    """What finds the predicted label's index in the output of one row; 0 if the model is no single classification.

    Python's functions take a few us less than NumPy's.
    """
    if not manifest.class_labels:
        return lambda _: 0
    threshold = manifest.heads[0].threshold
    if threshold is None:
        return lambda values: values.index(max(values))
    return lambda values: int(values[1] > threshold)
