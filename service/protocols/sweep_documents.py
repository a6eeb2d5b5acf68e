"""The sweeps of a row as documents: what the prediction would be if one feature had another value."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from models.feature import MISSING, Feature
from models.reference_statistics import ALL_ROWS, Reference
from service.arrays import Array
from service.inference.model import Model
from service.inference.sweep import (
    POINTS,
    REPORTED_POINTS,
    Change,
    Grid,
    fewer_points,
    grid,
    knots,
    output_sweeps,
    sweeps,
    try_codes,
    whole_grid,
)

MAX_CATEGORIES = 50  # of one feature that are tried: the most frequent ones, and the row's own
_Document = dict[str, Any]


class SweepDocuments:
    """Writes the sweeps of one model for a row.

    Numbers are varied between their bounds, and left out where they may be missing. Categories are replaced by others.
    """

    def __init__(self, model: Model, reference: Reference) -> None:
        self._model = model
        self._labels = np.array(model.labels, object)
        features = list(enumerate(model.features))
        self._numbers = [_number_grid(model, index, reference) for index, each in features if not each.is_category]
        self._missing = [
            Grid(index, np.array([MISSING], np.float32))
            for index, each in features
            if each.allow_missing and not each.is_category
        ]
        self._categories = [
            Grid(index, _frequent_codes(each, reference)) for index, each in features if each.categories
        ]

    def of(self, row: Array) -> _Document:
        """The sweep of every feature by its name, for a row of codes, [features].

        Raises:
            ArithmeticError: the network overflows for one of the values.
        """
        vary = self._label_sweeps if self._model.labels else self._output_sweeps
        swept = {number.feature: document for number, document in zip(self._numbers, vary(row), strict=True)}
        tried = [*self._missing, *(_with_own_code(each, row[each.feature]) for each in self._categories)]
        for each, outputs in zip(tried, try_codes(self._model.outputs, row, tried), strict=True):
            feature = self._model.features[each.feature]
            entries = list(self._entries(feature, each.values, outputs, row[each.feature]))
            if feature.is_category:
                omitted = len(feature.categories) - int((each.values < len(feature.categories)).sum())
                swept[each.feature] = {"categories": entries, "omitted": omitted}
            else:
                swept[each.feature]["missing"] = entries[0]
        return {each.name: swept.get(index) or _hashed(each) for index, each in enumerate(self._model.features)}

    def _label_sweeps(self, row: Array) -> Iterator[_Document]:
        """The sweeps of the numbers of a single classification."""
        model = self._model
        swept_numbers = sweeps(model.outputs, row, self._numbers, model.predict_labels)
        for number, swept in zip(self._numbers, swept_numbers, strict=True):
            yield {
                "values": _values(number, swept.values),
                "labels": self._labels.take(swept.labels).tolist(),
                "probabilities": self._by_column(np.ascontiguousarray(swept.probabilities.T)),
                "changes": {"below": self._change(number, swept.below), "above": self._change(number, swept.above)},
            }

    def _output_sweeps(self, row: Array) -> Iterator[_Document]:
        """The sweeps of the numbers of all other models."""
        swept_numbers = output_sweeps(self._model.outputs, row, self._numbers)
        for number, swept in zip(self._numbers, swept_numbers, strict=True):
            outputs = self._by_column(np.ascontiguousarray(swept.outputs.T))
            yield {"values": _values(number, swept.values), "outputs": outputs}

    def _entries(self, feature: Feature, codes: Array, outputs: Array, own: np.float32) -> Iterator[_Document]:
        """What is predicted with each code of a category, or without the value of a number."""
        labels = self._model.predict_labels(outputs)
        for code, predicted, label in zip(codes, outputs, labels, strict=True):
            entry: _Document = {}
            if feature.is_category:
                is_other = code == feature.other_code
                entry = {"other": True} if is_other else {"value": feature.from_code(code)}
            entry["own"] = bool(code == own or (np.isnan(code) and np.isnan(own)))
            if self._model.labels:
                entry |= {"label": self._model.labels[label], "probabilities": self._by_column(predicted)}
            else:
                entry |= {"outputs": self._by_column(predicted)}
            yield entry

    def _change(self, number: Grid, change: Change | None) -> _Document | None:
        if change is None:
            return None
        return {"at": int(change.value) if number.is_whole else change.value, "label": self._model.labels[change.label]}

    def _by_column(self, values: Array) -> _Document:
        return dict(zip(self._model.column_names, values, strict=True))


def _number_grid(model: Model, index: int, reference: Reference) -> Grid:
    feature = model.features[index]
    ends = knots(feature, reference.features[feature.name])
    points = _points(model)
    if feature.kind == "integer":
        return whole_grid(index, ends, points)
    report_every = points // REPORTED_POINTS
    return Grid(index, grid(ends, points), report_every)


def _points(model: Model) -> int:
    """How many points between two quantiles are evaluated."""
    if not model.labels:
        return REPORTED_POINTS
    return POINTS if model.manifest.format == 1 else fewer_points(len(model.features))


def _frequent_codes(feature: Feature, reference: Reference) -> Array:
    """The codes of the most frequent categories, in the vocabulary's order, of "other", and of a missing value."""
    shares = np.array(reference.categories[ALL_ROWS][feature.name][: len(feature.categories)])
    frequent = np.sort(np.argsort(-shares, kind="stable")[:MAX_CATEGORIES])
    others = [feature.other_code] * feature.allow_other + [MISSING] * feature.allow_missing
    return np.array([*frequent, *others], np.float32)


def _with_own_code(tried: Grid, own: np.float32) -> Grid:
    """The grid with the code of the row itself."""
    if np.isnan(own) or own in tried.values:
        return tried
    return tried._replace(values=np.sort(np.append(tried.values, own)))


def _values(number: Grid, values: Array) -> Any:
    return values.astype(np.int64) if number.is_whole else values


def _hashed(feature: Feature) -> _Document:
    reason = f"the values of {feature.name} are hashed, so there is no list of categories to try"
    return {"categories": None, "categories_reason": reason}
