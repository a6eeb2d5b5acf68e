"""How certain a share is that was counted in a sample of rows."""

from math import sqrt
from statistics import NormalDist

from service.comparison.document import RowShare

CONFIDENCE = 0.95
_DEVIATE = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def wilson_interval(count: int, rows: int) -> tuple[float, float]:
    """The 95 % confidence interval of the share of ``count`` in ``rows`` rows, of which there is at least one.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927. Unlike the interval of
    the normal approximation, it holds for shares near 0 and 1 and for few rows.
    """
    share, prior = count / rows, _DEVIATE**2 / rows
    middle = share + prior / 2
    half_width = sqrt(share * (1 - share) * prior + prior**2 / 4)
    low, high = (middle - half_width) / (1 + prior), (middle + half_width) / (1 + prior)
    return (max(low, 0.0) if count else 0.0), (min(high, 1.0) if count < rows else 1.0)


def row_share(count: int, rows: int) -> RowShare:
    """So many of all rows; not more, even if a process was killed while it added to the counts."""
    count = min(max(count, 0), rows)
    if not rows:
        return RowShare(rows=count, share=None, low=None, high=None)
    low, high = wilson_interval(count, rows)
    return RowShare(rows=count, share=count / rows, low=low, high=high)
