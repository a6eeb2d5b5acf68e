"""The columns of a scored table that hold what one output of the model predicts."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.arrays import Array, Indices
from service.inference.heads import HeadColumns, predict_label_sets, predict_labels

DICTIONARY = pa.dictionary(pa.int32(), pa.string())


class OutputColumns:
    """Turns an output's numbers into columns that have ``fields``.

    The names of the fields begin with the output's name unless it ``is_only`` one.
    """

    def __init__(self, head: HeadColumns, *, is_only: bool) -> None:
        self._head = head
        self._is_only = is_only
        names = {
            "classification": ["label", "confidence", *(f"probability_{label}" for label in head.head.labels)],
            "multi_label": ["labels", *(f"probability_{label}" for label in head.head.labels)],
            "regression": [f"value_{target.name}" for target in head.head.targets],
        }[head.head.kind]
        types = {"label": DICTIONARY, "labels": pa.list_(pa.string())}
        prefix = "" if is_only else f"{head.head.name}_"
        self.fields = [pa.field(f"{prefix}{name}", types.get(name, pa.float32())) for name in names]

    def columns(self, outputs: Array, labels: Indices) -> list[pa.Array]:
        """The columns of the rows with these ``outputs`` of the network, [rows, columns].

        ``labels`` [rows] are those that the model predicts if it is a single classification.
        """
        head, values = self._head.head, self._head.of(outputs)
        numbers = [pa.array(np.ascontiguousarray(column)) for column in values.T]
        if head.kind == "classification":
            predicted = labels if self._is_only else predict_labels(head, values)
            confidences = values[np.arange(len(values)), predicted]
            return [dictionary_column(predicted, head.labels), pa.array(confidences), *numbers]
        if head.kind == "multi_label":
            return [_label_set_column(predict_label_sets(head, values), head.labels), *numbers]
        return numbers


def dictionary_column(indices: Indices, values: Sequence[str]) -> pa.Array:
    """A column with the value at each index."""
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(values, pa.string()))


def list_column(lengths: Indices, values: pa.Array) -> pa.Array:
    """A column of lists that have these lengths and, one after the other, these values."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _label_set_column(predicted: NDArray[np.bool_], labels: Sequence[str]) -> pa.Array:
    """For each row of ``predicted`` [rows, labels] the list of its labels, in the model's order."""
    _, indices = np.nonzero(predicted)
    return list_column(predicted.sum(axis=1), pa.array(labels, pa.string()).take(pa.array(indices)))
