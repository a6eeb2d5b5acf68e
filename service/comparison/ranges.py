"""In which ranges of the features' values predictions changed.

Rows are counted in the bins that drift has, so that no single row's values can be told from the counts, and ranges with
few rows are not reported.
"""

from collections.abc import Sequence
from math import floor

import numpy as np
from numpy.typing import NDArray

from models.feature import Feature
from service.arrays import Doubles
from service.comparison.confidence import wilson_interval
from service.comparison.differences import Cells
from service.comparison.document import Range
from service.inference.binning.bins import Bins
from service.inference.binning.variables import CELLS_PER_FEATURE, MISSING, OTHER, Variable
from service.significant_digits import format_distinct

MIN_ROWS = 10
MIN_CHANGED = 5
_MAX_LISTED = 10
_MIN_SHARE = 0.5  # of the changed rows that lie in a range that has most of them
_MIN_EXCESS = 0.25  # over the range's share of all rows
_MIN_DEVIATIONS = 4.0  # by how many standard deviations chance must be exceeded: there are many ranges to choose from


class FeatureRanges:
    """The ranges of a model's features, one for each cell of its ``bins``: the counts below are [cells]."""

    def __init__(self, features: Sequence[Feature], bins: Bins) -> None:
        self._features, self._variables = features, list(bins.features.values())
        self.size = len(features) * CELLS_PER_FEATURE

    def most_changed(self, rows: Cells, changed: Cells, overall_share: float) -> list[Range]:
        """The ranges with the greatest shares of changed rows, surest first; each has more than all rows together."""
        changed = np.minimum(changed, rows)  # so it is, unless a process was killed while it added to the counts
        enough = np.flatnonzero((rows >= MIN_ROWS) & (changed >= MIN_CHANGED) & (changed > overall_share * rows))
        lowest = {cell: wilson_interval(changed[cell], rows[cell])[0] for cell in enough.tolist()}
        surest = sorted(lowest, key=lambda cell: -lowest[cell])[:_MAX_LISTED]
        places = [divmod(cell, CELLS_PER_FEATURE) for cell in surest]
        return [self._range(index, cell, cell, rows, changed) for index, cell in places]

    def find_concentration(self, rows: Cells, changed: Cells, total: int, total_changed: int) -> Range | None:
        """The range, of one or several bins, with clearly more of the changed rows than of all, if there is one.

        It is the one whose share of the changed rows exceeds its share of all rows the most.
        """
        if total_changed < MIN_CHANGED:
            return None
        inside, inside_changed = self._sum_intervals(rows), self._sum_intervals(changed)
        shares, changed_shares = inside / max(total, total_changed), inside_changed / total_changed
        deviation = np.sqrt(np.clip(shares * (1 - shares), 0, None) / total_changed)
        excess = changed_shares - shares
        is_clear = (
            (inside >= MIN_ROWS)
            & (inside_changed >= MIN_CHANGED)
            & (changed_shares >= _MIN_SHARE)
            & (excess >= np.maximum(_MIN_EXCESS, _MIN_DEVIATIONS * deviation))
        )
        best = int(np.where(is_clear, excess, -1).argmax())
        if not is_clear.flat[best]:
            return None
        index, first, end = (int(place) for place in np.unravel_index(best, excess.shape))
        return self._range(index, first, end - 1, rows, changed)

    def _sum_intervals(self, counts: Cells) -> Cells:
        """The sum of the cells from each to each, of a feature's bins, or of one cell; [features, from, up to]."""
        ends = np.zeros((len(self._features), CELLS_PER_FEATURE + 1), np.int64)
        ends[:, 1:] = counts.reshape(-1, CELLS_PER_FEATURE).cumsum(axis=1)
        sums = ends[:, np.newaxis, :] - ends[:, :, np.newaxis]
        return np.where(self._is_interval(), sums, 0)

    def _is_interval(self) -> NDArray[np.bool_]:
        """Which cells make a range: neighbouring bins of a number, and any single cell."""
        first, end = np.ogrid[: CELLS_PER_FEATURE + 1, : CELLS_PER_FEATURE + 1]
        bins = np.array([len(each.edges) + 1 if each.kind == "feature" else 0 for each in self._variables])
        within_bins = (first < end) & (end <= bins[:, np.newaxis, np.newaxis])
        is_interval: NDArray[np.bool_] = within_bins | (end == first + 1)
        return is_interval

    def _range(self, index: int, first: int, last: int, rows: Cells, changed: Cells) -> Range:
        feature, variable = self._features[index], self._variables[index]
        cells = slice(index * CELLS_PER_FEATURE + first, index * CELLS_PER_FEATURE + last + 1)
        inside, inside_changed = int(rows[cells].sum()), int(changed[cells].sum())
        above, upto = _ends(variable, first, last)
        return Range(
            feature=feature.name,
            says=f"{feature.name} {_describe(feature, variable, first, last)}",
            above=above,
            upto=upto,
            category=variable.labels[first] if first < len(variable.labels) else None,
            rows=inside,
            changed=inside_changed,
            share=inside_changed / inside,
        )


def _ends(variable: Variable, first: int, last: int) -> tuple[float | None, float | None]:
    """Above which value a number's bins begin, and up to which they go; None if there is no such bound."""
    if variable.kind != "feature" or last > len(variable.edges):
        return None, None
    edges = [None, *variable.edges.tolist(), None]
    return edges[first], edges[last + 1]


def _describe(feature: Feature, variable: Variable, first: int, last: int) -> str:
    """A range in words that follow the feature's name."""
    if first >= variable.own_cells:
        kind = variable.further[first - variable.own_cells]
        return {MISSING: "is missing", OTHER: "is not a known category"}.get(kind, "is one of the rarer categories")
    if variable.kind == "category":
        return f"is {variable.labels[first]}"
    unit = f" {feature.unit}".rstrip()
    if feature.kind == "integer":
        return _describe_integers(*_ends(variable, first, last), unit)
    return _describe_interval(variable.edges, first, last, unit)


def _describe_integers(above: float | None, upto: float | None, unit: str) -> str:
    """Bins of whole numbers in words."""
    if above is None:
        return "is not missing" if upto is None else f"is at most {floor(upto)}{unit}"
    if upto is None:
        return f"is at least {floor(above) + 1}{unit}"
    low, high = floor(above) + 1, floor(upto)
    return f"is {high}{unit}" if low == high else f"is between {low} and {high}{unit}"


def _describe_interval(edges: Doubles, first: int, last: int, unit: str) -> str:
    """Bins in words. Between some edges lies no other float32: such a bin has one value, and the edges read as that."""
    singles = edges[1:].astype(np.float32) == np.nextafter(edges[:-1].astype(np.float32), np.float32(np.inf))
    is_single = [*singles.tolist(), False]  # whether the bin that begins at an edge is
    starts_at = first > 0 and is_single[first - 1]
    ends_below = last < len(edges) and is_single[last]
    low = edges[first - 1 + starts_at] if first else None
    high = edges[last + ends_below] if last < len(edges) else None
    texts = [f"{text}{unit}" for text in format_distinct([end for end in (low, high) if end is not None], digits=3)]
    if not texts:
        return "is not missing"  # all bins
    if low is None:
        return f"is {'below' if ends_below else 'at most'} {texts[0]}"
    if high is None:
        return f"is {'at least' if starts_at else 'above'} {texts[0]}"
    return f"is {texts[0]}" if low == high else f"is between {texts[0].removesuffix(unit)} and {texts[1]}"
