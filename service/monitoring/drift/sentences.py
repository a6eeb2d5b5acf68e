"""Sentences that tell a person how a feature, or the predicted labels, have shifted."""

from collections.abc import Sequence
from itertools import accumulate

from models.manifest import Feature

_MIN_OUT_OF_BOUNDS = 0.02  # share of a feature's values; from here on the sentence is about them
_MIN_RANK_SHIFT = 0.05  # beyond even odds that a recent value is greater, or less, than one of the training rows

Interval = tuple[float | None, float | None]
"""Above the first edge, up to and with the second; None where there is no end."""


def describe_feature(
    feature: Feature,
    edges: Sequence[float],
    training_median: float,
    training_shares: Sequence[float],
    recent_shares: Sequence[float],
) -> str:
    """How a shifted feature differs, given the ``edges`` between its bins and the share of the rows in each bin.

    The last of the shares is that of values out of the feature's bounds.
    """
    unit = f" {feature.unit}".rstrip()
    if recent_shares[-1] >= _MIN_OUT_OF_BOUNDS:
        return (
            f"{feature.name} is out of bounds, {feature.minimum:g} to {feature.maximum:g}{unit}, in "
            f"{recent_shares[-1]:.0%} of the rows: is it measured in another unit?"
        )
    rank_shift = _rank_shift(training_shares, recent_shares)
    if abs(rank_shift) < _MIN_RANK_SHIFT:
        return f"{feature.name} is distributed differently than in the training rows"
    direction = "higher" if rank_shift > 0 else "lower"
    recent_median = _format_interval(median_bin(edges, recent_shares), unit)
    return (
        f"{feature.name} is {direction}: "
        f"its median was {training_median:.3g}{unit} in training and is now {recent_median}"
    )


def describe_labels(labels: Sequence[str], training_shares: Sequence[float], recent_shares: Sequence[float]) -> str:
    """How shifted predictions differ: by the label whose share has changed the most."""
    label, before, now = max(
        zip(labels, training_shares, recent_shares, strict=True), key=lambda shares: abs(shares[2] - shares[1])
    )
    return f"{label} is predicted for {now:.0%} of the rows, compared with {before:.0%} of the training rows"


def median_bin(edges: Sequence[float], shares: Sequence[float]) -> Interval:
    """The bin with the median of the values within the bounds; the last share, out of the bounds, does not count."""
    cumulative = list(accumulate(shares[:-1]))
    index = next(i for i, share in enumerate(cumulative) if share >= cumulative[-1] / 2)
    return [None, *edges][index], [*edges, None][index]


def _format_interval(interval: Interval, unit: str) -> str:
    lower, upper = interval
    if lower is None:
        return f"{upper:.3g}{unit} or less" if upper is not None else "the same"
    return f"more than {lower:.3g}{unit}" if upper is None else f"between {lower:.3g} and {upper:.3g}{unit}"


def _rank_shift(training_shares: Sequence[float], recent_shares: Sequence[float]) -> float:
    """The probability that a recent value is greater than one of the training rows, minus 0.5."""
    mid_ranks = [end - share / 2 for end, share in zip(accumulate(training_shares), training_shares, strict=True)]
    within_bounds = sum(recent_shares[:-1])
    mean_rank = sum(rank * share for rank, share in zip(mid_ranks[:-1], recent_shares[:-1], strict=True))
    return mean_rank / within_bounds - 0.5
