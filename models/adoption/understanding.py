"""Brings a model and its sample together: which columns it takes, what its outputs mean, what it predicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adoption.agreement_rows import random_rows
from models.adoption.columns import ColumnOrder, assign_labels, assign_names, order_columns
from models.adoption.errors import AdoptionError
from models.adoption.evaluation import HeadEvaluation, evaluate, find_constant_outputs
from models.adoption.heads import DecidedHead, HeadOptions, Output, OutputEvidence, decide_heads
from models.adoption.loaded_model import LoadedModel
from models.adoption.options import AdoptionOptions
from models.adoption.raw_columns import RawColumn
from models.adoption.raw_features import build_category, build_number
from models.adoption.sample import LabelColumn, SampleTable
from models.adoption.statistics import split_columns
from models.dataset import Doubles, Floats
from models.feature import Feature
from models.tables.schema import Schema

BATCH_ROWS = 10_000


@dataclass(frozen=True)
class UnderstoodModel:
    """A model of which it is known what it takes and gives; ``loaded`` has the outputs' activations.

    ``rows`` [rows, features] are the sample's, none without one, and ``raw`` as `Sample` has them; ``outputs``
    [rows, columns] are the served columns for them. ``evaluations`` are of those heads for which the sample has right
    answers.
    """

    loaded: LoadedModel
    columns: ColumnOrder
    features: tuple[Feature, ...]
    rows: Floats
    decided: Sequence[DecidedHead]
    outputs: Doubles
    evaluations: Sequence[HeadEvaluation]
    warnings: Sequence[str]
    raw: Sequence[NDArray[Any]] = ()


def understand(
    options: AdoptionOptions, loaded: LoadedModel, table: SampleTable | None, note: Callable[[str], None]
) -> UnderstoodModel:
    """Decide which columns the model takes and what its outputs mean, and predict the sample.

    Raises:
        DataError: the sample or the options do not fit the model.
    """
    names = [output.name for output in loaded.outputs]
    label_columns = assign_labels(options.label, names, table.names) if table else {}
    taken = {name for columns in label_columns.values() for name in columns}
    candidates = [name for name in table.names if name not in taken] if table else None
    order = order_columns(loaded.inputs, candidates, options.columns, str(options.table))
    targets = assign_names(options.targets, names, "--targets")
    possible_targets = [*(name for each in targets.values() for name in each), *sorted(taken), *names]
    schema = Schema(options.schema, order.names, options.table, possible_targets)
    warnings, answers = [*loaded.warnings], dict[str, Sequence[LabelColumn]]()
    raw_columns: Sequence[RawColumn] = loaded.cut.columns if loaded.cut else ()
    warnings += [
        f"{name}: {each.warning}" for name, each in zip(order.names, raw_columns, strict=False) if each.warning
    ]
    raw: Sequence[NDArray[Any]] = ()
    if table:
        sample = table.read(order.names, label_columns, schema, raw_columns)
        rows, answers, raw = sample.rows, dict(sample.labels), sample.raw
        loaded = _describe(loaded, sample.features)
        features, narrowed = _fit_bounds(loaded, sample.features, rows)
        warnings += filter(None, [narrowed])
        outputs = _predict(loaded, rows)
    else:
        rows = np.empty((0, loaded.feature_count), np.float32)
        features = _describe_without_sample(order.names, raw_columns, schema)
        loaded = _describe(loaded, features)
        outputs = _predict_random(loaded, rows)
    head_options = _split_options(options, names, schema, targets)
    decided = decide_heads(
        [
            OutputEvidence(Output(*output), answers.get(output.name, []), outputs[output.name], each, note)
            for output, each in zip(loaded.outputs, head_options, strict=True)
        ]
    )
    served = np.concatenate([each.to_columns(outputs[each.head.name]) for each in decided], axis=1)[: len(rows)]
    columns = split_columns([each.head for each in decided], served)
    evaluations = evaluate(decided, columns)
    warnings += find_constant_outputs(decided, columns, rows)
    for evaluation in evaluations:
        warnings += evaluation.find_warnings()
    known = tuple(
        output._replace(activation=each.activation) for output, each in zip(loaded.outputs, decided, strict=True)
    )
    return UnderstoodModel(
        replace(loaded, outputs=known, features=features if loaded.cut else ()),
        order,
        features,
        rows,
        decided,
        served,
        evaluations,
        warnings,
        raw,
    )


def _describe(loaded: LoadedModel, features: Sequence[Feature]) -> LoadedModel:
    """The model with the features whose codes are its rows, if it looks any up."""
    if loaded.cut is None:
        return loaded
    values = tuple(column.values(feature) for column, feature in zip(loaded.cut.columns, features, strict=True))
    return replace(loaded, features=tuple(features), values=values)


def _describe_without_sample(
    names: Sequence[str], raw_columns: Sequence[RawColumn], schema: Schema
) -> tuple[Feature, ...]:
    if not raw_columns:
        return tuple(schema.describe_feature(name) for name in names)
    return tuple(
        build_category(name, column, schema) if column.is_category else build_number(name, column, schema, None)
        for name, column in zip(names, raw_columns, strict=True)
    )


def _split_options(
    options: AdoptionOptions, outputs: Sequence[str], schema: Schema, targets: Mapping[str, Sequence[str]]
) -> list[HeadOptions]:
    """What the command line and the schema say of each output."""
    labels: Mapping[str, Sequence[str]] = assign_names(options.labels, outputs, "--labels")
    if schema.labels and not labels and len(outputs) == 1:
        labels = {outputs[0]: schema.labels}
    return [
        HeadOptions(
            labels.get(name, ()), targets.get(name, ()), options.threshold, options.from_logits, schema.target_unit
        )
        for name in outputs
    ]


def _predict(loaded: LoadedModel, rows: Floats) -> dict[str, Doubles]:
    """Run the model itself on a sample [rows, features]; each output is [rows, width], by name.

    Raises:
        AdoptionError: it fails, or gives other than finite numbers.
    """
    parts = [loaded.predict(rows[start : start + BATCH_ROWS]) for start in range(0, len(rows), BATCH_ROWS)]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name, values in outputs.items():
        is_bad = ~np.isfinite(values).all(axis=1)
        if is_bad.any():
            raise AdoptionError(
                f"the model gives no finite number in {name} for {is_bad.sum():,} of {len(rows):,} rows of the sample, "
                f"first for row {int(is_bad.argmax()) + 1}: check the order and the units of the columns"
            )
    return outputs


def _predict_random(loaded: LoadedModel, rows: Floats) -> dict[str, Doubles]:
    """What the model gives for random rows, by output.

    Raises:
        AdoptionError: it cannot take them.
    """
    try:
        return loaded.predict(random_rows(loaded, rows))
    except AdoptionError:
        raise AdoptionError("the model cannot take random rows: add rows that it can take with --sample") from None


def _fit_bounds(loaded: LoadedModel, features: Sequence[Feature], rows: Floats) -> tuple[tuple[Feature, ...], str]:
    """The features with bounds within which the model runs, and a sentence if they had to be narrowed.

    A model that looks values up, as an embedding does, fails on values that its table does not have.
    """
    corners = [
        [0.0 if feature.is_category else feature.lowest for feature in features],
        [feature.code_count - 1.0 if feature.is_category else feature.highest for feature in features],
    ]
    try:
        loaded.predict(np.array(corners, np.float32))
    except AdoptionError:
        lows, highs = np.nanmin(rows, axis=0).tolist(), np.nanmax(rows, axis=0).tolist()
        narrowed = tuple(
            feature.model_copy(update={"minimum": low, "maximum": high})
            if low < high and not feature.is_category
            else feature
            for feature, low, high in zip(features, lows, highs, strict=True)
        )
        return narrowed, "the bounds are the sample's smallest and largest values, because the model fails beyond them"
    return tuple(features), ""
