"""The native protocol's documents for the predictions of one model.

They are written from templates, which takes a third of the time that dictionaries take: all that varies in a row's
document are numbers and, seldom, labels and warnings.
"""

from collections.abc import Callable, Sequence

import numpy as np
import orjson

from models.signature import Head
from service.arrays import Array, Prediction
from service.http import strict_json
from service.inference.heads import HeadColumns, row_classifier, threshold_of
from service.inference.model import Model


class NativeDocuments:
    """``row`` gives the response for the only row of a prediction, ``rows`` that for all of its rows.

    Both end with ``end``, which names the model.
    """

    def __init__(self, model: Model) -> None:
        documents = _ClassificationDocuments(model) if model.labels else _HeadDocuments(model)
        self.row: Callable[[Prediction], bytes] = documents.row
        self.rows: Callable[[Prediction], bytes] = documents.rows
        self.end = _end(model) % ()


class _ClassificationDocuments:
    """Of a single classification: templates for each label that a row can have; ``%b`` stands for a number."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._starts = [b"{" + template + b',"warnings":' for template in _label_templates(model.labels)]
        self._usual = [start + b"[]" for start in self._starts]
        self._end = _end(model)
        self._usual_responses = [usual + self._end for usual in self._usual]

    def row(self, prediction: Prediction) -> bytes:
        label = prediction.labels[0]
        values = _decimals(prediction.outputs)
        if prediction.out_of_range:  # hardly ever
            template = self._templates(prediction)[0] + self._end
        else:
            template = self._usual_responses[label]
        return template % (values[label], *values)

    def rows(self, prediction: Prediction) -> bytes:
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


class _HeadDocuments:
    """Of any other model: one head's members, or an object with the members of each head by its name."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._write = _member_writer(model.heads[0].head) if len(model.heads) == 1 else _write_outputs(model.heads)
        self._end = _end(model) % ()

    def row(self, prediction: Prediction) -> bytes:
        members = self._write(prediction.outputs.tolist()[0], _decimals(prediction.outputs))
        warnings = orjson.dumps(self._model.warnings(prediction)[0]) if prediction.out_of_range else b"[]"
        return b'{%b,"warnings":%b%b' % (members, warnings, self._end)

    def rows(self, prediction: Prediction) -> bytes:
        width, decimals = prediction.outputs.shape[1], _decimals(prediction.outputs)
        members = [
            self._write(values, decimals[index * width : (index + 1) * width])
            for index, values in enumerate(prediction.outputs.tolist())
        ]
        warnings = [b"[]"] * len(members)
        if len(prediction.out_of_range):
            warnings = [orjson.dumps(sentences) for sentences in self._model.warnings(prediction)]
        documents = [b'{%b,"warnings":%b}' % each for each in zip(members, warnings, strict=True)]
        return b'{"predictions":[%b]%b' % (b",".join(documents), self._end)


_MemberWriter = Callable[[Sequence[float], Sequence[bytes]], bytes]
"""Writes the members of one head's prediction for a row, given the values of its columns and their decimals."""


def _member_writer(head: Head) -> _MemberWriter:
    writers = {"classification": _write_label, "multi_label": _write_label_set, "regression": _write_values}
    return writers[head.kind](head)


def _write_outputs(heads: Sequence[HeadColumns]) -> _MemberWriter:
    """Of several heads: the member ``outputs``."""
    writers = [(each.columns, _member_writer(each.head)) for each in heads]
    template = b'"outputs":{%b}' % b",".join([_literal(each.head.name) + b":{%b}" for each in heads])

    def write(values: Sequence[float], decimals: Sequence[bytes]) -> bytes:
        return template % (*[write(values[columns], decimals[columns]) for columns, write in writers],)

    return write


def _write_label(head: Head) -> _MemberWriter:
    templates, classify = _label_templates(head.labels), row_classifier(head)

    def write(values: Sequence[float], decimals: Sequence[bytes]) -> bytes:
        label = classify(values)
        return templates[label] % (decimals[label], *decimals)

    return write


def _write_label_set(head: Head) -> _MemberWriter:
    template = b'"labels":[%%b],"probabilities":{%b}' % _by_name(head.labels)
    labels, threshold = [orjson.dumps(label) for label in head.labels], threshold_of(head)

    def write(values: Sequence[float], decimals: Sequence[bytes]) -> bytes:
        predicted = [label for label, value in zip(labels, values, strict=True) if value > threshold]
        return template % (b",".join(predicted), *decimals)

    return write


def _write_values(head: Head) -> _MemberWriter:
    units = {target.name: target.unit for target in head.targets}
    template = b'"values":{%b},"units":%b' % (_by_name(head.column_names), _literal(units))
    return lambda _, decimals: template % (*decimals,)


def _label_templates(labels: Sequence[str]) -> list[bytes]:
    """For each label the members of a row for which a classification predicts it."""
    probabilities = _by_name(labels)
    return [b'"label":%b,"confidence":%%b,"probabilities":{%b}' % (_literal(label), probabilities) for label in labels]


def _by_name(names: Sequence[str]) -> bytes:
    """The members of an object with a number for each name."""
    return b",".join([_literal(name) + b":%b" for name in names])


def _end(model: Model) -> bytes:
    """How each response ends."""
    return b',"model":%b}' % _literal(model.identity)


def _literal(value: object) -> bytes:
    """JSON that stands for itself in a template."""
    return orjson.dumps(value).replace(b"%", b"%%")


def _decimals(values: Array) -> list[bytes]:
    """The shortest decimals of float32 values, row by row."""
    return strict_json.shortest_decimals(values.ravel())[1:-1].split(b",")
