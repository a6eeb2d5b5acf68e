"""Two versions' predictions compared row by row, as the documentation reads: what `service.comparison` must count."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.feature import Feature
from models.manifest import Manifest
from models.signature import Head
from service.comparison.targets import spread_of
from service.inference.binning.bins import Bins
from service.inference.binning.variables import Variable
from service.inference.model import Model


@dataclass
class LoopedOutput:
    """The counts of one output: changes by description, their ranges by feature and cell, and the probabilities."""

    changed: int = 0
    changes: Counter[tuple[str, ...]] = field(default_factory=Counter)
    changed_in: Counter[tuple[str, int]] = field(default_factory=Counter)
    serving: Counter[str] = field(default_factory=Counter)
    shadow: Counter[str] = field(default_factory=Counter)
    largest: list[float] = field(default_factory=list)
    differences: list[list[float]] = field(default_factory=list)


@dataclass
class LoopedComparison:
    """The counts of all rows."""

    agreeing: int
    rows_in: Counter[tuple[str, int]]
    outputs: list[LoopedOutput]


def compare_in_loops(serving: Model, shadow: Model, rows: Any, before: Any, after: Any) -> LoopedComparison:
    """Compare the outputs [rows, columns] for rows [rows, features] of two versions."""
    outputs = [LoopedOutput() for _ in serving.heads]
    compared = LoopedComparison(0, Counter(), outputs)
    variables = Bins(serving.manifest).features if serving.manifest.reference else {}
    for row, old, new in zip(rows, before, after, strict=True):
        places = [
            (feature.name, find_cell(feature, variables[feature.name], value))
            for feature, value in zip(serving.features, row, strict=True)
            if variables
        ]
        compared.rows_in.update(places)
        any_changed = False
        for head, other, output in zip(serving.heads, shadow.heads, outputs, strict=True):
            values = old[head.columns].tolist(), new[head.columns].tolist()
            spreads = [_spread(serving.manifest, name) for name in serving.column_names[head.columns]]
            changes = find_changes(head.head, other.head, spreads, values, output)
            output.changes.update(changes)
            if changes:
                output.changed += 1
                output.changed_in.update(places)
                any_changed = True
        compared.agreeing += not any_changed
    return compared


def find_cell(feature: Feature, variable: Variable, value: float) -> int:
    """The cell of a value, counted from the feature's first."""
    if np.isnan(value):
        return variable.own_cells + list(variable.further).index("missing")
    if not feature.is_category:
        return sum(bool(value > np.float32(edge)) for edge in variable.edges)
    if feature.allow_other and value == feature.other_code:
        return variable.own_cells + list(variable.further).index("other")
    label = feature.describe_code(float(value))
    return list(variable.labels).index(label) if label in variable.labels else variable.own_cells


def find_changes(
    head: Head,
    other: Head,
    spreads: Sequence[float | None],
    values: tuple[list[float], list[float]],
    output: LoopedOutput,
) -> list[tuple[str, ...]]:
    """What changes in one row; the output's other counts are updated. ``values`` are before and after."""
    old, new = values
    output.differences.append([b - a for a, b in zip(old, new, strict=True)])
    output.largest.append(max(abs(difference) for difference in output.differences[-1]))
    if head.kind == "regression":
        return _find_target_changes(head, spreads, old, new)
    had, has = _labels(head, old), _labels(other, new)
    output.serving.update(had)
    output.shadow.update(has)
    if head.kind == "classification":
        return [(*had, *has)] if had != has else []
    lost: list[tuple[str, ...]] = [(label, "lost") for label in had if label not in has]
    return lost + [(label, "gained") for label in has if label not in had]


def _labels(head: Head, values: Sequence[float]) -> list[str]:
    threshold = np.float32(head.threshold or 0.5)
    if head.kind == "multi_label":
        return [label for label, value in zip(head.labels, values, strict=True) if value > threshold]
    if head.threshold is not None:
        return [head.labels[int(values[1] > threshold)]]
    return [head.labels[values.index(max(values))]]


def _find_target_changes(
    head: Head, spreads: Sequence[float | None], old: list[float], new: list[float]
) -> list[tuple[str, ...]]:
    changes: list[tuple[str, ...]] = []
    for target, spread, a, b in zip(head.targets, spreads, old, new, strict=True):
        if abs(b - a) > 0.01 * (spread or abs(a)):
            changes.append((target.name, "higher" if b > a else "lower"))
    return changes


def _spread(manifest: Manifest, name: str) -> float | None:
    targets = manifest.reference.targets if manifest.reference else {}
    return spread_of(manifest, name) if name in targets else None
