"""Comparison of outputs that predict labels: which become which, and how their probabilities move."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.signature import Head
from service.arrays import Array, Indices
from service.comparison.differences import Cells, Differences
from service.comparison.document import LabelCounts
from service.comparison.probabilities import ProbabilityMovement
from service.inference.heads import predict_label_sets, predict_labels

MAX_PAIR_LABELS = 200  # so many have 40,000 pairs


class _LabelComparison:
    """What both kinds have: the rows with each label in the serving version, and the probabilities' movement.

    Unless it counts ``pairs``, there are two changes for each label: it is lost, or it is gained.
    """

    pairs = False

    def __init__(self, serving: Head, shadow: Head) -> None:
        self.name, self.labels = serving.name, serving.labels
        self.change_count = 2 * len(self.labels)
        self.is_change = np.ones(self.change_count, np.bool_)
        self._serving, self._shadow = serving, shadow
        self._movement = ProbabilityMovement(len(self.labels))
        self.size = len(self.labels) + self._movement.size

    def describe_change(self, change: int) -> dict[str, str]:
        """The label, and whether it is lost or gained."""
        is_gained, label = divmod(change, len(self.labels))
        return {"label": self.labels[label], "change": "gained" if is_gained else "lost"}

    def alternatives(self, change: int) -> slice | None:  # noqa: ARG002
        """A label may be lost or gained in any row."""
        return None

    def report(self, cells: Cells, changes: Cells, rows: int) -> dict[str, Any]:
        """The counts of each label, and how far probabilities moved."""
        moved, shifts = self._movement.report(cells[len(self.labels) :], rows)
        lost, gained = self._lost_and_gained(changes)
        serving = cells[: len(self.labels)]
        counts = np.column_stack([serving, serving - lost + gained, lost, gained]).tolist()
        labels = {
            label: LabelCounts(serving=before, shadow=after, lost=less, gained=more, mean_shift=shift)
            for label, (before, after, less, more), shift in zip(self.labels, counts, shifts, strict=True)
        }
        return {"labels": labels, "moved": moved}

    def _lost_and_gained(self, changes: Cells) -> tuple[Cells, Cells]:
        return changes[: len(self.labels)], changes[len(self.labels) :]

    def _cells(self, counts: NDArray[np.integer[Any]], serving: Array, shadow: Array) -> Cells:
        return np.concatenate([counts, self._movement.count(serving, shadow)])


class ClassificationComparison(_LabelComparison):
    """Compares an output with one label for each row; of up to 200 labels it counts which became which."""

    def __init__(self, serving: Head, shadow: Head) -> None:
        super().__init__(serving, shadow)
        self.pairs = len(self.labels) <= MAX_PAIR_LABELS
        if self.pairs:
            self.change_count = len(self.labels) ** 2
            self.is_change = ~np.eye(len(self.labels), dtype=np.bool_).ravel()

    @property
    def omitted(self) -> list[str]:
        """That pairs of labels are not counted, if there are too many."""
        reason = f"which label became which, because there are more than {MAX_PAIR_LABELS} labels"
        return [] if self.pairs else [reason]

    def compare(self, serving: Array, shadow: Array) -> Differences:
        """The differences of probabilities, both [rows, labels]."""
        before, after = predict_labels(self._serving, serving), predict_labels(self._shadow, shadow)
        counts = np.bincount(before, minlength=len(self.labels))
        changed = before != after
        cells = self._cells(counts, serving, shadow)
        if self.pairs:
            return Differences(cells, changed, np.arange(len(changed)), before * len(self.labels) + after)
        rows = np.flatnonzero(changed)
        changes = np.concatenate([before[rows], len(self.labels) + after[rows]])
        return Differences(cells, changed, np.concatenate([rows, rows]), changes)

    def describe_change(self, change: int) -> dict[str, str]:
        """Both labels, or one that is lost or gained."""
        if not self.pairs:
            return super().describe_change(change)
        before, after = divmod(change, len(self.labels))
        return {"from": self.labels[before], "to": self.labels[after]}

    def alternatives(self, change: int) -> slice | None:
        """The pairs that begin with the same label."""
        if not self.pairs:
            return None
        first = change - change % len(self.labels)
        return slice(first, first + len(self.labels))

    def report(self, cells: Cells, changes: Cells, rows: int) -> dict[str, Any]:
        """As for labels."""
        return {"kind": "classification"} | super().report(cells, changes, rows)

    def _lost_and_gained(self, changes: Cells) -> tuple[Cells, Cells]:
        if not self.pairs:
            return super()._lost_and_gained(changes)
        pairs = np.where(self.is_change, changes, 0).reshape(len(self.labels), -1)
        return pairs.sum(axis=1), pairs.sum(axis=0)


class MultiLabelComparison(_LabelComparison):
    """Compares an output with any number of labels for each row."""

    omitted: list[str] = []  # noqa: RUF012 (nobody changes it)

    def compare(self, serving: Array, shadow: Array) -> Differences:
        """The differences of probabilities, both [rows, labels]."""
        before, after = predict_label_sets(self._serving, serving), predict_label_sets(self._shadow, shadow)
        lost, gained = _positions(before & ~after), _positions(after & ~before)
        changes = np.concatenate([lost[1], len(self.labels) + gained[1]])
        cells = self._cells(before.sum(axis=0), serving, shadow)
        return Differences(cells, (before != after).any(axis=1), np.concatenate([lost[0], gained[0]]), changes)

    def report(self, cells: Cells, changes: Cells, rows: int) -> dict[str, Any]:
        """As for labels."""
        return {"kind": "multi_label"} | super().report(cells, changes, rows)


def _positions(flags: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    rows, columns = np.nonzero(flags)
    return rows, columns
