"""What a manifest says of a model on its sample: reference statistics, golden rows and background rows."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.adoption.errors import AdoptionError
from models.adoption.heads import DecidedHead
from models.dataset import Doubles, Floats, Integers
from models.feature import Feature
from models.manifest import ALL_ROWS, GoldenRow, Reference
from models.reference import (
    BACKGROUND_ROWS,
    QUANTILES,
    compute_quantiles,
    compute_ranges,
    compute_shares,
    find_typical,
    select_background,
)
from models.signature import Head
from models.tables.dataset import MAX_RANGES
from models.tables.labels import MIN_ROWS_PER_LABEL

MAX_GOLDEN_VALUES = 30_000  # numbers in all golden rows
MAX_TYPICAL_ROWS = 10
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
    features: Sequence[str], rows: Floats, column_names: Sequence[str], decided: Sequence[DecidedHead], outputs: Doubles
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
    return Reference(
        probabilities=QUANTILES,
        features=compute_quantiles(features, rows),
        labels=labels,
        ranges=_compute_ranges(features, rows, decided),
        shares=compute_shares(features, rows),
        targets=targets,
    )


def _compute_ranges(
    features: Sequence[str], rows: Floats, decided: Sequence[DecidedHead]
) -> dict[str, dict[str, tuple[float, float]]]:
    """The ranges of each label's rows if the sample has enough rows of all of them, or else of all rows together."""
    labels, truth = decided[0].head.labels, decided[0].truth
    if len(decided) == 1 and decided[0].head.kind == "classification" and truth is not None:
        counts = np.bincount(truth, minlength=len(labels))
        if counts.min() >= MIN_ROWS_PER_LABEL and len(labels) * len(features) <= MAX_RANGES:
            return {label: compute_ranges(features, rows[truth == i]) for i, label in enumerate(labels)}
    return {ALL_ROWS: compute_ranges(features, rows)}


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


def compute_golden_rows(inputs: Floats, run: RunLayers) -> tuple[GoldenRow, ...]:
    """The golden rows with the output of every layer; those that the network cannot compute are left out.

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
            features=tuple(inputs[i].tolist()),
            outputs={name: tuple(values[i].tolist()) for name, values in outputs.items()},
        )
        for i in chosen
    )
