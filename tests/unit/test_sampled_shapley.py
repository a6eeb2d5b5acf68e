"""Estimated Shapley values: what holds exactly, and how far they are from the exact ones."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.arrays import Array, Doubles
from service.inference import sampled_shapley, shapley
from service.inference.sampled_shapley import least_evaluations, make_plan

Predict = Callable[[Array], Array]


def network(features: int, seed: int = 0, columns: int = 3) -> Predict:
    """Predicts the probabilities of labels from all features together, with interactions of any order."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(features, 8)), 2 * rng.normal(size=(8, columns))

    def predict(rows: Array) -> Array:
        sums = np.tanh(rows @ first / np.sqrt(features)) @ second
        powers = np.exp(sums - sums.max(axis=1, keepdims=True))
        probabilities: Array = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        return probabilities

    return predict


def draw(features: int, background: int, seed: int = 0) -> tuple[Array, Array]:
    """A row and background rows."""
    rows = np.random.default_rng(seed).normal(size=(background + 1, features)).astype(np.float32)
    return rows[0], rows[1:]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("evaluations", [2_000, 8_000, 32_000])
def test_values_lie_within_four_standard_errors_of_the_exact_ones(seed: int, evaluations: int) -> None:
    """And on average a standard error away: the errors are neither too small nor too large."""
    predict, (row, background) = network(10, seed), draw(10, 50, seed)
    base, exact = shapley.attribute(predict, row, background)
    sampled = sampled_shapley.attribute(predict, row, background, evaluations)
    deviations = (sampled.values - exact) / sampled.standard_errors
    assert np.abs(deviations).max() < 4
    assert 0.5 < np.sqrt((deviations**2).mean()) < 1.5
    np.testing.assert_allclose(sampled.base, base, atol=1e-7)


def test_standard_errors_shrink_with_the_square_root_of_the_evaluations() -> None:
    """Four times as many evaluations halve them."""
    predict, (row, background) = network(10), draw(10, 50)
    errors = [
        sampled_shapley.attribute(predict, row, background, evaluations).standard_errors.mean()
        for evaluations in (4_000, 16_000, 64_000)
    ]
    np.testing.assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 2, rtol=0.15)


@given(st.integers(2, 40), st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=40)
def test_efficiency(features: int, background: int, seed: int) -> None:
    """The values sum to the row's prediction minus the base."""
    predict, (row, rows) = network(features, seed), draw(features, background, seed)
    sampled = sampled_shapley.attribute(predict, row, rows, least_evaluations(features, background))
    prediction = predict(row[np.newaxis])[0].astype(np.float64)
    np.testing.assert_allclose(sampled.values.sum(axis=0), prediction - sampled.base, atol=1e-12)


@given(st.integers(3, 20), st.integers(0, 5))
@settings(max_examples=20)
def test_dummy(features: int, seed: int) -> None:
    """A feature that the prediction does not depend on has no value, and that is certain."""
    of_others, (row, background) = network(features - 1, seed), draw(features, 12, seed)
    sampled = sampled_shapley.attribute(lambda rows: of_others(rows[:, :-1]), row, background, 5_000)
    np.testing.assert_array_equal(sampled.values[-1], 0)
    np.testing.assert_array_equal(sampled.standard_errors[-1], 0)


@given(st.integers(3, 20), st.integers(0, 5))
@settings(max_examples=20)
def test_symmetry(features: int, seed: int) -> None:
    """Two interchangeable features have the same value, within their standard errors."""
    predict, (row, background) = network(features, seed), draw(features, 12, seed)
    row[1], background[:, 1] = row[0], background[:, 0]

    def summed(rows: Array) -> Array:
        alike = rows.copy()
        alike[:, 0] = alike[:, 1] = rows[:, 0] + rows[:, 1]
        return predict(alike)

    sampled = sampled_shapley.attribute(summed, row, background, 10_000)
    difference = np.abs(sampled.values[0] - sampled.values[1])
    assert (difference <= 5 * np.hypot(*sampled.standard_errors[:2]) + 1e-9).all()


def test_functions_of_pairs_of_features_are_exact() -> None:
    """An order and its reverse cancel what only pairs add; the standard errors are zero."""
    row, background = draw(10, 20)
    weights = np.random.default_rng(1).normal(size=(10, 10))

    def predict(rows: Array) -> Doubles:
        wide = rows.astype(np.float64)
        products: Doubles = ((wide @ weights) * wide).sum(axis=1, keepdims=True) + wide[:, :1]
        return products

    _, exact = shapley.attribute(predict, row, background)  # type: ignore[arg-type]
    sampled = sampled_shapley.attribute(predict, row, background, 1_000)  # type: ignore[arg-type]
    np.testing.assert_allclose(sampled.values, exact, atol=1e-12)
    np.testing.assert_allclose(sampled.standard_errors, 0, atol=1e-12)


def test_the_same_row_has_the_same_values() -> None:
    """To the bit, after any number of other rows."""
    predict, (row, background) = network(30), draw(30, 20)
    first = sampled_shapley.attribute(predict, row, background, 5_000)
    sampled_shapley.attribute(predict, background[0], background, 7_000)
    again = sampled_shapley.attribute(predict, row, background, 5_000)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("features", "background"), [(13, 100), (13, 1), (30, 20), (100, 100), (400, 100)])
def test_evaluations_are_bounded_and_stated(features: int, background: int) -> None:
    """The number in the result is that of the rows predicted, in runs of at most 1 MB."""
    sizes, predict, (row, rows) = list[int](), network(features), draw(features, background)

    def counting(mixed: Array) -> Array:
        sizes.append(len(mixed))
        assert mixed.nbytes <= max(2**20, 2 * (features - 1) * features * 4)
        return predict(mixed)

    sampled = sampled_shapley.attribute(counting, row, rows, 40_000)
    assert sum(sizes) == sampled.evaluations
    assert 20_000 < sampled.evaluations <= 40_000
    assert sampled.values.shape == sampled.standard_errors.shape == (features, 3)
    assert np.isfinite(sampled.standard_errors).all()


def test_every_background_row_gets_equally_many_orders() -> None:
    """As many as fit, at least two; where they do not fit for all rows, fewer rows are compared with."""
    assert make_plan(13, 100, 40_000) == (100, 16)
    assert make_plan(100, 100, 40_000) == (100, 2)
    assert make_plan(400, 100, 40_000) == (24, 2)
    assert make_plan(13, 4, least_evaluations(13, 4)) == (4, 2)
    assert make_plan(900, 100, least_evaluations(900, 100)) == (10, 2)


def test_base_of_fewer_background_rows_is_their_mean() -> None:
    """So the values still sum up."""
    predict, (row, background) = network(50), draw(50, 100)
    sampled = sampled_shapley.attribute(predict, row, background, 4_000)
    np.testing.assert_allclose(sampled.base, predict(background[:: 100 // 19][:19]).mean(axis=0), atol=0.2)
    prediction = predict(row[np.newaxis])[0].astype(np.float64)
    np.testing.assert_allclose(sampled.values.sum(axis=0), prediction - sampled.base, atol=1e-12)
