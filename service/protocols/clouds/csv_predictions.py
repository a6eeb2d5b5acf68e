"""Predictions as CSV: a line for each row, with the columns that `python -m service.score` adds to a table."""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any

import numpy as np
import orjson

from service.arrays import Prediction
from service.http import strict_json
from service.inference.heads import HeadColumns, predict_label_sets, predict_labels
from service.inference.model import Model


def write_csv(model: Model, prediction: Prediction) -> bytes:
    """The lines, without a header, so that the lines of several responses can be joined.

    For each output of the model: the label, its confidence and the probability of each label; or the list of labels as
    JSON and the probability of each; or the value of each target.
    """
    columns = [column for head in model.heads for column in _columns(model, head, prediction)]
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
    return text.getvalue().encode()


def _columns(model: Model, columns: HeadColumns, prediction: Prediction) -> list[Sequence[Any]]:
    head, outputs = columns.head, columns.of(prediction.outputs)
    numbers: list[Sequence[Any]] = [*zip(*strict_json.shortest_floats(outputs), strict=True)]
    if head.kind == "regression":
        return numbers
    if head.kind == "multi_label":
        sets = [
            [label for label, is_in in zip(head.labels, row, strict=True) if is_in]
            for row in predict_label_sets(head, outputs).tolist()
        ]
        return [[orjson.dumps(labels).decode() for labels in sets], *numbers]
    predicted = np.asarray(prediction.labels if model.labels else predict_labels(head, outputs))
    confidences = np.take_along_axis(outputs, predicted[:, np.newaxis], axis=1)
    labels = [head.labels[index] for index in predicted]
    return [labels, [value for (value,) in strict_json.shortest_floats(confidences)], *numbers]
