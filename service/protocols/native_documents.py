"""The native protocol's documents for the predictions of one model.

They are written from templates, which takes a third of the time that dictionaries take: all that varies in a row's
document are numbers and, seldom, warnings.
"""

from collections.abc import Sequence

import numpy as np
import orjson

from service.arrays import Array, Prediction
from service.http import strict_json
from service.inference.model import Model


class NativeDocuments:
    """Templates for each label that a row can have; ``%b`` stands for a number."""

    def __init__(self, model: Model) -> None:
        self._model = model
        probabilities = b",".join([_literal(label) + b":%b" for label in model.labels])
        self._starts = [
            b'{"label":%b,"confidence":%%b,"probabilities":{%b},"warnings":' % (_literal(label), probabilities)
            for label in model.labels
        ]
        self._usual = [start + b"[]" for start in self._starts]
        self._end = b',"model":%b}' % _literal(model.identity)
        self._usual_responses = [usual + self._end for usual in self._usual]

    def row(self, prediction: Prediction) -> bytes:
        """The response for the only row of a prediction."""
        label = prediction.labels[0]
        values = _decimals(prediction.outputs)
        if prediction.out_of_range:  # hardly ever
            template = self._templates(prediction)[0] + self._end
        else:
            template = self._usual_responses[label]
        return template % (values[label], *values)

    def rows(self, prediction: Prediction) -> bytes:
        """The response for all rows of a prediction."""
        labels = np.asarray(prediction.labels)
        confidences = np.take_along_axis(prediction.outputs, labels[:, np.newaxis], axis=1)
        values = _decimals(np.concatenate((confidences, prediction.outputs), axis=1))
        template = b'{"predictions":[%b}]%b' % (b"},".join(self._templates(prediction)), self._end)
        return template % (*values,)

    def _templates(self, prediction: Prediction) -> Sequence[bytes]:
        """The template of each row, without the closing brace."""
        if not len(prediction.out_of_range):
            return [self._usual[label] for label in prediction.labels]
        return [
            self._starts[label] + _literal(sentences) if sentences else self._usual[label]
            for label, sentences in zip(prediction.labels, self._model.warnings(prediction), strict=True)
        ]


def _literal(value: object) -> bytes:
    """JSON that stands for itself in a template."""
    return orjson.dumps(value).replace(b"%", b"%%")


def _decimals(values: Array) -> list[bytes]:
    """The shortest decimals of float32 values, row by row."""
    return strict_json.shortest_decimals(values.ravel())[1:-1].split(b",")
