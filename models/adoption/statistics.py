"""What a manifest says of a model on its sample: reference statistics, golden rows and background rows."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.adoption.errors import AdoptionError
from models.adoption.heads import DecidedHead
from models.adoption.raw_columns import RawColumn
from models.dataset import Doubles, Floats, Integers
from models.feature import Feature, RawValue
from models.manifest import GoldenRow
from models.reference_fitting import (
    BACKGROUND_ROWS,
    compute_quantiles,
    describe_features,
    find_typical,
    select_background,
)
from models.reference_statistics import ALL_ROWS, Reference
from models.signature import Head
from models.tables.dataset import MAX_RANGES
from models.tables.labels import MIN_ROWS_PER_LABEL

MAX_GOLDEN_VALUES = 30_000  # numbers in all golden rows
MAX_TYPICAL_ROWS = 10
MAX_SPECIAL_ROWS = 12
RANDOM_GOLDEN_ROWS = 8
DEFAULT_THRESHOLD = 0.5  # of independent labels
RunLayers = Callable[[Floats], Mapping[str, Floats]]


def split_columns(heads: Sequence[Head], outputs: Doubles) -> list[Doubles]:
    """The columns of each head, of the network's output [rows, columns]."""
    stops = np.cumsum([len(head.column_names) for head in heads])
    return np.split(outputs, stops[:-1], axis=1)


def predict_flags(head: Head, columns: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which labels of a head are predicted, [rows, labels], from their probabilities of the same shape."""
    if head.kind == "multi_label":
        return columns > (head.threshold or DEFAULT_THRESHOLD)
    if head.threshold is not None:
        is_second = columns[:, 1] > head.threshold
        return np.column_stack([~is_second, is_second])
    flags: NDArray[np.bool_] = np.arange(columns.shape[1]) == columns.argmax(axis=1)[:, np.newaxis]
    return flags


def compute_reference(
    features: Sequence[Feature],
    rows: Floats,
    column_names: Sequence[str],
    decided: Sequence[DecidedHead],
    outputs: Doubles,
) -> Reference:
    """The statistics of a sample.

    ``rows`` are [rows, features], ``outputs`` [rows, columns] what the network gives for them.
    """
    heads = [each.head for each in decided]
    labels: dict[str, float] = {}
    targets: dict[str, tuple[float, ...]] = {}
    names = iter(column_names)
    for head, columns in zip(heads, split_columns(heads, outputs), strict=True):
        own = [next(names) for _ in head.column_names]
        if head.kind == "regression":
            targets |= compute_quantiles(own, columns)
        else:
            labels |= dict(zip(own, predict_flags(head, columns).mean(axis=0).tolist(), strict=True))
    groups = _group_by_label(len(features), len(rows), decided)
    return Reference(**describe_features(features, rows, groups), labels=labels, targets=targets)


def _group_by_label(features: int, rows: int, decided: Sequence[DecidedHead]) -> dict[str, NDArray[np.bool_]]:
    """Which rows have each label, if the sample has enough rows of all of them; or else all rows together."""
    labels, truth = decided[0].head.labels, decided[0].truth
    if len(decided) == 1 and decided[0].head.kind == "classification" and truth is not None:
        counts = np.bincount(truth, minlength=len(labels))
        if counts.min() >= MIN_ROWS_PER_LABEL and len(labels) * features <= MAX_RANGES:
            return {label: truth == i for i, label in enumerate(labels)}
    return {ALL_ROWS: np.ones(rows, bool)}


def select_background_rows(rows: Floats, groups: Integers) -> Floats:
    """At most `BACKGROUND_ROWS` of the rows [rows, features], spread over the sample and over the groups [rows]."""
    step = max(1, len(rows) // (BACKGROUND_ROWS * 10))  # a table may be sorted
    return select_background(rows[::step], groups[::step])


def group_rows(decided: Sequence[DecidedHead], outputs: Doubles) -> Integers:
    """A group for each row, [rows]: the first output's true or predicted label, or a quarter of its values."""
    head, columns = decided[0].head, outputs[:, : len(decided[0].head.column_names)]
    if head.kind == "classification":
        truth = decided[0].truth
        return predict_flags(head, columns).argmax(axis=1) if truth is None else truth
    values = columns[:, 0]
    return np.searchsorted(np.quantile(values, (0.25, 0.5, 0.75)), values)


def select_mixed_golden_inputs(features: Sequence[Feature], columns: Sequence[RawColumn], rows: Floats) -> Floats:
    """Codes on which a model that looks categories up is checked whenever it is loaded, [golden rows, features].

    Some rows of the sample's codes [rows, features], if there are any, and rows in which each feature has one special
    value after the other: its bounds and those of its bins; its first and last categories, other and missing.
    """
    special = [_list_special(feature, column.boundaries) for feature, column in zip(features, columns, strict=True)]
    count = min(max(map(len, special)), MAX_SPECIAL_ROWS)
    turned = [[values[(i + shift) % len(values)] for i in range(count)] for shift, values in enumerate(special)]
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), MAX_TYPICAL_ROWS)).astype(int)]
    return np.concatenate([chosen, np.array(turned, np.float32).T])


def _list_special(feature: Feature, boundaries: Sequence[float]) -> list[float]:
    missing = [np.nan] * feature.allow_missing
    if feature.is_category:
        last = feature.code_count - 1
        return [*dict.fromkeys((float(last), 0.0, float(feature.other_code - 1), float(last // 2))), *missing]
    bounds = (feature.lowest, feature.highest) if feature.has_bounds else (0.0, 1.0)
    inside = [edge for edge in boundaries if feature.lowest <= edge <= feature.highest][: MAX_SPECIAL_ROWS - 3]
    values = [*bounds, *(edge for edge in inside if feature.kind == "number" or edge == round(edge))]
    return [*values, *missing]


def select_golden_inputs(features: Sequence[Feature], rows: Floats, groups: Integers) -> Floats:
    """Rows of a sample [rows, features] on which the network is checked whenever it is loaded, [golden rows, features].

    The typical row of each group (of some, if there are many), and the corners of the feature space.
    """
    minimum = [feature.lowest for feature in features]
    maximum = [feature.highest for feature in features]
    corners = [minimum, rows.min(axis=0), np.median(rows, axis=0), rows.max(axis=0), maximum]
    deviation = rows.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1)
    present = np.unique(groups)
    chosen = present[np.linspace(0, len(present) - 1, min(len(present), MAX_TYPICAL_ROWS)).astype(int)]
    typical = [find_typical(rows[groups == group], scale) for group in chosen]
    return np.array([*typical, *corners], np.float32)


def spread_golden_inputs(features: Sequence[Feature], rows: Floats) -> Floats:
    """Some of the random ``rows`` [rows, features], with values within the bounds where these are known."""
    inputs = rows[:RANDOM_GOLDEN_ROWS].astype(np.float64)
    rng = np.random.default_rng(0)
    for index, feature in enumerate(features):
        if feature.has_bounds:
            inputs[:, index] = rng.permutation(np.linspace(feature.lowest, feature.highest, len(inputs)))
    return inputs.astype(np.float32)


def compute_golden_rows(
    inputs: Floats, run: RunLayers, raw: Sequence[Sequence[RawValue]] | None = None
) -> tuple[GoldenRow, ...]:
    """The golden rows with the output of every layer; those that the network cannot compute are left out.

    ``raw`` are the raw values of the inputs, if these are codes.

    Raises:
        AdoptionError: there is none for which it gives finite numbers.
    """
    outputs = run(inputs)
    is_finite = np.all([np.isfinite(values).all(axis=1) for values in outputs.values()], axis=0)
    width = inputs.shape[1] + sum(values.shape[1] for values in outputs.values())
    chosen = np.flatnonzero(is_finite)[: max(1, MAX_GOLDEN_VALUES // width)].tolist()
    if not chosen:
        raise AdoptionError("the model gives no finite numbers for any row: check its weights, or pass a --sample")
    return tuple(
        GoldenRow(
            features=tuple(inputs[i].tolist() if raw is None else raw[i]),
            outputs={name: tuple(values[i].tolist()) for name, values in outputs.items()},
        )
        for i in chosen
    )
