"""What the last rows look like beside the training rows, in figures and in words."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from models.manifest import Feature
from service.inference.model import Model
from service.monitoring.drift import shift
from service.monitoring.drift.bins import Bins, Variable, psi
from service.monitoring.drift.window import Window
from service.settings import Settings

_ENOUGH = 5  # a fifth of a window is enough to say something
_WORST = 3  # features that are told of by name


class Judged(NamedTuple):
    """A feature, or the label: the share of each cell ``then`` and ``now``, its index, and where a shift begins.

    ``edges`` are those between a feature's bins.
    """

    then: Sequence[float]
    now: Sequence[float]
    rows: int
    psi: float
    limit: float
    shifted: bool
    edges: Sequence[float]

    @property
    def figures(self) -> dict[str, Any]:
        return {"shifted": self.shifted, "psi": self.psi, "limit": self.limit, "rows": self.rows}

    @property
    def told(self) -> Sequence[float | None]:
        """The shares now, none of which is known without a row."""
        return self.now if self.rows else [None] * len(self.now)


class Verdict(NamedTuple):
    """The window of one version, judged."""

    model: Model
    window: Window
    features: dict[str, Judged]
    labels: Judged
    size: int

    @property
    def least(self) -> int:
        """How many rows it takes to say something."""
        return least(self.size)

    def says_of(self, judged: Judged) -> bool:
        """Whether there are rows enough to say something of a variable."""
        return judged.rows >= self.least

    @property
    def alarm(self) -> bool:
        """Whether anything has shifted."""
        return any(judged.shifted for judged in (*self.features.values(), self.labels))

    @property
    def sentence(self) -> str:
        """What to say to a person."""
        if self.window.rows < self.least:
            return f"too few rows to say: {self.window.rows} of the {self.least} that it takes"
        return f"has shifted: {'; '.join(self._shifts())}" if self.alarm else "looks like the training rows"

    def document(self) -> dict[str, Any]:
        """What ``GET /drift`` answers."""
        said = "unknown" if self.window.rows < self.least else "shifted" if self.alarm else "alike"
        since = self.window.since
        shares = zip(self.model.labels, self.labels.then, self.labels.told, strict=True)
        return {
            "verdict": said,
            "says": self.sentence,
            "alarm": self.alarm,
            "rows": self.window.rows,
            "least_rows": self.least,
            "window_rows": self.size,
            "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if since else None,
            "features": {
                feature.name: self._feature(feature, judged)
                for feature, judged in zip(self.model.features, self.features.values(), strict=True)
            },
            "labels": {
                **self.labels.figures,
                "shares": {label: {"then": then, "now": now} for label, then, now in shares},
            },
            "model": self.model.identity,
        }

    def _shifts(self) -> list[str]:
        """A sentence for each of the features that have shifted the most, and one for the labels."""
        features = zip(self.model.features, self.features.values(), strict=True)
        shifted = sorted((pair for pair in features if pair[1].shifted), key=lambda pair: -pair[1].psi)
        told = [self._how(feature, judged) for feature, judged in shifted[:_WORST]]
        rest = len(shifted) - len(told)
        told += [f"and so {'has' if rest == 1 else 'have'} {rest} more of the features"] if rest else []
        labels = self.labels
        return told + ([shift.of_label(self.model.labels, labels.then, labels.now)] if labels.shifted else [])

    def _how(self, feature: Feature, judged: Judged) -> str:
        return shift.of_feature(feature, judged.edges, self._middle(feature), judged.then, judged.now)

    def _middle(self, feature: Feature) -> float:
        """The median of the training rows."""
        reference = self.model.manifest.reference
        return float(np.interp(0.5, reference.probabilities, reference.features[feature.name]))

    def _feature(self, feature: Feature, judged: Judged) -> dict[str, Any]:
        *then, _ = judged.then
        *now, refused = judged.told
        ends = pairwise([None, *judged.edges, None])
        above, upto = shift.median(judged.edges, judged.now)
        return {
            **judged.figures,
            "says": self._how(feature, judged) if judged.shifted else "",
            "median": {"then": self._middle(feature), "now": {"above": above, "upto": upto} if judged.rows else None},
            "refused": refused,
            "bins": [
                {"above": above, "upto": upto, "then": before, "now": after}
                for (above, upto), before, after in zip(ends, then, now, strict=True)
            ],
        }


def least(size: int) -> int:
    """How many rows of a window it takes to say something."""
    return -(-size // _ENOUGH)


def judge(model: Model, bins: Bins, window: Window, settings: Settings) -> Verdict:
    """The verdict on a window of one version's rows."""
    size = settings.drift_rows

    def judged(variable: Variable) -> Judged:
        counts = window.counts[variable.cells]
        rows = int(counts.sum())
        index, limit = psi(variable.then, counts), bins.limit(variable, rows, settings.drift_psi)
        now = (counts / max(rows, 1)).tolist()
        shifted = rows >= least(size) and index >= limit
        return Judged(variable.then.tolist(), now, rows, index, limit, shifted, variable.edges.tolist())

    features = {name: judged(variable) for name, variable in bins.features.items()}
    return Verdict(model, window, features, judged(bins.labels), size)
