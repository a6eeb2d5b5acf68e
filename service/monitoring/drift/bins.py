"""Where rows fall among the training rows, and how far they have shifted: the population stability index.

docs/drift.md has the formulas, where they come from, and what chance alone makes of them.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import Manifest, Reference
from service.prediction import Array, Doubles, Indices

Counts = NDArray[np.int64]

_MOST_QUANTILES = 9  # that bins are cut at, however many a manifest has
_MOST_EDGES = _MOST_QUANTILES + 1
_STRIDE = _MOST_EDGES + 2  # cells of a feature: its bins, and the values beyond its hard bounds
_HALF = 0.5  # a row, for what no training row was: its share would be 0, and its logarithm nothing
_CHANCE = 1 / 1000  # windows that may look shifted though nothing has
_SLACK = 1.5  # a bin that few rows fall in is not yet as chi-square has it: it exceeds it more often


class Variable(NamedTuple):
    """A feature, or the label: which cells are its own, and the share ``then`` of the training rows in each.

    A feature's bins reach from one edge to the next, that one included; one cell more counts values beyond the bounds.
    ``freedom`` is how many shares chance can choose.
    """

    cells: slice
    then: Doubles
    freedom: int
    edges: Doubles


class Bins:
    """The cells that the rows of one model are counted in; ``key`` identifies the model, and is not 0."""

    def __init__(self, manifest: Manifest, key: int) -> None:
        reference, trained = manifest.reference, manifest.training.rows
        self.features: dict[str, Variable] = {}
        for index, name in enumerate(manifest.feature_names):
            edges, shares = _cut(reference, name)
            start = index * _STRIDE
            then = _shares(np.append(shares, 0), trained)
            self.features[name] = Variable(
                slice(start, start + len(then)), then, int(np.count_nonzero(shares)) - 1, edges
            )
        start = len(self.features) * _STRIDE
        then = _shares(np.array([reference.labels[label] for label in manifest.labels]), trained)
        self.labels = Variable(slice(start, start + len(then)), then, len(then) - 1, np.array([]))
        self.key = key
        self._trained = trained
        self._unknown = cells_of(manifest) - 1
        self._beyond = [variable.cells.stop - 1 for variable in self.features.values()]
        self._starts = np.arange(0, start + 1, _STRIDE)
        self._edges = np.full((_MOST_EDGES, 1, len(self.features)), np.inf, np.float32)
        for index, variable in enumerate(self.features.values()):
            self._edges[: len(variable.edges), 0, index] = variable.edges

    def of_predicted(self, rows: Array, labels: Indices) -> Counts:
        """The cells of ``rows`` [rows, features] with these labels [rows]: [rows, features + 1], the label's last."""
        cells = np.empty((len(rows), len(self._starts)), np.int64)
        np.sum(rows > self._edges, axis=0, out=cells[:, :-1])
        cells[:, -1] = labels
        cells += self._starts
        return cells

    def of_refused(self, beyond: Mapping[str, int]) -> Counts:
        """The same for rows that were refused: so many values of a feature beyond its bounds, nothing else known."""
        found = np.full((max(beyond.values()), len(self._starts)), self._unknown)
        for index, name in enumerate(self.features):
            found[: beyond.get(name, 0), index] = self._beyond[index]
        return found

    def limit(self, variable: Variable, rows: int, least: float) -> float:
        """The index from which on a variable has shifted: ``least``, or more where chance alone reaches that."""
        return max(least, noise(variable.freedom, rows, self._trained, len(self._starts)))


def cells_of(manifest: Manifest) -> int:
    """How many cells it takes; the last one is for what is not known of a row."""
    return len(manifest.features) * _STRIDE + len(manifest.labels) + 1


def psi(then: Doubles, counts: NDArray[Any]) -> float:
    """The population stability index of counted rows against shares, none of which may be 0.

    To every count is added what half a row a cell would bring if it were spread like ``then``: no cell is empty, equal
    shares have an index of exactly 0, and few rows are drawn towards no shift.
    """
    prior = _HALF * len(then)
    now = (counts + prior * then) / (counts.sum() + prior)
    return float(((now - then) * np.log(now / then)).sum())


def noise(freedom: int, rows: int, trained: int, tests: int) -> float:
    """What chance alone exceeds in one of 1,000 windows, in any of so many tests, if nothing has shifted.

    The index then has nearly the distribution of chi-square times ``1 / rows + 1 / trained`` (Yurdakul 2018); its
    quantile is Wilson and Hilferty's, with some slack.
    """
    if not freedom or not rows:
        return 0.0
    spread = 2 / (9 * freedom)
    deviate = NormalDist().inv_cdf(1 - _CHANCE / tests)
    return float(_SLACK * freedom * (1 - spread + deviate * spread**0.5) ** 3 * (1 / rows + 1 / trained))


def _shares(shares: Doubles, rows: int) -> Doubles:
    """The shares of so many rows, with half a row more in each cell, so that none is 0."""
    counts = shares * rows + _HALF
    found: Doubles = counts / counts.sum()
    return found


def _cut(reference: Reference, name: str) -> tuple[Doubles, Doubles]:
    """A feature's edges, and the share of the training rows in each bin between them."""
    inner = len(reference.probabilities) - 2
    places = np.linspace(1, inner, min(max(inner, 0), _MOST_QUANTILES)).round().astype(int).tolist()
    quantiles, shares = reference.features[name], reference.shares.get(name)
    # How many rows share a value that several quantiles fall on, `shares` alone knows.
    places = [place for place in places if shares or quantiles.count(quantiles[place]) == 1]
    below = {quantiles[place]: (shares or reference.probabilities)[place] for place in places}
    if shares and places and quantiles.count(lowest := quantiles[places[0]]) > 1:  # whatever is less is another thing
        under = float(np.nextafter(np.float32(lowest), np.float32(-np.inf)))
        below = {under: shares[0] if quantiles[0] < lowest else 0.0} | below
    return np.array(list(below)), np.diff(list(below.values()), prepend=0, append=1)
