"""The population stability index (PSI) and its distribution without a shift; docs/drift.md has formulas and sources."""

from statistics import NormalDist
from typing import Any

from numpy import log
from numpy.typing import NDArray

from service.arrays import Doubles
from service.inference.binning.bins import Bins
from service.inference.binning.variables import PSEUDOCOUNT, Variable

_FALSE_ALARM_RATE = 1 / 1000  # of windows in which nothing has shifted
_SAFETY_FACTOR = 1.5  # sparse bins exceed the chi-square approximation more often than others


def stability_index(training_shares: Doubles, counts: NDArray[Any]) -> float:
    """The PSI of counted rows against ``training_shares``, none of which may be 0.

    Half a row for each cell, distributed like the training rows, is added to the counts: no cell is empty, equal shares
    have an index of exactly 0, and few rows are drawn towards no shift.
    """
    prior = PSEUDOCOUNT * len(training_shares)
    recent_shares = (counts + prior * training_shares) / (counts.sum() + prior)
    return float(((recent_shares - training_shares) * log(recent_shares / training_shares)).sum())


def chance_limit(degrees_of_freedom: int, rows: int, training_rows: int, tests: int) -> float:
    """The PSI that one in 1,000 windows exceeds in any of ``tests`` variables although nothing has shifted.

    Without a shift the PSI is distributed almost like chi-square times ``1 / rows + 1 / training_rows`` (Yurdakul
    2018). The quantile is approximated as by Wilson and Hilferty, times a safety factor.
    """
    if not degrees_of_freedom or not rows:
        return 0.0
    variance = 2 / (9 * degrees_of_freedom)
    deviate = NormalDist().inv_cdf(1 - _FALSE_ALARM_RATE / tests)
    quantile = degrees_of_freedom * (1 - variance + deviate * variance**0.5) ** 3
    return float(_SAFETY_FACTOR * quantile * (1 / rows + 1 / training_rows))


def shift_limit(bins: Bins, variable: Variable, rows: int, min_psi: float) -> float:
    """The PSI at which a variable counts as shifted: ``min_psi``, or more where chance alone reaches that."""
    tests = len(bins.features) + len(bins.outputs)
    return max(min_psi, chance_limit(variable.degrees_of_freedom, rows, bins.training_rows, tests))
