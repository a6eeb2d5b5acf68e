"""Sweeps: how the prediction changes with one feature while the others stay, and where the label changes.

Categories have no order: `try_codes` predicts one row for each.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import ceil, floor
from typing import NamedTuple

import numpy as np

from models.feature import Feature
from service.arrays import Array, Indices

POINTS = 64  # evaluated between two knots
REPORTED_POINTS = 8  # of them; all that are evaluated where there are no label changes to find
_MANY_FEATURES = 12  # beyond, `fewer_points` keeps the work of all sweeps together the same
_PARTS = 65  # of a bracket in each round: three rounds narrow it to a 275,000th
_ROUNDS = 3
_RUN_VALUES = 2**18  # of the rows in one run of the network: 1 MB

Predict = Callable[[Array], Array]
Classify = Callable[[Array], Indices]


class Grid(NamedTuple):
    """The ``values`` that the sweep of a feature tries, ascending.

    One of ``report_every`` is reported. Where the label changes, only whole values are tried between them, if
    ``is_whole``.
    """

    feature: int
    values: Array
    report_every: int = POINTS // REPORTED_POINTS
    is_whole: bool = False


class Change(NamedTuple):
    """The first value with another label, exact to rounding, and the index of that label."""

    value: np.float32
    label: int


class Sweep(NamedTuple):
    """Ascending ``values`` [n] of one feature, what is predicted for them, and the nearest label changes.

    ``probabilities`` are [n, labels], ``labels`` [n] the indices of the predicted labels.
    """

    values: Array
    probabilities: Array
    labels: Indices
    below: Change | None
    above: Change | None


class OutputSweep(NamedTuple):
    """Ascending ``values`` [n] of one feature and the network's ``outputs`` [n, columns] for them."""

    values: Array
    outputs: Array


class _Task(NamedTuple):
    """The ``row`` [features] that is varied, and what predicts and classifies the variants."""

    row: Array
    predict: Predict
    classify: Classify


class _Scan(NamedTuple):
    """The ``values`` of a feature that are tried, and what is predicted.

    ``own`` is the index of the row's value, None if that is missing.
    """

    grid: Grid
    own: int | None
    values: Array
    probabilities: Array
    labels: Indices

    @property
    def changes(self) -> Indices:
        """The indices of the values after which the label is another one."""
        return np.flatnonzero(self.labels[1:] != self.labels[:-1])


class _Bracket(NamedTuple):
    """Two values of a feature between which the label changes; ``label`` is that of the ``far`` one."""

    grid: Grid
    near: np.float32
    far: np.float32
    label: int


def knots(feature: Feature, quantiles: Sequence[float]) -> Array:
    """A feature's bounds and the quantiles of its training values between them, ascending.

    A sweep has equally many points between any two knots, so it is dense where the data are, even over many decades.
    The bounds are rounded so that their shortest decimals are still accepted as input.
    """
    lowest, highest = feature.lowest, feature.highest
    if feature.kind == "integer":
        lowest, highest = ceil(lowest), floor(highest)
    low, high = np.float32(lowest), np.float32(highest)
    low = np.nextafter(low, np.float32(np.inf)) if float(str(low)) < lowest else low
    high = np.nextafter(high, np.float32(-np.inf)) if float(str(high)) > highest else high
    return np.sort(np.clip(np.array([low, *quantiles, high], np.float32), low, high))


def grid(knots: Array, points: int = POINTS) -> Array:
    """The values that a sweep tries from the first to the last knot, ascending: ``points`` between two knots."""
    steps = np.linspace(0, len(knots) - 1, (len(knots) - 1) * points + 1)
    return _sorted_unique(np.interp(steps, np.arange(len(knots)), knots).astype(np.float32))


def whole_grid(feature: int, knots: Array, points: int = POINTS) -> Grid:
    """The whole values that the sweep of an integer tries; about as many are reported as of other numbers."""
    values = _sorted_unique(np.rint(grid(knots, points)))
    return Grid(feature, values, -(-len(values) // (REPORTED_POINTS * (len(knots) - 1))), is_whole=True)


def fewer_points(features: int) -> int:
    """The points to evaluate between two knots for a model with so many features, a multiple of those reported."""
    fitting = POINTS * _MANY_FEATURES // max(features, _MANY_FEATURES)
    return max(fitting // REPORTED_POINTS, 1) * REPORTED_POINTS


def most_probable(probabilities: Array) -> Indices:
    """The index of each row's most probable label, [rows]."""
    labels: Indices = probabilities.argmax(axis=1)
    return labels


def sweeps(
    predict: Predict,
    row: Array,
    grids: Sequence[Grid],
    classify: Classify = most_probable,
) -> Iterator[Sweep]:
    """Vary features of ``row`` [features], each over its grid, while the others stay.

    ``predict`` gives probabilities [rows, labels] for [rows, features], ``classify`` the indices of the predicted
    labels [rows] for these. Reported are the grid's points, the row's own value unless it is missing, and both sides of
    every label change. A label that holds only between two neighbouring points is missed.
    """
    task = _Task(row, predict, classify)
    for together in _runs(row, grids):
        yield from _sweep_together(task, together)


def output_sweeps(predict: Predict, row: Array, grids: Sequence[Grid]) -> Iterator[OutputSweep]:
    """As `sweeps`, for outputs that have no labels: all values are reported."""
    for together in _runs(row, grids):
        values = [_with_value(each.values, row[each.feature])[0] for each in together]
        yield from map(OutputSweep, values, _predict_varied(predict, row, together, values))


def try_codes(predict: Predict, row: Array, grids: Sequence[Grid]) -> Iterator[Array]:
    """What is predicted with each of the values of each grid [values, columns]; the values may have any order."""
    for together in _runs(row, grids):
        yield from _predict_varied(predict, row, together, [each.values for each in together])


def sweep(predict: Predict, row: Array, feature: int, knots: Array) -> Sweep:
    """As `sweeps`, but of one feature."""
    (swept,) = _sweep_together(_Task(row, predict, most_probable), [Grid(feature, grid(knots))])
    return swept


def _runs(row: Array, grids: Sequence[Grid]) -> Iterator[Sequence[Grid]]:
    """The grids whose features are swept in the same runs of the network."""
    most = len(row) * (1 + max((len(each.values) for each in grids), default=0))  # values in the rows of one feature
    size = max(1, _RUN_VALUES // most)  # features in one run
    for start in range(0, len(grids), size):
        yield grids[start : start + size]


def _predict_varied(predict: Predict, row: Array, grids: Sequence[Grid], values: Sequence[Array]) -> Iterator[Array]:
    """What is predicted with each of the values of each grid's feature, [values, columns]."""
    outputs = predict(_vary(row, [each.feature for each in grids], values))
    return (outputs[part] for part in _parts(values))


def _sweep_together(task: _Task, grids: Sequence[Grid]) -> Iterator[Sweep]:
    """Sweep features in the same runs of the network, because a run with few rows costs nearly as much."""
    scans = _scan(task, grids)
    sides = [bracket for scan in scans for bracket in _brackets(scan)]
    narrowed = iter(_narrow(task, [bracket for bracket in sides if bracket]))
    changes = [next(narrowed) if bracket else None for bracket in sides]
    for scan, below, above in zip(scans, changes[::2], changes[1::2], strict=True):
        reported = _reported(scan)
        values, probabilities = scan.values.take(reported), scan.probabilities.take(reported, axis=0)
        yield Sweep(values, probabilities, scan.labels.take(reported), below, above)


def _scan(task: _Task, grids: Sequence[Grid]) -> list[_Scan]:
    features = [each.feature for each in grids]
    values, own = zip(*map(_with_value, (each.values for each in grids), task.row[features]), strict=True)
    probabilities = task.predict(_vary(task.row, features, values))
    labels = task.classify(probabilities)
    return [
        _Scan(grid, index, column, probabilities[part], labels[part])
        for grid, index, column, part in zip(grids, own, values, _parts(values), strict=True)
    ]


def _parts(values: Sequence[Array]) -> list[slice]:
    """Where the rows of each feature are among those of `_vary`."""
    return [slice(*ends) for ends in pairwise(accumulate(map(len, values), initial=0))]


def _sorted_unique(values: Array) -> Array:
    """As `np.unique`, whose first call would import another 11 ms of NumPy."""
    ordered = np.sort(values)
    unique: Array = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return unique


def _with_value(grid: Array, value: np.float32) -> tuple[Array, int | None]:
    """The grid with a value added, in the place of an equal one if there is one; and the index of the value.

    A missing value has no place between the others.
    """
    if np.isnan(value):
        return grid, None
    index = int(grid.searchsorted(value))
    rest = index + int(index < len(grid) and grid[index] == value)
    return np.concatenate((grid[:index], [value], grid[rest:])), index


def _vary(row: Array, features: Iterable[int], values: Sequence[Array]) -> Array:
    """A row for each of the values of each feature, in this order."""
    rows = np.repeat(row[np.newaxis], sum(map(len, values)), axis=0)
    end = 0
    for feature, column in zip(features, values, strict=True):
        start, end = end, end + len(column)
        rows[start:end, feature] = column
    return rows


def _reported(scan: _Scan) -> Indices:
    """The indices of the values to report."""
    is_reported = np.zeros(len(scan.values), bool)
    is_reported[:: scan.grid.report_every] = is_reported[-1] = True
    if scan.own is not None:
        is_reported[scan.own] = True
    changes = scan.changes
    is_reported[changes] = is_reported[changes + 1] = True
    return np.flatnonzero(is_reported)


def _brackets(scan: _Scan) -> tuple[_Bracket | None, _Bracket | None]:
    """The values around the nearest change of the label below the row's own value, and around that above it."""
    if scan.own is None:
        return None, None
    changes = scan.changes
    position = changes.searchsorted(scan.own)  # of the first change above
    below = _bracket(scan, changes[position - 1] + 1, -1) if position > 0 else None
    above = _bracket(scan, changes[position], 1) if position < len(changes) else None
    return below, above


def _bracket(scan: _Scan, near: int, step: int) -> _Bracket:
    far = near + step
    return _Bracket(scan.grid, scan.values[near], scan.values[far], int(scan.labels[far]))


def _narrow(task: _Task, brackets: Sequence[_Bracket]) -> list[Change]:
    """The first change of the label in each bracket, from ``near`` to ``far``."""
    for _ in range(_ROUNDS if brackets else 0):
        grids, near, far, _ = zip(*brackets, strict=True)
        values = np.linspace(near, far, _PARTS + 1, dtype=np.float32).T
        if any(is_whole := [each.is_whole for each in grids]):
            values[is_whole] = np.rint(values[is_whole])
        features = [each.feature for each in grids]
        labels = task.classify(task.predict(_vary(task.row, features, list(values)))).reshape(values.shape)
        firsts = (labels != labels[:, :1]).argmax(axis=1)
        brackets = [
            _Bracket(old.grid, points[first - 1], points[first], int(numbers[first])) if first else old
            for old, points, numbers, first in zip(brackets, values, labels, firsts, strict=True)
        ]
    return [Change(bracket.far, bracket.label) for bracket in brackets]
