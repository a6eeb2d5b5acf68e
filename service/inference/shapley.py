"""Exact Shapley values (Shapley 1953): how much each feature of a row adds to the prediction.

The features are the players of a game. The value of a coalition is the mean prediction over the background rows, with
the coalition's features replaced by those of the row (the interventional expectation of Lundberg and Lee 2017, "A
Unified Approach to Interpreting Model Predictions"). All coalitions are evaluated: nothing is sampled.
"""

from collections.abc import Callable, Iterator
from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Doubles

Members = NDArray[np.bool_]

MAX_FEATURES = 12  # twice the work with each: 410,000 rows for 12 and a background of 100
_BATCH_ROWS = 8_192  # 400 kB with 12 features


def attribute(predict: Callable[[Array], Array], row: Array, background: Array) -> tuple[Doubles, Doubles]:
    """The base value [labels], and the Shapley values [features, labels] of a row's features.

    ``predict`` gives probabilities [rows, labels] for [rows, features]; ``row`` is [features], ``background``
    [rows, features] with at least one row. The base is the mean prediction of the background; the values sum to the
    row's prediction minus the base.
    """
    batches = (_coalition_values(predict, mixed) for mixed in _mixtures(row, background))
    coalition_values = np.concatenate(list(batches))
    return coalition_values[0], shapley_values(coalition_values)


def shapley_values(coalition_values: Doubles) -> Doubles:
    """The players' Shapley values [players, games] for the values of all coalitions [2 ** players, games].

    Coalitions are in the order of `coalitions`. Formula: Shapley 1953, "A Value for n-Person Games".
    """
    return _weights(len(coalition_values).bit_length() - 1) @ coalition_values


@cache
def coalitions(players: int) -> Members:
    """The members of each coalition, [2 ** players, players]: player i if bit i of the coalition's index is set."""
    members: Members = (np.arange(2**players)[:, np.newaxis] >> np.arange(players)) & 1 == 1
    return members


@cache
def _weights(players: int) -> Doubles:
    """The weight of each coalition's value for each player, [players, 2 ** players].

    A player joins a coalition of s others in 1 / (n * C(n - 1, s)) of all orders.
    """
    members = coalitions(players)
    share = np.array([1 / (players * comb(players - 1, others)) for others in range(players)])
    sizes = members.sum(axis=1)
    joining, staying_out = share[np.maximum(sizes - 1, 0)], -share[np.minimum(sizes, players - 1)]
    weights: Doubles = np.where(members.T, joining, staying_out)
    return weights


def _mixtures(row: Array, background: Array) -> Iterator[Array]:
    """The background rows with each coalition's features replaced, [rows, coalitions, features] in each batch.

    The batches are one array, changed in place. Within a batch the first features double the coalitions one after the
    other: each is replaced in a copy of those so far. The last features differ between batches. Coalitions, not
    background rows, are next to each other, so that the mean adds long vectors.
    """
    doublings = min(len(row), max(1, _BATCH_ROWS // len(background)).bit_length() - 1)
    mixed = np.empty((len(background), 2**doublings, len(row)), background.dtype)
    mixed[:, 0] = background
    for feature in range(doublings):
        size = 2**feature
        mixed[:, size : 2 * size] = mixed[:, :size]
        mixed[:, size : 2 * size, feature] = row[feature]
    replaced = np.zeros(len(row), bool)
    for members in coalitions(len(row))[:: 2**doublings]:
        for feature in np.flatnonzero(members != replaced).tolist():
            mixed[:, :, feature] = row[feature] if members[feature] else background[:, feature, np.newaxis]
        replaced = members
        yield mixed


def _coalition_values(predict: Callable[[Array], Array], mixed: Array) -> Doubles:
    """The mean prediction of each coalition, [coalitions, labels]."""
    rows, members, features = mixed.shape
    probabilities = predict(mixed.reshape(-1, features)).reshape(rows, members, -1)
    means: Doubles = probabilities.mean(axis=0, dtype=np.float64)
    return means
