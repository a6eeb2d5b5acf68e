"""How a feature, or the answer, has shifted: in plain words, from the shares of its bins then and now."""

from collections.abc import Sequence
from itertools import accumulate

from models.manifest import Feature

_REFUSED = 0.02  # share of a feature's values beyond its bounds from which on that is what is told of it
_TURNED = 0.05  # how much likelier than even a value now lies above, or below, one of the training rows

Reach = tuple[float | None, float | None]


def of_feature(
    feature: Feature, edges: Sequence[float], middle: float, then: Sequence[float], now: Sequence[float]
) -> str:
    """A sentence on one that has shifted: its bins' edges, the training rows' median, and the shares of the bins.

    The last of the shares is of values beyond its bounds.
    """
    unit = f" {feature.unit}".rstrip()
    if now[-1] >= _REFUSED:
        return (
            f"{feature.name} was refused in {now[-1]:.0%} of the rows, as not within "
            f"{feature.minimum:g} to {feature.maximum:g}{unit}: is it measured in another unit?"
        )
    turned = _turned(then, now)
    if abs(turned) < _TURNED:
        return f"{feature.name} is spread in another way than in the training rows"
    way = "higher" if turned > 0 else "lower"
    now_within = _reach(median(edges, now), unit)
    return f"{feature.name} is {way}: its median was {middle:.3g}{unit}, and now is {now_within}"


def of_label(labels: Sequence[str], then: Sequence[float], now: Sequence[float]) -> str:
    """A sentence on the answers, that have shifted."""
    most = max(range(len(labels)), key=lambda i: abs(now[i] - then[i]))
    return f"{labels[most]} is the answer to {now[most]:.0%} of the rows, to {then[most]:.0%} of the training rows"


def median(edges: Sequence[float], shares: Sequence[float]) -> Reach:
    """Within which bin half of the values lie below, as far as they are within the bounds.

    ``edges`` are those between the bins; None stands for no end.
    """
    below = list(accumulate(shares[:-1]))
    at = next(i for i, share in enumerate(below) if share >= below[-1] / 2)
    return [None, *edges][at], [*edges, None][at]


def _reach(reach: Reach, unit: str) -> str:
    above, upto = reach
    if above is None:
        return f"{upto:.3g}{unit} or less" if upto is not None else "what it was"
    return f"more than {above:.3g}{unit}" if upto is None else f"between {above:.3g} and {upto:.3g}{unit}"


def _turned(then: Sequence[float], now: Sequence[float]) -> float:
    """How much likelier than even a value now lies above one of the training rows; below, if negative."""
    ranks = [end - share / 2 for end, share in zip(accumulate(then), then, strict=True)]
    within = sum(now[:-1])
    return sum(rank * share for rank, share in zip(ranks[:-1], now[:-1], strict=True)) / within - 0.5
