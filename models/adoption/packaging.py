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
    spread_golden_inputs,
)
from models.adoption.understanding import UnderstoodModel
from models.adoption.wrapping import WrappedNetwork
from models.bundle import MODEL_LITERT
from models.dataset import Floats, Sample
from models.golden import find_golden_mismatch
from models.manifest import Manifest, Training
from models.packaging import count_individuals, find_versions, run_litert
from models.tables.source_file import hash_file
from models.verdict import judge_calibration


def build_manifest(options: AdoptionOptions, model: UnderstoodModel, wrapped: WrappedNetwork, folder: Path) -> Manifest:
    """Describe the model of a draft, which must reproduce its golden rows.

    Raises:
        AdoptionError: the exported network does not, or gives no finite number.
    """
    rows = model.rows
    if len(rows):
        groups = group_rows(model.decided, model.outputs)
        inputs = select_golden_inputs(model.features, rows, groups)
        background = select_background_rows(rows, groups).tolist()
    else:
        inputs, background = spread_golden_inputs(model.features, random_rows(model.loaded, rows)), []
    manifest = Manifest(
        format=2,
        name=options.name,
        features=model.features,
        inputs=model.loaded.inputs,
        outputs=wrapped.heads,
        layers=wrapped.layers,
        training=_describe_training(options, model, wrapped),
        metrics=_summarize(model.evaluations, len(model.decided), len(rows)),
        golden=compute_golden_rows(inputs, _runner(wrapped)),
        background=tuple(map(tuple, background)),
    )
    if len(rows):
        reference = compute_reference(manifest.feature_names, rows, manifest.column_names, model.decided, model.outputs)
        manifest = Manifest.model_validate({**dict(manifest), "reference": reference})
    if options.engine == "litert":
        manifest = _verify_litert(manifest, (folder / MODEL_LITERT).read_bytes())
    return manifest


def _runner(wrapped: WrappedNetwork) -> Callable[[Floats], dict[str, Floats]]:
    def run(rows: Floats) -> dict[str, Floats]:
        outputs = wrapped.network(rows, training=False)
        return {layer.name: np.asarray(outputs[layer.name], np.float32) for layer in wrapped.layers}

    return run


def _verify_litert(manifest: Manifest, content: bytes) -> Manifest:
    """Check that LiteRT reproduces the golden rows; a corner of the feature space that it does not is left out."""
    outputs: dict[str, Floats] = run_litert(content, manifest.golden_rows)
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
