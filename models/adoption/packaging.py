"""Turns a wrapped model and its sample into a bundle's manifest."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.adoption.agreement_rows import random_rows
from models.adoption.errors import AdoptionError
from models.adoption.evaluation import HeadEvaluation
from models.adoption.options import AdoptionOptions
from models.adoption.statistics import (
    compute_golden_rows,
    compute_reference,
    group_rows,
    select_background_rows,
    select_golden_inputs,
    select_mixed_golden_inputs,
    spread_golden_inputs,
)
from models.adoption.understanding import UnderstoodModel
from models.adoption.wrapping import WrappedNetwork
from models.bundle import MODEL_LITERT
from models.dataset import Floats, Sample
from models.encoding import Encoder, encode
from models.feature import Feature, RawValue
from models.golden import find_golden_mismatch
from models.manifest import GoldenRow, Manifest, Training
from models.packaging import count_individuals, find_versions, run_litert
from models.tables.source_file import hash_file
from models.verdict import judge_calibration


def build_manifest(
    options: AdoptionOptions,
    model: UnderstoodModel,
    wrapped: WrappedNetwork,
    folder: Path,
    encoders: Sequence[Encoder] = (),
) -> Manifest:
    """Describe the model of a draft, which must reproduce its golden rows.

    Raises:
        AdoptionError: the exported network does not, or gives no finite number.
    """
    rows = model.rows
    if encoders:
        inputs = select_mixed_golden_inputs(model.features, model.loaded.cut.columns, rows)
        background = _select_raw_background(model)
    elif len(rows):
        groups = group_rows(model.decided, model.outputs)
        inputs = select_golden_inputs(model.features, rows, groups)
        background = select_background_rows(rows, groups).tolist()
    else:
        inputs, background = spread_golden_inputs(model.features, random_rows(model.loaded, rows)), []
    manifest = Manifest(
        format=3 if encoders else 2,
        name=options.name,
        features=model.features,
        encoders=tuple(encoders),
        inputs=model.loaded.inputs,
        outputs=wrapped.heads,
        layers=wrapped.layers,
        training=_describe_training(options, model, wrapped),
        metrics=_summarize(model.evaluations, len(model.decided), len(rows)),
        golden=_compute_golden(inputs, model, wrapped, encoders),
        background=tuple(map(tuple, background)),
    )
    if len(rows):
        reference = compute_reference(model.features, rows, manifest.column_names, model.decided, model.outputs)
        manifest = Manifest.model_validate({**dict(manifest), "reference": reference})
    if options.engine == "litert":
        manifest = _verify_litert(manifest, (folder / MODEL_LITERT).read_bytes())
    return manifest


def _select_raw_background(model: UnderstoodModel) -> list[list[RawValue]]:
    """Background rows of raw values."""
    if not len(model.rows):
        return []
    groups = group_rows(model.decided, model.outputs)
    numbers = np.arange(len(model.rows), dtype=np.float32)[:, np.newaxis]
    chosen = select_background_rows(numbers, groups)[:, 0].astype(np.intp)
    columns = [
        [_to_python(feature, value) for value in own[chosen].tolist()]
        for feature, own in zip(model.features, model.raw, strict=True)
    ]
    return [[*row] for row in zip(*columns, strict=True)]


def _to_python(feature: Feature, value: Any) -> RawValue:
    if value is None:
        return None
    if feature.is_category:
        return feature.category_type(value)  # type: ignore[no-any-return]
    return int(value) if feature.kind == "integer" else float(np.float32(value))


def _compute_golden(
    inputs: Floats, model: UnderstoodModel, wrapped: WrappedNetwork, encoders: Sequence[Encoder]
) -> tuple[GoldenRow, ...]:
    run = _runner(wrapped)
    if not encoders:
        return compute_golden_rows(inputs, run)
    raw = [
        [
            None if np.isnan(code) else _to_python(feature, code if values is None else values[int(code)])
            for feature, values, code in zip(model.features, model.loaded.values, row, strict=True)
        ]
        for row in inputs.tolist()
    ]
    return compute_golden_rows(inputs, lambda codes: run(encode(encoders, model.features, codes)), raw)


def _runner(wrapped: WrappedNetwork) -> Callable[[Floats], dict[str, Floats]]:
    def run(rows: Floats) -> dict[str, Floats]:
        outputs = wrapped.network(rows, training=False)
        return {layer.name: np.asarray(outputs[layer.name], np.float32) for layer in wrapped.layers}

    return run


def _verify_litert(manifest: Manifest, content: bytes) -> Manifest:
    """Check that LiteRT reproduces the golden rows; a corner of the feature space that it does not is left out."""
    outputs: dict[str, Floats] = run_litert(content, manifest.encode(manifest.golden_rows))
    golden = manifest.golden
    while mismatch := find_golden_mismatch(manifest.model_copy(update={"golden": golden}), outputs):
        golden = (*golden[: mismatch.row], *golden[mismatch.row + 1 :])
        outputs = {name: np.delete(values, mismatch.row, axis=0) for name, values in outputs.items()}
        if 2 * len(golden) < len(manifest.golden):
            raise AdoptionError(
                f"LiteRT does not reproduce layer {mismatch.layer}: adopt the model for the Keras engine with "
                "--engine keras"
            )
    return manifest.model_copy(update={"golden": golden})


def _describe_training(options: AdoptionOptions, model: UnderstoodModel, wrapped: WrappedNetwork) -> Training:
    rows = model.rows
    groups = np.zeros(len(rows), np.intp)
    return Training(
        about=model.loaded.description + (f", and {options.table.name}" if options.table else ""),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=count_individuals(Sample(rows, groups, groups)) if len(rows) else 0,
        seed=0,
        facts=_hash_sources(options),
        libraries=find_versions(),
        settings={
            "engine": options.engine,
            "columns": model.columns.reason,
            "not_taken_apart": wrapped.reason,
            "warnings": [*model.warnings],
        },
    )


def _hash_sources(options: AdoptionOptions) -> dict[str, str]:
    """The SHA-256 of each file that the model comes from."""
    model = options.model.resolve()
    files = {path.relative_to(model.parent).as_posix(): path for path in sorted(model.rglob("*")) if path.is_file()}
    if model.is_file():
        files = {model.name: model}
    files |= {path.name: path for path in (options.table, options.schema) if path}
    return {name: hash_file(path) for name, path in files.items()}


def _summarize(evaluations: Sequence[HeadEvaluation], heads: int, rows: int) -> dict[str, Any]:
    if not evaluations:
        return {}
    metrics: dict[str, Any] = {
        "evaluation": {"rows": rows, "outputs": {each.head.name: each.summarize() for each in evaluations}}
    }
    if heads == 1 and evaluations[0].head.kind == "classification":
        metrics["verdict"] = judge_calibration(evaluations[0].scores.expected_calibration_error)
    return metrics
