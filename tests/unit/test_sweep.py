"""Sweeps of one feature: the values that they try, and where the label changes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.feature import Feature
from service.arrays import Array
from service.inference.sweep import (
    POINTS,
    REPORTED_POINTS,
    Grid,
    Predict,
    fewer_points,
    grid,
    knots,
    output_sweeps,
    sweep,
    sweeps,
)

FEATURE = Feature(name="length", minimum=0, maximum=100)
ROW = np.array([5, 50], np.float32)


def step_function(*edges: float) -> Predict:
    """Predicts label 0 where the second feature is below the first edge, 1 up to the second edge, and so on."""

    def predict(rows: Array) -> Array:
        assert (rows[:, 0] == 5).all()
        return np.eye(len(edges) + 1, dtype=np.float32)[
            np.searchsorted(np.array(edges, np.float32), rows[:, 1], side="right")
        ]

    return predict


@given(st.floats(0.1, 49), st.floats(51, 99.9))
def test_nearest_label_changes_are_found_to_four_digits(low: float, high: float) -> None:
    """On each side of the row, to 1e-4 of the value, with the new label."""
    swept = sweep(step_function(low / 3, low, high, high + 0.05), ROW, 1, knots(FEATURE, []))
    assert swept.below is not None
    assert swept.above is not None
    assert (swept.below.label, swept.above.label) == (1, 3)
    assert low * (1 - 1e-4) <= swept.below.value < np.float32(low)
    assert np.float32(high) <= swept.above.value <= high * (1 + 1e-4)


def test_no_change_is_reported_where_the_label_stays() -> None:
    """The label holds to the end of the range on that side."""
    swept = sweep(step_function(70), ROW, 1, knots(FEATURE, []))
    assert swept.below is None
    assert swept.above is not None


@pytest.mark.parametrize("value", [0, 100])
def test_row_at_a_bound_has_changes_on_one_side_only(value: float) -> None:
    """Values beyond the bounds are not predicted."""
    swept = sweep(step_function(50), np.array([5, value], np.float32), 1, knots(FEATURE, [2, 3]))
    assert (swept.below is None) == (value == 0)
    assert (swept.above is None) == (value == 100)


def test_change_next_to_the_row_is_found() -> None:
    """Between the row's own value and the next point."""
    swept = sweep(step_function(50.001), ROW, 1, knots(FEATURE, []))
    assert swept.above is not None
    assert 50.001 <= swept.above.value < 50.0011


@given(st.floats(0, 100, width=32), st.lists(st.floats(-10, 110), max_size=12))
def test_points_ascend_between_the_bounds_and_include_the_row(value: float, quantiles: list[float]) -> None:
    """Without duplicates, whatever the quantiles."""
    swept = sweep(step_function(30, 60), np.array([5, value], np.float32), 1, knots(FEATURE, quantiles))
    assert (np.diff(swept.values) > 0).all()
    assert (swept.values[0], swept.values[-1]) == (0, 100)
    assert value in swept.values
    assert len(swept.values) == len(swept.probabilities)


def test_points_are_spread_evenly_between_quantiles() -> None:
    """Each interval quantiles quantiles has about as many, over several decades."""
    quantiles = [0.001, 0.01, 0.1, 1.0, 10.0]
    values = sweep(step_function(1000), ROW, 1, knots(FEATURE, quantiles)).values
    counts = [((low <= values) & (values < high)).sum() for low, high in pairwise(quantiles)]
    assert min(counts) >= 7
    assert max(counts) <= 9


def test_narrow_label_keeps_its_points() -> None:
    """Thinning keeps a label that only a few of the scanned points have."""
    swept = sweep(step_function(30, 30.1, 30.2, 31.7), ROW, 1, knots(FEATURE, [25, 40]))
    labels = swept.probabilities.argmax(axis=1)
    assert {0, 3, 4} <= set(labels.tolist())
    inside = swept.values[labels == 3]
    assert inside.min() < 30.5
    assert inside.max() > 31.4


@pytest.mark.parametrize(("minimum", "maximum"), [(0.1, 0.3), (1 / 3, 2 / 3), (0.1234567123, 0.76543219)])
def test_points_are_valid_inputs(minimum: float, maximum: float) -> None:
    """The shortest decimals of the outermost points lie within the bounds, even where float32 rounds beyond them."""
    bounds = knots(Feature(name="x", minimum=minimum, maximum=maximum), [])
    assert all(minimum <= float(str(value)) <= maximum for value in bounds)
    assert bounds == pytest.approx([minimum, maximum])


def counting(sizes: list[int]) -> Predict:
    """Predicts two labels from all features together, and notes the values in each run."""

    def predict(rows: Array) -> Array:
        sizes.append(rows.size)
        first = 0.5 + 0.5 * np.sin(rows.sum(axis=1))
        return np.stack([first, 1 - first], axis=1)

    return predict


def test_features_share_their_runs() -> None:
    """One run for the points of all features, three for the changes; each sweep is that of its feature alone."""
    bounds = [knots(Feature(name="x", minimum=0, maximum=10 + index), [2, 5]) for index in range(8)]
    row, sizes = np.linspace(1, 9, 8, dtype=np.float32), list[int]()
    together = list(sweeps(counting(sizes), row, [Grid(i, grid(each)) for i, each in enumerate(bounds)]))
    assert len(sizes) == 4
    assert any(swept.below for swept in together)
    for index, swept in enumerate(together):
        alone = sweep(counting([]), row, index, bounds[index])
        assert (swept.below, swept.above) == (alone.below, alone.above)
        for name in ("values", "probabilities", "labels"):
            np.testing.assert_array_equal(getattr(swept, name), getattr(alone, name))


def test_runs_are_bounded() -> None:
    """With many features, no run has more than 1 MB of values, and no feature is left out."""
    sizes = list[int]()
    values = grid(knots(FEATURE, [10, 20, 90]))
    swept = list(sweeps(counting(sizes), np.full(60, 50, np.float32), [Grid(index, values) for index in range(60)]))
    assert len(swept) == 60
    assert max(sizes) * 4 <= 2**20


@pytest.mark.parametrize(("features", "points"), [(1, 64), (12, 64), (13, 56), (30, 24), (49, 8), (100, 8), (1_000, 8)])
def test_many_features_have_fewer_points(features: int, points: int) -> None:
    """About as many in all as twelve features have, at least those that are reported."""
    assert fewer_points(features) == points
    assert points % REPORTED_POINTS == 0


def test_fewer_points_find_the_same_changes() -> None:
    """And as many values are reported."""
    bounds = knots(FEATURE, [20, 60])
    predict = step_function(30, 70)

    def of_the_second(rows: Array) -> Array:
        return predict(np.stack([np.full(len(rows), 5), rows[:, 1]], axis=1).astype(np.float32))

    for points in (POINTS, 24, REPORTED_POINTS):
        values = [grid(np.array([5, 5.5], np.float32), points), grid(bounds, points)]
        _, second = sweeps(of_the_second, ROW, [Grid(i, each, points // 8) for i, each in enumerate(values)])
        assert second.below is not None
        assert second.above is not None
        assert second.below.value == pytest.approx(30, rel=1e-4)
        assert second.above.value == pytest.approx(70, rel=1e-4)
        assert 3 * REPORTED_POINTS < len(second.values) < 3 * REPORTED_POINTS + 8


def test_sweeps_of_outputs_report_all_values() -> None:
    """With the outputs for each, as predicted for the row with that one value changed."""
    row = np.array([1, 50], np.float32)
    grids = [Grid(index, grid(knots(FEATURE, [10, 20]), REPORTED_POINTS)) for index in range(2)]
    for index, swept in enumerate(output_sweeps(lambda rows: rows * 2, row, grids)):
        assert set(grids[index].values.tolist()) <= set(swept.values.tolist())
        assert row[index] in swept.values
        assert (np.diff(swept.values) > 0).all()
        np.testing.assert_array_equal(swept.outputs[:, index], swept.values * 2)
        np.testing.assert_array_equal(swept.outputs[:, 1 - index], row[1 - index] * 2)
