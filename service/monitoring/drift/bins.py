"""The cells that rows are counted in: for each feature its bins, and one for each label."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import Manifest, Reference
from service.arrays import Array, Doubles, Indices
from service.monitoring.drift.psi import chance_limit, smoothed_shares

Counts = NDArray[np.int64]

_MAX_CUTS = 9  # at quantiles, however many a manifest has
_MAX_EDGES = _MAX_CUTS + 1
_CELLS_PER_FEATURE = _MAX_EDGES + 2  # its bins, and the values out of its bounds


class Variable(NamedTuple):
    """A feature, or the label: its ``cells``, and the share of the training rows in each of them.

    A bin includes its upper edge. A feature's last cell counts values out of its bounds. ``degrees_of_freedom`` is how
    many shares can vary independently.
    """

    cells: slice
    training_shares: Doubles
    degrees_of_freedom: int
    edges: Doubles


class Bins:
    """The cells of one model; ``key`` identifies the model, and is not 0."""

    def __init__(self, manifest: Manifest, key: int) -> None:
        reference, training_rows = manifest.require_reference(), manifest.training.rows
        self.features: dict[str, Variable] = {}
        for index, name in enumerate(manifest.feature_names):
            edges, shares = _cut_into_bins(reference, name)
            start = index * _CELLS_PER_FEATURE
            smoothed = smoothed_shares(np.append(shares, 0), training_rows)
            cells = slice(start, start + len(smoothed))
            self.features[name] = Variable(cells, smoothed, int(np.count_nonzero(shares)) - 1, edges)
        start = len(self.features) * _CELLS_PER_FEATURE
        smoothed = smoothed_shares(np.array([reference.labels[label] for label in manifest.labels]), training_rows)
        self.labels = Variable(slice(start, start + len(smoothed)), smoothed, len(smoothed) - 1, np.array([]))
        self.key = key
        self._training_rows = training_rows
        self._unknown_cell = count_cells(manifest) - 1
        self._out_of_bounds_cells = [variable.cells.stop - 1 for variable in self.features.values()]
        self._starts = np.arange(0, start + 1, _CELLS_PER_FEATURE)
        self._edges = np.full((_MAX_EDGES, 1, len(self.features)), np.inf, np.float32)
        for index, variable in enumerate(self.features.values()):
            self._edges[: len(variable.edges), 0, index] = variable.edges

    def bin_predicted(self, rows: Array, labels: Indices | Sequence[int]) -> Counts:
        """The cells of ``rows`` [rows, features] with these labels [rows]: [rows, features + 1], the label's last."""
        cells = np.empty((len(rows), len(self._starts)), np.int64)
        cells[:, :-1] = (rows > self._edges).sum(axis=0, dtype=np.uint8)
        cells[:, -1] = labels
        cells += self._starts
        return cells

    def bin_out_of_bounds(self, rejections: Sequence[Mapping[str, int]]) -> Counts:
        """The same for requests that were rejected; of each, the number of out-of-bounds values by feature is known.

        A request counts as so many rows as its most frequent feature needs.
        """
        rows = sum(max(counts.values()) for counts in rejections)
        cells = np.full((rows, len(self._starts)), self._unknown_cell)
        for index, name in enumerate(self.features):
            cells[: sum([counts.get(name, 0) for counts in rejections]), index] = self._out_of_bounds_cells[index]
        return cells

    def limit(self, variable: Variable, rows: int, min_psi: float) -> float:
        """The PSI at which a variable counts as shifted: ``min_psi``, or more where chance alone reaches that."""
        return max(min_psi, chance_limit(variable.degrees_of_freedom, rows, self._training_rows, len(self._starts)))


def count_cells(manifest: Manifest) -> int:
    """How many cells a model's rows need; the last one stands for whatever is not known of a row."""
    return len(manifest.features) * _CELLS_PER_FEATURE + len(manifest.labels) + 1


def _cut_into_bins(reference: Reference, feature: str) -> tuple[Doubles, Doubles]:
    """The edges between a feature's bins, and the share of the training rows in each bin."""
    quantiles, shares = reference.features[feature], reference.shares.get(feature)
    inner = len(reference.probabilities) - 2
    cuts = np.linspace(1, inner, min(max(inner, 0), _MAX_CUTS)).round().astype(int).tolist()
    # Only `shares` has the share of the rows up to a value that several quantiles fall on.
    cuts = [cut for cut in cuts if shares or quantiles.count(quantiles[cut]) == 1]
    cumulative = {quantiles[cut]: (shares or reference.probabilities)[cut] for cut in cuts}
    if shares and cuts and quantiles.count(lowest := quantiles[cuts[0]]) > 1:  # lower values get a bin of their own
        below = float(np.nextafter(np.float32(lowest), np.float32(-np.inf)))
        cumulative = {below: shares[0] if quantiles[0] < lowest else 0.0} | cumulative
    return np.array(list(cumulative)), np.diff(list(cumulative.values()), prepend=0, append=1)
