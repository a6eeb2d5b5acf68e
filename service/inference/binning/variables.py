"""What is compared, features and what the model predicts: its cells, and the training rows' share of each."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from models.feature import Feature
from models.manifest import Manifest
from models.reference_statistics import ALL_ROWS, Reference
from models.signature import Head, Target
from service.arrays import Doubles
from service.inference.heads import HeadColumns

MAX_CUTS = 9  # at quantiles, however many a manifest has
MAX_EDGES = MAX_CUTS + 1
MAX_OWN_CELLS = 12  # of a category: its most frequent values; all rarer ones of its vocabulary share a cell
# The same for every feature, because a later version may have another vocabulary: the bins of a number or the values of
# a category, and up to four cells more.
CELLS_PER_FEATURE = MAX_OWN_CELLS + 4
RARE, OTHER, MISSING, REFUSED = "rare", "other", "missing", "refused"  # further cells of a feature
NO, YES = "no", "yes"  # the cells of a label of a multi-label output, in this order

PSEUDOCOUNT = 0.5  # rows added to each cell: the share of an empty one would be 0, which has no logarithm

_CELLS_PER_COLUMN = {"classification": 1, "multi_label": len((NO, YES)), "regression": MAX_CUTS + 1}


class Variable(NamedTuple):
    """A feature or what is predicted: its ``cells``, and the share of the training rows in each of them.

    ``degrees_of_freedom`` is how many shares can vary independently. A feature or target has bins, each of which
    includes its upper edge, and the ``median`` of the training rows. Others have ``labels``, one for each cell. After
    these, a feature has a cell for each of ``further``: a category for its ``rare`` values and for ``other`` ones,
    features for ``missing`` values if they are allowed, and all for ``refused`` ones, out of bounds or unknown.
    """

    kind: Literal["feature", "category", "regression", "multi_label", "classification"]
    cells: slice
    training_shares: Doubles
    degrees_of_freedom: int
    edges: Doubles
    labels: Sequence[str] = ()
    median: float = 0.0
    unit: str = ""
    further: Sequence[str] = ()

    @property
    def own_cells(self) -> int:
        """The number of its bins or labels."""
        return len(self.training_shares) - len(self.further)


def smoothed_shares(shares: Doubles, rows: int) -> Doubles:
    """The shares of ``rows`` rows after half a row more in each cell, so that none is 0."""
    counts = shares * rows + PSEUDOCOUNT
    smoothed: Doubles = counts / counts.sum()
    return smoothed


def count_output_cells(head: Head) -> int:
    """How many cells an output needs."""
    return len(head.column_names) * _CELLS_PER_COLUMN[head.kind]


def cut_positions(count: int) -> list[int]:
    """Which of the inner ones of ``count`` quantiles to cut at: all of them, or a few at even distances."""
    inner = count - 2
    positions: list[int] = np.linspace(1, inner, min(max(inner, 0), MAX_CUTS)).round().astype(int).tolist()
    return positions


def feature_variable(feature: Feature, manifest: Manifest, start: int) -> Variable:
    """A feature, whose cells begin at ``start``."""
    reference = manifest.require_reference()
    if feature.is_category:
        return _category_variable(feature, manifest, start)
    quantiles = reference.features[feature.name]
    edges, shares = _cut_into_bins(reference, quantiles, reference.shares.get(feature.name))
    further = [MISSING] * feature.allow_missing + [REFUSED]
    if feature.allow_missing:
        missing = reference.missing[feature.name]
        shares = np.append(shares * (1 - missing), missing)
    smoothed = smoothed_shares(np.append(shares, 0), manifest.training.rows)
    cells = slice(start, start + len(smoothed))
    median = _median(reference, quantiles)
    return Variable("feature", cells, smoothed, _degrees_of_freedom(shares), edges, (), median, feature.unit, further)


def own_codes(feature: Feature, manifest: Manifest) -> list[int]:
    """The codes of the values of a category that have a cell of their own, ascending."""
    shares = np.array(manifest.require_reference().categories[ALL_ROWS][feature.name][: feature.other_code])
    codes: list[int] = np.sort(np.argsort(-shares, kind="stable")[:MAX_OWN_CELLS]).tolist()
    return codes


def _category_variable(feature: Feature, manifest: Manifest, start: int) -> Variable:
    shares = np.array(manifest.require_reference().categories[ALL_ROWS][feature.name])
    own = own_codes(feature, manifest)
    has_rare = len(own) < feature.other_code
    rare = 1 - shares[own].sum() - shares[feature.other_code :].sum()
    own_and_further = [*shares[own], *[max(rare, 0)] * has_rare, *shares[feature.other_code :]]
    smoothed = smoothed_shares(np.array([*own_and_further, 0]), manifest.training.rows)
    labels = [feature.describe_code(code) for code in own]
    further = [RARE] * has_rare + [OTHER] * feature.allow_other + [MISSING] * feature.allow_missing + [REFUSED]
    cells, degrees = slice(start, start + len(smoothed)), _degrees_of_freedom(np.array(own_and_further))
    return Variable("category", cells, smoothed, degrees, np.array([]), labels, further=further)


def output_variables(head: HeadColumns, manifest: Manifest, start: int) -> Iterator[tuple[str, Variable]]:
    """What an output predicts: a classification by its name, targets and the labels of others by their columns'."""
    reference, rows = manifest.require_reference(), manifest.training.rows
    names = manifest.column_names[head.columns]
    width = _CELLS_PER_COLUMN[head.head.kind]
    starts = range(start, start + width * len(names), width)
    if head.head.kind == "classification":
        shares = smoothed_shares(np.array([reference.labels[name] for name in names]), rows)
        yield head.head.name, _label_variable("classification", start, shares, head.head.labels)
    elif head.head.kind == "multi_label":
        for name, own_start in zip(names, starts, strict=True):
            share = reference.labels[name]
            shares = smoothed_shares(np.array([1 - share, share]), rows)
            yield name, _label_variable("multi_label", own_start, shares, (NO, YES))
    else:
        for name, target, own_start in zip(names, head.head.targets, starts, strict=True):
            yield name, _target_variable(target, reference, reference.targets[name], rows, own_start)


def _label_variable(
    kind: Literal["classification", "multi_label"], start: int, shares: Doubles, labels: Sequence[str]
) -> Variable:
    return Variable(kind, slice(start, start + len(labels)), shares, len(labels) - 1, np.array([]), labels)


def _target_variable(
    target: Target, reference: Reference, quantiles: Sequence[float], rows: int, start: int
) -> Variable:
    edges, shares = _cut_into_bins(reference, quantiles, None)
    cells, median = slice(start, start + len(shares)), _median(reference, quantiles)
    smoothed = smoothed_shares(shares, rows)
    return Variable("regression", cells, smoothed, _degrees_of_freedom(shares), edges, (), median, target.unit)


def _median(reference: Reference, quantiles: Sequence[float]) -> float:
    return float(np.interp(0.5, reference.probabilities, quantiles))


def _degrees_of_freedom(shares: Doubles) -> int:
    return int(np.count_nonzero(shares)) - 1


def _cut_into_bins(
    reference: Reference, quantiles: Sequence[float], shares: Sequence[float] | None
) -> tuple[Doubles, Doubles]:
    """The edges between the bins of a feature or target, and the share of the training rows in each bin."""
    compared = np.array(quantiles, np.float32).tolist()  # as rows are: several quantiles may be one float32
    # Only `shares` has the share of the rows up to a value that several quantiles fall on.
    cuts = [cut for cut in cut_positions(len(quantiles)) if shares or compared.count(compared[cut]) == 1]
    edges = {compared[cut]: quantiles[cut] for cut in cuts}
    cumulative = {compared[cut]: (shares or reference.probabilities)[cut] for cut in cuts}
    if shares and cuts and compared.count(lowest := compared[cuts[0]]) > 1:  # lower values get a bin of their own
        below = float(np.nextafter(np.float32(lowest), np.float32(-np.inf)))
        edges = {below: below} | edges
        cumulative = {below: shares[0] if compared[0] < lowest else 0.0} | cumulative
    return np.array(list(edges.values())), np.diff(list(cumulative.values()), prepend=0, append=1)
