"""Estimated Shapley values, for models with too many features for exact ones (`shapley`).

A feature's Shapley value is the mean of what it adds to the prediction when it joins the features before it, over all
orders of the features and all background rows. Orders are sampled (Castro, Gomez and Tejada 2009, "Polynomial
calculation of the Shapley value based on sampling"), each together with its reverse (Mitchell, Cooper, Frank and Holmes
2022, "Sampling Permutations for Shapley Value Estimation", section 4.1; so does shap's PermutationExplainer): a pair is
exact for functions in which no more than two features interact. Each background row gets equally many orders of its
own, so that the values sum to the prediction minus the base, whatever the number of orders.
"""

from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Doubles, Indices

_SEED = 0
_LEAST_PAIRS = 2  # for each background row: a standard error needs two
_LEAST_BACKGROUND = 10  # rows that are compared with, if there are that many
_BATCH_VALUES = 2**18  # of the rows in one run of the network: 1 MB


class SampledAttributions(NamedTuple):
    """``values`` and their ``standard_errors`` [features, columns], the ``base`` [columns], and the rows evaluated."""

    base: Doubles
    values: Doubles
    standard_errors: Doubles
    evaluations: int


class Plan(NamedTuple):
    """How many ``pairs`` of orders are sampled for each of the first ``background`` rows."""

    background: int
    pairs: int


def least_evaluations(features: int, background: int) -> int:
    """The fewest evaluations for which values can be estimated."""
    return _LEAST_PAIRS * min(background, _LEAST_BACKGROUND) * _pair_rows(features) + background + 1


def make_plan(features: int, background: int, evaluations: int) -> Plan:
    """The plan that takes at most so many evaluations: all background rows if two pairs fit for each, else fewer.

    ``evaluations`` must be at least `least_evaluations`.
    """
    fitting = (evaluations - background - 1) // _pair_rows(features)  # pairs
    used = min(background, fitting // _LEAST_PAIRS)
    return Plan(used, fitting // used)


def attribute(
    predict: Callable[[Array], Array], row: Array, background: Array, evaluations: int
) -> SampledAttributions:
    """Estimate the Shapley values of a row's features with at most so many ``evaluations``, rows that are predicted.

    ``predict`` gives outputs [rows, columns] for [rows, features]; ``row`` is [features], ``background`` [rows,
    features]. There must be two features, a background row, and `least_evaluations`. The values sum to the row's
    prediction minus the base, the mean prediction of the background rows that are used. The same arguments give the
    same values.
    """
    plan = make_plan(len(row), len(background), evaluations)
    background = background[_spread(len(background), plan.background)]
    outputs = predict(np.concatenate((row[np.newaxis], background))).astype(np.float64)
    own, others = outputs[0], outputs[1:]
    samples = np.concatenate(
        [
            _contributions(predict, row, background[rows], own - others[rows], ranks)
            for rows, ranks in _batches(len(row), plan)
        ]
    )
    by_row = samples.reshape(plan.background, plan.pairs, *samples.shape[1:])
    variance = by_row.var(axis=1, ddof=1).sum(axis=0) / plan.pairs / plan.background**2
    evaluated = len(outputs) + len(samples) * _pair_rows(len(row))
    return SampledAttributions(others.mean(axis=0), samples.mean(axis=0), np.sqrt(variance), evaluated)


def _pair_rows(features: int) -> int:
    """The rows that an order and its reverse take; the first and the last coalition are common to all."""
    return 2 * (features - 1)


def _spread(count: int, used: int) -> Indices:
    """``used`` of ``count`` indices, at equal distances."""
    return np.arange(used) * count // used


def _batches(features: int, plan: Plan) -> list[tuple[Indices, NDArray[np.uint16]]]:
    """The index of the background row of each sample, and the samples' orders, for runs of bounded size."""
    ranks = _orders(plan.background * plan.pairs, features)
    rows = np.arange(len(ranks)) // plan.pairs
    size = max(1, _BATCH_VALUES // (_pair_rows(features) * features))
    return [(rows[start : start + size], ranks[start : start + size]) for start in range(0, len(ranks), size)]


@lru_cache(maxsize=4)
def _orders(count: int, features: int) -> NDArray[np.uint16]:
    """Random orders, [count, features]: the rank of each feature, from 0. They are the same for every row."""
    keys = np.frombuffer(Random(_SEED).randbytes(8 * count * features), np.uint64)  # noqa: S311 (no secret)
    return keys.reshape(count, features).argsort(axis=1).astype(np.uint16)


def _contributions(
    predict: Callable[[Array], Array], row: Array, background: Array, differences: Doubles, ranks: NDArray[np.uint16]
) -> Doubles:
    """What each feature adds in an order and its reverse, on average: [samples, features, columns].

    ``background`` has a row for each sample, ``differences`` the row's prediction minus that of the background row. The
    coalitions of an order are its first 1, 2, ... features. Those of its reverse are their complements.
    """
    samples, features = ranks.shape
    sizes = np.arange(1, features, dtype=ranks.dtype)
    joined = ranks[:, np.newaxis] < sizes[:, np.newaxis]
    # Where a feature has joined, the bits in which the values differ turn one into the other: a fifth of the time of
    # choosing between them.
    own_bits, background_bits = row.view(np.uint32), background.view(np.uint32)[:, np.newaxis]
    mixed = np.empty((2, samples, features - 1, features), np.uint32)
    np.multiply(joined, own_bits ^ background_bits, out=mixed[0])
    np.bitwise_xor(mixed[0], own_bits, out=mixed[1])
    np.bitwise_xor(mixed[0], background_bits, out=mixed[0])
    rows = mixed.view(np.float32).reshape(-1, features)
    outputs = predict(rows).reshape(2, samples, features - 1, -1)
    gains = np.empty((samples, features + 1, outputs.shape[-1]))
    gains[:, 0], gains[:, -1] = -differences, differences
    np.subtract(outputs[0], outputs[1], out=gains[:, 1:-1], dtype=np.float64)
    added: Doubles = np.diff(gains, axis=1) / 2
    return np.take_along_axis(added, ranks.astype(np.intp)[:, :, np.newaxis], axis=1)
