"""Shapley values: the axioms that define them."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.arrays import Array, Doubles
from service.inference import shapley


@st.composite
def games(draw: st.DrawFn, min_players: int = 1) -> Doubles:
    """The worth of every coalition, [2 ** players, 2], for one to six players."""
    players = draw(st.integers(min_players, 6))
    return draw(arrays(np.float64, (2**players, 2), elements=st.floats(-100, 100)))


def coalitions_without(player: int, worth: Doubles) -> Any:
    """The indices of the coalitions that do not contain a player."""
    coalitions = np.arange(len(worth))
    return coalitions[coalitions >> player & 1 == 0]


@given(games())
def test_efficiency(worth: Doubles) -> None:
    """The values sum to the worth of all players minus the worth of none."""
    np.testing.assert_allclose(shapley.shapley_values(worth).sum(axis=0), worth[-1] - worth[0], atol=1e-9)


@given(games(min_players=2))
def test_symmetry(worth: Doubles) -> None:
    """Two interchangeable players have the same value."""
    neither = coalitions_without(1, worth)
    neither = neither[neither & 1 == 0]
    worth[neither | 2] = worth[neither | 1]
    first, second = shapley.shapley_values(worth)[:2]
    np.testing.assert_allclose(first, second, atol=1e-9)


@given(games(), st.floats(-5, 5))
def test_dummy_player(worth: Doubles, added: float) -> None:
    """A player who adds the same worth to every coalition has that as their value."""
    coalitions = coalitions_without(0, worth)
    worth[coalitions | 1] = worth[coalitions] + added
    np.testing.assert_allclose(shapley.shapley_values(worth)[0], added, atol=1e-9)


@given(games())
def test_additivity(worth: Doubles) -> None:
    """The value in a sum of two games is the sum of the values in each."""
    np.testing.assert_allclose(
        shapley.shapley_values(worth.sum(axis=1, keepdims=True))[:, 0],
        shapley.shapley_values(worth).sum(axis=1),
        atol=1e-9,
    )


@pytest.mark.parametrize("players", [1, 2, 3, 4, 5])
def test_values_are_the_mean_marginal_contribution(players: int) -> None:
    """The definition: a player's marginal contribution, averaged over all orders of joining."""
    worth = np.random.default_rng(players).normal(size=(2**players, 3))
    contributions = np.zeros((players, 3))
    orders = list(permutations(range(players)))
    for order in orders:
        coalition = 0
        for player in order:
            contributions[player] += worth[coalition | 1 << player] - worth[coalition]
            coalition |= 1 << player
    np.testing.assert_allclose(shapley.shapley_values(worth), contributions / len(orders), atol=1e-12)


@pytest.mark.parametrize("rows", [1, 40, 1_000, 5_000])  # one batch of all coalitions, up to one for each
def test_linear_function_has_its_closed_form(rows: int) -> None:
    """The value is the weight times the distance from the background's mean."""
    rng = np.random.default_rng(0)
    weights, row, background = rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=(rows, 5))
    base, values = shapley.attribute(lambda rows: rows @ weights, row, background)  # type: ignore[arg-type, return-value]
    np.testing.assert_allclose(base, background.mean(axis=0) @ weights, atol=1e-12)
    np.testing.assert_allclose(values, (row - background.mean(axis=0))[:, np.newaxis] * weights, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 7, 100, 8_191, 8_192, 8_193])
def test_batches_are_bounded(rows: int) -> None:
    """No batch is larger than necessary and no row is lost, however many background rows there are."""
    background = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    sizes = []

    def predict(mixed: Array) -> Array:
        sizes.append(len(mixed))
        return mixed[:, :1] * mixed[:, 1:2]

    base, values = shapley.attribute(predict, np.ones(3, np.float32), background)
    assert max(sizes) <= max(8_192, rows)
    assert sum(sizes) == 8 * rows
    assert values.sum() == pytest.approx(1 - base[0], abs=1e-6)


def test_batches_have_one_size() -> None:
    """LiteRT plans its memory anew for each other size."""
    sizes = set()

    def predict(mixed: Array) -> Array:
        sizes.add(len(mixed))
        return mixed[:, :2]

    shapley.attribute(predict, np.ones(8, np.float32), np.zeros((100, 8), np.float32))
    assert len(sizes) == 1
