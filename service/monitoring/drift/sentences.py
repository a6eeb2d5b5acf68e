"""Sentences that tell a person how a feature, or what the model predicts, has shifted."""

from collections.abc import Sequence
from itertools import accumulate
from math import log

from models.feature import Feature
from service.inference.binning.variables import MISSING, OTHER, RARE, Variable
from service.significant_digits import format_distinct

_MIN_OUT_OF_BOUNDS = 0.02  # share of a feature's values; from here on the sentence is about them
_LEAST_SHARE = 1e-6  # 0 has no logarithm
_MIN_RANK_SHIFT = 0.05  # beyond even odds that a recent value is greater, or less, than one of the training rows

Interval = tuple[float | None, float | None]
"""Above the first edge, up to and with the second; None where there is no end."""


def describe_feature(
    feature: Feature, variable: Variable, training_shares: Sequence[float], recent_shares: Sequence[float]
) -> str:
    """How a shifted number differs, given the share of the rows in each of its cells."""
    unit = f" {feature.unit}".rstrip()
    if recent_shares[-1] >= _MIN_OUT_OF_BOUNDS:
        bounds = format_distinct((feature.lowest, feature.highest))
        return (
            f"{feature.name} is out of bounds, {bounds[0]} to {bounds[1]}{unit}, in "
            f"{recent_shares[-1]:.0%} of the rows: is it measured in another unit?"
        )
    edges, own = variable.edges.tolist(), slice(variable.own_cells)
    training, recent = training_shares[own], recent_shares[own]
    if feature.allow_missing:
        before, now = training_shares[variable.own_cells], recent_shares[variable.own_cells]
        training, recent = _normalized(training), _normalized(recent)
        if _index([before, 1 - before], [now, 1 - now]) >= _index(training, recent):
            return _describe_missing(feature.name, before, now)
    return describe_values(feature.name, feature.unit, edges, variable.median, training, recent)


def describe_category_feature(
    feature: Feature, variable: Variable, training_shares: Sequence[float], recent_shares: Sequence[float]
) -> str:
    """How a shifted category differs: by the value, or kind of values, whose share has changed the most."""
    if recent_shares[-1] >= _MIN_OUT_OF_BOUNDS:
        return f"{feature.name} is none of the known categories in {recent_shares[-1]:.0%} of the rows"
    cell = max(range(len(recent_shares) - 1), key=lambda cell: abs(recent_shares[cell] - training_shares[cell]))
    before, now = training_shares[cell], recent_shares[cell]
    names = dict(enumerate(variable.further, variable.own_cells))
    if names.get(cell) == MISSING:
        return _describe_missing(feature.name, before, now)
    rare = {RARE: f"the other {feature.other_code - variable.own_cells} categories", OTHER: "unknown categories"}
    name = rare[names[cell]] if cell in names else variable.labels[cell]
    direction = "rose" if now > before else "fell"
    return f"{feature.name}: {name} {direction} from {before:.0%} to {now:.0%} of the rows"


def _describe_missing(name: str, training_share: float, recent_share: float) -> str:
    return f"{name} is missing in {recent_share:.0%} of the rows, compared with {training_share:.0%} in training"


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


def _normalized(shares: Sequence[float]) -> list[float]:
    """The shares of their own total; if that is 0, they stay."""
    total = sum(shares) or 1
    return [share / total for share in shares]


def _index(training_shares: Sequence[float], recent_shares: Sequence[float]) -> float:
    """The population stability index of shares, of which a recent one may be 0; 0 if all are."""
    if not any(recent_shares):
        return 0
    shares = zip(training_shares, recent_shares, strict=True)
    return sum((now - before) * log(max(now, _LEAST_SHARE) / max(before, _LEAST_SHARE)) for before, now in shares)


def _rank_shift(training_shares: Sequence[float], recent_shares: Sequence[float]) -> float:
    """The probability that a recent value is greater than one of the training rows, minus 0.5."""
    mid_ranks = [end - share / 2 for end, share in zip(accumulate(training_shares), training_shares, strict=True)]
    mean_rank = sum(rank * share for rank, share in zip(mid_ranks, recent_shares, strict=True))
    return mean_rank / sum(recent_shares) - 0.5
