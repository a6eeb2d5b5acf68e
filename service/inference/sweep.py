"""Sweeps: how the prediction changes with one feature while the others stay, and where the label changes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import Feature
from service.arrays import Array, Indices

_POINTS = 64  # evaluated between two knots
_REPORT_EVERY = 8  # points
_PARTS = 65  # of a bracket in each round: three rounds narrow it to a 275,000th
_ROUNDS = 3

Predict = Callable[[Array], Array]


class Change(NamedTuple):
    """The first value with another label, exact to rounding, and the index of that label."""

    value: np.float32
    label: int


class Sweep(NamedTuple):
    """Ascending ``values`` [n] of one feature, their ``probabilities`` [n, labels], and the nearest label changes."""

    values: Array
    probabilities: Array
    below: Change | None
    above: Change | None


def knots(feature: Feature, quantiles: Sequence[float]) -> Array:
    """A feature's bounds and the quantiles of its training values between them, ascending.

    A sweep has equally many points between any two knots, so it is dense where the data are, even over many decades.
    The bounds are rounded so that their shortest decimals are still accepted as input.
    """
    low, high = np.float32(feature.minimum), np.float32(feature.maximum)
    low = np.nextafter(low, np.float32(np.inf)) if float(str(low)) < feature.minimum else low
    high = np.nextafter(high, np.float32(-np.inf)) if float(str(high)) > feature.maximum else high
    return np.sort(np.clip(np.array([low, *quantiles, high], np.float32), low, high))


def sweep(predict: Predict, row: Array, feature: int, knots: Array) -> Sweep:
    """Vary one feature of ``row`` [features] from the first to the last knot.

    ``predict`` gives probabilities [rows, labels] for [rows, features]. The row's own value and both sides of every
    label change are reported. A label that holds only between two neighbouring points is missed.
    """
    values = _grid(knots, row[feature])
    probabilities = predict(_with_values(row, feature, values))
    labels = probabilities.argmax(axis=1)
    own = int(np.searchsorted(values, row[feature]))
    reported = _is_reported(labels, own)
    return Sweep(
        values[reported],
        probabilities[reported],
        _change(predict, row, feature, values[own::-1], labels[own::-1]),
        _change(predict, row, feature, values[own:], labels[own:]),
    )


def _grid(knots: Array, value: np.float32) -> Array:
    steps = np.linspace(0, len(knots) - 1, (len(knots) - 1) * _POINTS + 1)
    between = np.interp(steps, np.arange(len(knots)), knots).astype(np.float32)
    return _sorted_unique(np.append(between, value))


def _sorted_unique(values: Array) -> Array:
    """As `np.unique`, whose first call would import another 11 ms of NumPy."""
    ordered = np.sort(values)
    unique: Array = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return unique


def _with_values(row: Array, feature: int, values: Array) -> Array:
    rows = np.tile(row, (len(values), 1))
    rows[:, feature] = values
    return rows


def _is_reported(labels: Indices, own: int) -> NDArray[np.bool_]:
    reported = np.zeros(len(labels), bool)
    reported[::_REPORT_EVERY] = reported[own] = reported[-1] = True
    changes = labels[1:] != labels[:-1]
    reported[1:] |= changes
    reported[:-1] |= changes
    return reported


def _change(predict: Predict, row: Array, feature: int, values: Array, labels: Indices) -> Change | None:
    """The first change of the label along ``values``, which begin with the row's own; None if there is none."""
    change = None
    for _ in range(_ROUNDS + 1):
        others = np.flatnonzero(labels != labels[0])
        if not others.size:
            break
        first = others[0]
        change = Change(values[first], int(labels[first]))
        values = np.linspace(values[first - 1], values[first], _PARTS + 1, dtype=np.float32)
        labels = predict(_with_values(row, feature, values)).argmax(axis=1)
    return change
