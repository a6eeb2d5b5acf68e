"""Sentences that tell a person how a feature, or what the model predicts, has shifted."""

from collections.abc import Sequence
from itertools import accumulate

from models.feature import Feature
from service.significant_digits import format_distinct

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
        bounds = format_distinct((feature.lowest, feature.highest))
        return (
            f"{feature.name} is out of bounds, {bounds[0]} to {bounds[1]}{unit}, in "
            f"{recent_shares[-1]:.0%} of the rows: is it measured in another unit?"
        )
    return describe_values(feature.name, feature.unit, edges, training_median, training_shares[:-1], recent_shares[:-1])


def describe_values(  # noqa: PLR0913, PLR0917 (what a distribution consists of)
    name: str,
    unit: str,
    edges: Sequence[float],
    training_median: float,
    training_shares: Sequence[float],
    recent_shares: Sequence[float],
) -> str:
    """How the values of a shifted feature or target differ, given the share of the rows in each bin."""
    rank_shift = _rank_shift(training_shares, recent_shares)
    if abs(rank_shift) < _MIN_RANK_SHIFT:
        return f"{name} is distributed differently than in the training rows"
    direction = "higher" if rank_shift > 0 else "lower"
    lower, upper = median_bin(edges, recent_shares)
    ends = [end for end in (lower, upper) if end is not None]
    before, *texts = format_distinct((training_median, *ends), digits=3)
    unit = f" {unit}".rstrip()
    now = f"{_describe_interval(lower, texts)}{unit}" if ends else "the same"
    return f"{name} is {direction}: its median was {before}{unit} in training and is now {now}"


def describe_labels(labels: Sequence[str], training_shares: Sequence[float], recent_shares: Sequence[float]) -> str:
    """How shifted predictions differ: by the label whose share has changed the most."""
    label, before, now = max(
        zip(labels, training_shares, recent_shares, strict=True), key=lambda shares: abs(shares[2] - shares[1])
    )
    return f"{label} is predicted for {now:.0%} of the rows, compared with {before:.0%} of the training rows"


def median_bin(edges: Sequence[float], shares: Sequence[float]) -> Interval:
    """The bin with the median, given the share of the rows in each."""
    cumulative = list(accumulate(shares))
    index = next(i for i, share in enumerate(cumulative) if share >= cumulative[-1] / 2)
    return [None, *edges][index], [*edges, None][index]


def _describe_interval(lower: float | None, ends: Sequence[str]) -> str:
    """An interval in words, given one or two ends as text; the lower is missing if ``lower`` is None."""
    if len(ends) == 2:  # noqa: PLR2004
        return f"between {ends[0]} and {ends[1]}"
    return f"more than {ends[0]}" if lower is not None else f"{ends[0]} or less"


def _rank_shift(training_shares: Sequence[float], recent_shares: Sequence[float]) -> float:
    """The probability that a recent value is greater than one of the training rows, minus 0.5."""
    mid_ranks = [end - share / 2 for end, share in zip(accumulate(training_shares), training_shares, strict=True)]
    mean_rank = sum(rank * share for rank, share in zip(mid_ranks, recent_shares, strict=True))
    return mean_rank / sum(recent_shares) - 0.5
