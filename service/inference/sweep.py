"""What becomes of an answer while one feature changes and the others stay: how it goes, and where the label tips."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import Feature
from service.inference.engine import Array

_SCANNED = 64  # points between two knots
_TOLD = 8  # one in so many of them is told
_REFINED = 65  # parts of a bracket in each round, so that three rounds give a 275,000th of it
_ROUNDS = 3

Answer = Callable[[Array], Array]


class Change(NamedTuple):
    """The first value found with another label, and that label's index. The value before it differs by rounding."""

    at: np.float32
    label: int


class Sweep(NamedTuple):
    """``values`` [n] of one feature, ascending, and their ``probabilities`` [n, labels]; the nearest changes."""

    values: Array
    probabilities: Array
    below: Change | None
    above: Change | None


def knots(feature: Feature, quantiles: Sequence[float]) -> Array:
    """A feature's bounds and the quantiles of its training values between them, ascending.

    Between any two of them a sweep has equally many points, so it is dense where the data are, over however many
    decades they spread. The bounds are such that their shortest decimals are still accepted.
    """
    low, high = np.float32(feature.minimum), np.float32(feature.maximum)
    low = np.nextafter(low, np.float32(np.inf)) if float(str(low)) < feature.minimum else low
    high = np.nextafter(high, np.float32(-np.inf)) if float(str(high)) > feature.maximum else high
    return np.sort(np.clip(np.array([low, *quantiles, high], np.float32), low, high))


def sweep(answer: Answer, row: Array, feature: int, knots: Array) -> Sweep:
    """How ``answer``, [rows, labels] for [rows, features], goes from the first to the last knot of one feature.

    ``row`` is [features]; its own value is among those told, and so are both sides of every change of the label.
    A label that holds only between two neighbours of the 64 points between two knots is not seen.
    """
    values = _grid(knots, row[feature])
    probabilities = answer(_varied(row, feature, values))
    labels = probabilities.argmax(axis=1)
    here = int(np.searchsorted(values, row[feature]))
    told = _worth_telling(labels, here)
    return Sweep(
        values[told],
        probabilities[told],
        _change(answer, row, feature, values[here::-1], labels[here::-1]),
        _change(answer, row, feature, values[here:], labels[here:]),
    )


def _grid(knots: Array, value: np.float32) -> Array:
    steps = np.linspace(0, len(knots) - 1, (len(knots) - 1) * _SCANNED + 1)
    between = np.interp(steps, np.arange(len(knots)), knots).astype(np.float32)
    return _ascending(np.append(between, value))


def _ascending(values: Array) -> Array:
    """The values in order, each once; `np.unique` would import another 11 ms of NumPy on the first call."""
    ordered = np.sort(values)
    once: Array = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return once


def _varied(row: Array, feature: int, values: Array) -> Array:
    rows = np.tile(row, (len(values), 1))
    rows[:, feature] = values
    return rows


def _worth_telling(labels: NDArray[np.intp], here: int) -> NDArray[np.bool_]:
    told = np.zeros(len(labels), bool)
    told[::_TOLD] = told[here] = told[-1] = True
    changes = labels[1:] != labels[:-1]
    told[1:] |= changes
    told[:-1] |= changes
    return told


def _change(answer: Answer, row: Array, feature: int, values: Array, labels: NDArray[np.intp]) -> Change | None:
    """Where, going along ``values`` from the row's own, the label is first another one; None if it never is."""
    change = None
    for _ in range(_ROUNDS + 1):
        others = np.flatnonzero(labels != labels[0])
        if not others.size:
            break
        first = others[0]
        change = Change(values[first], int(labels[first]))
        values = np.linspace(values[first - 1], values[first], _REFINED + 1, dtype=np.float32)
        labels = answer(_varied(row, feature, values)).argmax(axis=1)
    return change
