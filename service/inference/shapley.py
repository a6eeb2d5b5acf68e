"""Shapley values (Shapley 1953): what each player of a game adds to its worth, on average over all orders of joining.

Here the features of a row are the players, and a coalition's worth is what the network answers on average when the
row's values stand for the features in it, and each background row's for the others (the interventional expectation of
Lundberg and Lee 2017, "A Unified Approach to Interpreting Model Predictions"). All coalitions are asked about, so the
values are exact: nothing is sampled.
"""

from collections.abc import Callable
from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from service.inference.engine import Array

Doubles = NDArray[np.float64]
Members = NDArray[np.bool_]

MOST_FEATURES = 12  # twice the work with each: 410,000 rows for 12 and a background of 100
_BATCH = 8_192  # rows at a time: 12 features are 400 kB


def attribute(answer: Callable[[Array], Array], row: Array, background: Array) -> tuple[Doubles, Doubles]:
    """The base value, [labels], and the features' Shapley values, [features, labels].

    ``answer`` gives [rows, labels] for [rows, features]; ``row`` is [features], ``background`` [rows, features] with
    one row or more. The values sum to the row's own answer minus the base, which is the background's mean answer.
    """
    members = coalitions(len(row))
    size = max(1, _BATCH // len(background))
    parts = [_worth(answer, row, background, members[start : start + size]) for start in range(0, len(members), size)]
    worth = np.concatenate(parts)
    return worth[0], values(worth)


def values(worth: Doubles) -> Doubles:
    """The players' Shapley values, [players, games], for the ``worth`` of each coalition, [2 ** players, games].

    Coalitions are in the order of `coalitions`. Formula: Shapley 1953, "A Value for n-Person Games".
    """
    return _weights(len(worth).bit_length() - 1) @ worth


@cache
def coalitions(players: int) -> Members:
    """Who is in each coalition, [2 ** players, players]: player i if bit i of the coalition's number is set."""
    members: Members = (np.arange(2**players)[:, np.newaxis] >> np.arange(players)) & 1 == 1
    return members


@cache
def _weights(players: int) -> Doubles:
    """How much each coalition's worth counts for each player, [players, 2 ** players].

    A player joins a coalition of s others in 1 / (n * C(n - 1, s)) of all orders.
    """
    members = coalitions(players)
    share = np.array([1 / (players * comb(players - 1, others)) for others in range(players)])
    sizes = members.sum(axis=1)
    joined, apart = share[np.maximum(sizes - 1, 0)], -share[np.minimum(sizes, players - 1)]
    weights: Doubles = np.where(members.T, joined, apart)
    return weights


def _worth(answer: Callable[[Array], Array], row: Array, background: Array, members: Members) -> Doubles:
    mixed = np.where(members[:, np.newaxis], row, background)
    answers = answer(mixed.reshape(-1, len(row)))
    worth: Doubles = answers.reshape(len(members), len(background), -1).mean(axis=1, dtype=np.float64)
    return worth
