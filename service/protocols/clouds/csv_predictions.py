"""Predictions as CSV: a line for each row, with the columns that `python -m service.score` adds to a table."""

from collections.abc import Sequence

import numpy as np
import orjson

from service.arrays import Array, Prediction
from service.http import strict_json
from service.inference.heads import HeadColumns, predict_label_sets, predict_labels
from service.inference.model import Model


def write_csv(model: Model, prediction: Prediction) -> bytes:
    """The lines, without a header, so that the lines of several responses can be joined.

    For each output of the model: the label, its confidence and the probability of each label; or the list of labels as
    JSON and the probability of each; or the value of each target.
    """
    cells = [cells for head in model.heads for cells in _cells(model, head, prediction)]
    return b"".join([b",".join(line) + b"\n" for line in zip(*cells, strict=True)])


def _cells(model: Model, columns: HeadColumns, prediction: Prediction) -> list[Sequence[bytes]]:
    """What the lines have for one output: its cells, or several of them with commas between them."""
    head, outputs = columns.head, columns.of(prediction.outputs)
    if head.kind == "regression":
        return [_numbers(outputs)]
    if head.kind == "multi_label":
        sets = [np.flatnonzero(row) for row in predict_label_sets(head, outputs)]
        return [[_quote(orjson.dumps([head.labels[index] for index in each])) for each in sets], _numbers(outputs)]
    predicted = np.asarray(prediction.labels if model.labels else predict_labels(head, outputs))
    labels = [_quote(label.encode()) for label in head.labels]
    confidences = np.take_along_axis(outputs, predicted[:, np.newaxis], axis=1)
    return [[labels[index] for index in predicted], _numbers(confidences), _numbers(outputs)]


def _numbers(values: Array) -> list[bytes]:
    """Each row of [rows, columns] as shortest decimals with commas between them."""
    return strict_json.shortest_decimals(values)[2:-2].split(b"],[")


def _quote(cell: bytes) -> bytes:
    """A cell as RFC 4180, section 2, writes it."""
    return b'"%b"' % cell.replace(b'"', b'""') if cell.strip(b" ") != cell or {*b',"\r\n'} & {*cell} else cell
