"""Whether the most recent rows look like the training rows, in numbers and in words."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from models.signature import Feature
from service.inference.model import Model
from service.monitoring.drift.bins import Bins, Variable
from service.monitoring.drift.psi import stability_index
from service.monitoring.drift.sentences import describe_feature, describe_labels, median_bin
from service.monitoring.drift.window import Window
from service.settings import Settings

_MIN_ROWS_DIVISOR = 5  # a fifth of a window is enough for a verdict
_MAX_NAMED = 3  # features that the summary names


class Comparison(NamedTuple):
    """A feature, or the label: the share of each cell, its PSI, and the ``limit`` from which on it has shifted.

    ``edges`` are those between a feature's bins.
    """

    training_shares: Sequence[float]
    recent_shares: Sequence[float]
    rows: int
    psi: float
    limit: float
    has_shifted: bool
    edges: Sequence[float]

    @property
    def numbers(self) -> dict[str, Any]:
        return {"shifted": self.has_shifted, "psi": self.psi, "limit": self.limit, "rows": self.rows}

    @property
    def known_shares(self) -> Sequence[float | None]:
        """The recent shares; None for each without a row."""
        return self.recent_shares if self.rows else [None] * len(self.recent_shares)


class Verdict(NamedTuple):
    """The comparison of one version's window with its training rows.

    The window holds ``window_rows`` rows once it is full; a verdict needs ``min_rows`` of them.
    """

    model: Model
    window: Window
    features: dict[str, Comparison]
    labels: Comparison
    window_rows: int
    min_rows: int

    def has_enough_rows(self, comparison: Comparison) -> bool:
        """Whether a comparison has as many rows as a verdict needs."""
        return comparison.rows >= self.min_rows

    @property
    def has_shifted(self) -> bool:
        """Whether any feature, or the labels, have shifted."""
        return any(comparison.has_shifted for comparison in (*self.features.values(), self.labels))

    @property
    def summary(self) -> str:
        """The verdict in words."""
        if self.window.rows < self.min_rows:
            return f"too few rows for a verdict: {self.window.rows} of {self.min_rows}"
        return f"has shifted: {'; '.join(self._shifts())}" if self.has_shifted else "looks like the training rows"

    def document(self) -> dict[str, Any]:
        """The response of ``GET /drift``."""
        verdict = "unknown" if self.window.rows < self.min_rows else "shifted" if self.has_shifted else "alike"
        since = self.window.since
        shares = zip(self.model.labels, self.labels.training_shares, self.labels.known_shares, strict=True)
        return {
            "verdict": verdict,
            "says": self.summary,
            "alarm": self.has_shifted,
            "rows": self.window.rows,
            "least_rows": self.min_rows,
            "window_rows": self.window_rows,
            "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if since else None,
            "features": {
                feature.name: self._feature(feature, comparison)
                for feature, comparison in zip(self.model.features, self.features.values(), strict=True)
            },
            "labels": {
                **self.labels.numbers,
                "shares": {label: {"then": training, "now": recent} for label, training, recent in shares},
            },
            "model": self.model.identity,
        }

    def _shifts(self) -> list[str]:
        """A sentence for each of the features that have shifted the most, and one for the labels."""
        features = zip(self.model.features, self.features.values(), strict=True)
        shifted = sorted((pair for pair in features if pair[1].has_shifted), key=lambda pair: -pair[1].psi)
        sentences = [self._describe(feature, comparison) for feature, comparison in shifted[:_MAX_NAMED]]
        if rest := len(shifted) - len(sentences):
            sentences.append(f"{rest} more {'feature has' if rest == 1 else 'features have'} shifted")
        if self.labels.has_shifted:
            labels = self.labels
            sentences.append(describe_labels(self.model.labels, labels.training_shares, labels.recent_shares))
        return sentences

    def _describe(self, feature: Feature, comparison: Comparison) -> str:
        training_shares, recent_shares = comparison.training_shares, comparison.recent_shares
        median = self._training_median(feature)
        return describe_feature(feature, comparison.edges, median, training_shares, recent_shares)

    def _training_median(self, feature: Feature) -> float:
        reference = self.model.manifest.require_reference()
        return float(np.interp(0.5, reference.probabilities, reference.features[feature.name]))

    def _feature(self, feature: Feature, comparison: Comparison) -> dict[str, Any]:
        *training_shares, _ = comparison.training_shares
        *recent_shares, out_of_bounds = comparison.known_shares
        intervals = pairwise([None, *comparison.edges, None])
        above, upto = median_bin(comparison.edges, comparison.recent_shares)
        recent_median = {"above": above, "upto": upto} if comparison.rows else None
        return {
            **comparison.numbers,
            "says": self._describe(feature, comparison) if comparison.has_shifted else "",
            "median": {"then": self._training_median(feature), "now": recent_median},
            "refused": out_of_bounds,
            "bins": [
                {"above": above, "upto": upto, "then": training, "now": recent}
                for (above, upto), training, recent in zip(intervals, training_shares, recent_shares, strict=True)
            ],
        }


def judge(model: Model, bins: Bins, window: Window, settings: Settings) -> Verdict:
    """Compare a window of one version's rows with its training rows."""
    min_rows = -(-settings.drift_rows // _MIN_ROWS_DIVISOR)

    def compare(variable: Variable) -> Comparison:
        counts = window.counts[variable.cells]
        rows = int(counts.sum())
        psi = stability_index(variable.training_shares, counts)
        limit = bins.limit(variable, rows, settings.drift_psi)
        recent_shares = (counts / max(rows, 1)).tolist()
        has_shifted = rows >= min_rows and psi >= limit
        training_shares, edges = variable.training_shares.tolist(), variable.edges.tolist()
        return Comparison(training_shares, recent_shares, rows, psi, limit, has_shifted, edges)

    features = {name: compare(variable) for name, variable in bins.features.items()}
    return Verdict(model, window, features, compare(bins.labels), settings.drift_rows, min_rows)
