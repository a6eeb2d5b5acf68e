"""How a feature, or the answer, has shifted: in plain words, from the shares of its bins then and now."""

from collections.abc import Sequence
from itertools import accumulate

from models.bundle import Feature

_REFUSED = 0.02  # share of a feature's values beyond its bounds from which on that is what is told of it
_TURNED = 0.05  # how much likelier than even a value now lies above, or below, one of the training rows


def of_feature(feature: Feature, edges: Sequence[float], then: Sequence[float], now: Sequence[float]) -> str:
    """A sentence on one that has shifted; the last of its shares is of values beyond its bounds."""
    unit = f" {feature.unit}".rstrip()
    if now[-1] >= _REFUSED:
        return (
            f"{feature.name} was refused in {now[-1]:.0%} of the rows, as not within "
            f"{feature.minimum:g} to {feature.maximum:g}{unit}: is it measured in another unit?"
        )
    before, after = median(edges, then), median(edges, now)
    turned = _turned(then, now)
    if abs(turned) < _TURNED or before is None or after is None:
        return f"{feature.name} is spread in another way than in the training rows"
    way = "higher" if turned > 0 else "lower"
    return f"{feature.name} is {way} (median about {after:.3g}{unit}, in the training rows {before:.3g}{unit})"


def of_label(labels: Sequence[str], then: Sequence[float], now: Sequence[float]) -> str:
    """A sentence on the answers, that have shifted."""
    most = max(range(len(labels)), key=lambda i: abs(now[i] - then[i]))
    return f"{labels[most]} is the answer to {now[most]:.0%} of the rows, to {then[most]:.0%} of the training rows"


def median(edges: Sequence[float], shares: Sequence[float]) -> float | None:
    """About where half of the values within the bounds lie below, as if each bin were evenly filled.

    ``edges`` are those of the bins, with the least and the greatest value of the training rows around them.
    """
    below = [0.0, *accumulate(shares[:-1])]
    half = below[-1] / 2
    if not half:
        return None
    at = next(i for i in range(len(edges) - 1) if below[i + 1] >= half)
    return edges[at] + (edges[at + 1] - edges[at]) * (half - below[at]) / (below[at + 1] - below[at])


def _turned(then: Sequence[float], now: Sequence[float]) -> float:
    """How much likelier than even a value now lies above one of the training rows; below, if negative."""
    ranks = [end - share / 2 for end, share in zip(accumulate(then), then, strict=True)]
    within = sum(now[:-1])
    return sum(rank * share for rank, share in zip(ranks[:-1], now[:-1], strict=True)) / within - 0.5
