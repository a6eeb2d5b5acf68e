"""Whether the most recent rows, and what the model predicts for them, look like the training rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.inference.binning.bins import Bins
from service.inference.binning.variables import Variable
from service.inference.model import Model
from service.monitoring.drift.psi import shift_limit, stability_index
from service.monitoring.drift.sentences import (
    describe_category_feature,
    describe_feature,
    describe_labels,
    describe_values,
)
from service.monitoring.drift.window import Window, empty_window
from service.settings import Settings

_MIN_ROWS_DIVISOR = 5  # a fifth of a window is enough for a verdict
_MAX_NAMED = 3  # features that the summary names, and outputs
_NO_SAMPLE = "the model was adopted without a sample, so there are no training rows to compare with"


class Comparison(NamedTuple):
    """The recent shares of a variable's cells, its PSI, and the ``limit`` from which on it has shifted."""

    variable: Variable
    recent_shares: Sequence[float]
    rows: int
    psi: float
    limit: float
    has_shifted: bool

    @property
    def training_shares(self) -> list[float]:
        shares: list[float] = self.variable.training_shares.tolist()
        return shares

    @property
    def known_shares(self) -> Sequence[float | None]:
        """The recent shares; None for each without a row."""
        return self.recent_shares if self.rows else [None] * len(self.recent_shares)


class Verdict(NamedTuple):
    """The comparison of one version's window with its training rows.

    The window holds ``window_rows`` rows once it is full; a verdict needs ``min_rows`` of them. ``outputs`` has what is
    predicted, by the names in `Bins.outputs`. A model without a sample has no comparisons.
    """

    model: Model
    window: Window
    features: Mapping[str, Comparison]
    outputs: Mapping[str, Comparison]
    window_rows: int
    min_rows: int

    def has_enough_rows(self, comparison: Comparison) -> bool:
        """Whether a comparison has as many rows as a verdict needs."""
        return comparison.rows >= self.min_rows

    @property
    def has_shifted(self) -> bool:
        """Whether any feature, or what is predicted, has shifted."""
        return any(comparison.has_shifted for comparison in (*self.features.values(), *self.outputs.values()))

    @property
    def name(self) -> str:
        """The verdict in a word."""
        if self.window.rows < self.min_rows:  # also without a sample
            return "unknown"
        return "shifted" if self.has_shifted else "alike"

    @property
    def summary(self) -> str:
        """The verdict in words."""
        if not self.model.manifest.reference:
            return _NO_SAMPLE
        if self.window.rows < self.min_rows:
            return f"too few rows for a verdict: {self.window.rows} of {self.min_rows}"
        return f"has shifted: {'; '.join(self._shifts())}" if self.has_shifted else "looks like the training rows"

    def describe_feature(self, name: str) -> str:
        """How a feature differs that has shifted."""
        compared = self.features[name]
        feature = next(feature for feature in self.model.features if feature.name == name)
        describe = describe_category_feature if feature.is_category else describe_feature
        return describe(feature, compared.variable, compared.training_shares, compared.recent_shares)

    def describe_output(self, name: str) -> str:
        """How what is predicted differs, if it has shifted."""
        variable, recent_shares, *_ = compared = self.outputs[name]
        training_shares = compared.training_shares
        if variable.kind == "regression":
            unit, edges = variable.unit, variable.edges.tolist()
            return describe_values(f"predicted {name}", unit, edges, variable.median, training_shares, recent_shares)
        if variable.kind == "multi_label":
            return describe_labels([name], training_shares[1:], recent_shares[1:])
        labels = variable.labels if self.model.labels else [f"{name}.{label}" for label in variable.labels]
        return describe_labels(labels, training_shares, recent_shares)

    def _shifts(self) -> list[str]:
        """A sentence for each of the features, and of the outputs, that have shifted the most."""
        features, outputs = _most_shifted(self.features), _most_shifted(self.outputs)
        return [
            *map(self.describe_feature, features[:_MAX_NAMED]),
            *_count_others(features, "feature"),
            *map(self.describe_output, outputs[:_MAX_NAMED]),
            *_count_others(outputs, "output"),
        ]


def _most_shifted(comparisons: Mapping[str, Comparison]) -> list[str]:
    """The names of what has shifted, the greatest shift first."""
    shifted = [name for name, comparison in comparisons.items() if comparison.has_shifted]
    return sorted(shifted, key=lambda name: -comparisons[name].psi)


def _count_others(shifted: Sequence[str], noun: str) -> list[str]:
    """How many have shifted beside those that are named."""
    others = len(shifted) - _MAX_NAMED
    if others <= 0:
        return []
    return [f"1 more {noun} has shifted" if others == 1 else f"{others} more {noun}s have shifted"]


def judge(model: Model, bins: Bins, window: Window, settings: Settings) -> Verdict:
    """Compare a window of one version's rows with its training rows."""
    min_rows = _min_rows(settings)

    def compare(variable: Variable) -> Comparison:
        counts = window.counts[variable.cells]
        rows = int(counts.sum())
        psi = stability_index(variable.training_shares, counts)
        limit = shift_limit(bins, variable, rows, settings.drift_psi)
        has_shifted = rows >= min_rows and psi >= limit
        return Comparison(variable, (counts / max(rows, 1)).tolist(), rows, psi, limit, has_shifted)

    features = {name: compare(variable) for name, variable in bins.features.items()}
    outputs = {name: compare(variable) for name, variable in bins.outputs.items()}
    return Verdict(model, window, features, outputs, settings.drift_rows, min_rows)


def judge_without_sample(model: Model, settings: Settings) -> Verdict:
    """The verdict on a model that has no training rows: unknown, whatever the recent rows are."""
    return Verdict(model, empty_window(0), {}, {}, settings.drift_rows, _min_rows(settings))


def _min_rows(settings: Settings) -> int:
    return -(-settings.drift_rows // _MIN_ROWS_DIVISOR)
