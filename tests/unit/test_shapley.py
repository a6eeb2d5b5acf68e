"""Shapley values: the axioms that define them, and a library that computes them another way."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.inference import shapley
from service.inference.model import Model
from service.prediction import Array, Doubles


@st.composite
def games(draw: st.DrawFn, least: int = 1) -> Doubles:
    """The worth of every coalition, [2 ** players, 2], for one to six players."""
    players = draw(st.integers(least, 6))
    return draw(arrays(np.float64, (2**players, 2), elements=st.floats(-100, 100)))


def without(player: int, worth: Doubles) -> Any:
    """The numbers of the coalitions that a player is not in."""
    coalitions = np.arange(len(worth))
    return coalitions[coalitions >> player & 1 == 0]


@given(games())
def test_what_all_gain_together_is_shared_out(worth: Doubles) -> None:
    """Efficiency: the values sum to the worth of all minus the worth of none."""
    np.testing.assert_allclose(shapley.shapley_values(worth).sum(axis=0), worth[-1] - worth[0], atol=1e-9)


@given(games(least=2))
def test_who_does_the_same_gets_the_same(worth: Doubles) -> None:
    """Symmetry: two players who may stand in for one another have one value."""
    neither = without(1, worth)
    neither = neither[neither & 1 == 0]
    worth[neither | 2] = worth[neither | 1]
    first, second = shapley.shapley_values(worth)[:2]
    np.testing.assert_allclose(first, second, atol=1e-9)


@given(games(), st.floats(-5, 5))
def test_who_adds_the_same_to_all_gets_just_that(worth: Doubles, own: float) -> None:
    """Dummy: a player who adds the same to every coalition, nothing say, has that for a value."""
    apart = without(0, worth)
    worth[apart | 1] = worth[apart] + own
    np.testing.assert_allclose(shapley.shapley_values(worth)[0], own, atol=1e-9)


@given(games())
def test_values_of_games_played_together_add_up(worth: Doubles) -> None:
    """Additivity: the value in a sum of two games is the sum of the values in each."""
    np.testing.assert_allclose(
        shapley.shapley_values(worth.sum(axis=1, keepdims=True))[:, 0],
        shapley.shapley_values(worth).sum(axis=1),
        atol=1e-9,
    )


@pytest.mark.parametrize("players", [1, 2, 3, 4, 5])
def test_they_are_the_mean_over_all_orders_of_joining(players: int) -> None:
    """The definition itself: what a player adds on joining, averaged over every order."""
    worth = np.random.default_rng(players).normal(size=(2**players, 3))
    gained = np.zeros((players, 3))
    orders = list(permutations(range(players)))
    for order in orders:
        present = 0
        for player in order:
            gained[player] += worth[present | 1 << player] - worth[present]
            present |= 1 << player
    np.testing.assert_allclose(shapley.shapley_values(worth), gained / len(orders), atol=1e-12)


def test_a_linear_answer_is_shared_by_weight_and_distance() -> None:
    """The closed form for a linear function: weight times the distance from the background's mean."""
    rng = np.random.default_rng(0)
    weights, row, background = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=(40, 5))
    base, values = shapley.attribute(lambda rows: rows @ weights, row, background)  # type: ignore[arg-type, return-value]
    np.testing.assert_allclose(base, background.mean(axis=0) @ weights, atol=1e-12)
    np.testing.assert_allclose(values, (row - background.mean(axis=0))[:, np.newaxis] * weights, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 7, 100, 8_191, 8_192, 8_193])
def test_batches_are_bounded(rows: int) -> None:
    """However many background rows there are, no batch is larger than it must be, and none is lost."""
    background = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    sizes = []

    def answer(mixed: Array) -> Array:
        sizes.append(len(mixed))
        return mixed[:, :1] * mixed[:, 1:2]

    base, values = shapley.attribute(answer, np.ones(3, np.float32), background)
    assert max(sizes) <= max(8_192, rows)
    assert sum(sizes) == 8 * rows
    assert values.sum() == pytest.approx(1 - base[0], abs=1e-6)


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_the_library_of_the_papers_authors_says_the_same(model: Model, index: int) -> None:
    """The exact explainer of shap, with its independent masker over the same background, agrees to 1e-6."""
    shap = pytest.importorskip("shap")
    background = np.array(model.manifest.background, np.float32)
    row = np.array(model.manifest.golden[index].features, np.float32)
    base, values = shapley.attribute(model.probabilities, row, background)
    masker = shap.maskers.Independent(background, max_samples=len(background))
    explained = shap.explainers.Exact(lambda rows: model.probabilities(rows.astype(np.float32)), masker)(
        row[np.newaxis]
    )
    np.testing.assert_allclose(values, explained.values[0], atol=1e-6)
    np.testing.assert_allclose(base, explained.base_values[0], atol=1e-6)
