"""Turns a training result into a bundle: builds the manifest and verifies the exported files against it."""

import math
import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from models import network
from models.bundle import MODEL_KERAS, MODEL_LITERT, BundleError
from models.dataset import Dataset, Floats, Sample
from models.evaluate import CrossValidation, concatenate, score, summarize
from models.golden import find_golden_mismatch
from models.manifest import GoldenRow, Manifest, Reference, Training
from models.options import TrainingOptions
from models.reference import (
    QUANTILES,
    compute_quantiles,
    compute_ranges,
    compute_shares,
    find_typical,
    select_background,
)
from models.signature import Layer
from models.training_result import TrainingResult
from models.verdict import judge

MAX_GOLDEN_VALUES = 30_000  # numbers in all golden rows; with many labels, not each has a row
LIBRARIES = ("keras", "tensorflow", "tensorflow-cpu", "numpy", "scikit-learn")


def build_manifest(
    dataset: Dataset, result: TrainingResult, cross_validation: CrossValidation | None, options: TrainingOptions
) -> Manifest:
    """Describe the model: schema, layers, training, metrics, reference statistics, golden and background rows.

    Raises:
        DataError: the facts admit no individual.
    """
    all_groups = np.arange(len(dataset.groups))
    sample = dataset.sample(all_groups, options.rows, np.random.default_rng(options.seed))
    return Manifest(
        name=options.name,
        features=dataset.features,
        labels=dataset.labels,
        layers=tuple(map(_describe_layer, result.network.layers)),
        training=_describe_training(dataset, result, options),
        metrics=_summarize_metrics(dataset, result, cross_validation),
        reference=_compute_reference(dataset, result.network, sample),
        golden=_compute_golden_rows(dataset, result.network, sample),
        background=tuple(map(tuple, select_background(sample.rows, sample.labels).tolist())),
    )


def verify_exports(folder: Path, manifest: Manifest) -> None:
    """Check that Keras and LiteRT both reproduce the golden rows from the files of a draft.

    Raises:
        BundleError: an engine does not.
    """
    outputs = {
        "Keras": network.compute_layers(network.load(folder / MODEL_KERAS), manifest.golden_rows),
        "LiteRT": run_litert((folder / MODEL_LITERT).read_bytes(), manifest.golden_rows),
    }
    for engine, by_layer in outputs.items():
        if mismatch := find_golden_mismatch(manifest, by_layer):
            raise BundleError(
                f"{engine} does not reproduce the trained network in layer {mismatch.layer}, so nothing was written: "
                "install the versions in requirements/train.txt and train again"
            )


def _describe_layer(layer: Any) -> Layer:
    activation = layer.activation.__name__ if hasattr(layer, "activation") else "linear"
    return Layer(name=layer.name, units=layer.output.shape[-1], activation=activation)


def _describe_training(dataset: Dataset, result: TrainingResult, options: TrainingOptions) -> Training:
    return Training(
        about=dataset.description,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=count_individuals(result.sample),
        seed=options.seed,
        facts=dict(dataset.source_hashes),
        libraries=find_versions(),
        settings=dict(result.settings),
    )


def find_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that decide what a network computes."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        with suppress(ModuleNotFoundError):  # only one of the two TensorFlow packages is installed
            versions[library] = version(library)
    return versions


def count_individuals(sample: Sample) -> int:
    """Count the rows that differ: one that repeats says nothing new about the population.

    If the features have too few values for all rows to differ, as truth values do, repeats are other individuals.
    """
    rows = np.column_stack([sample.rows, sample.labels])
    combinations = math.prod(len(np.unique(column)) for column in rows.T)
    return len(rows) if combinations < len(rows) else len(np.unique(rows, axis=0))


def _summarize_metrics(
    dataset: Dataset, result: TrainingResult, cross_validation: CrossValidation | None
) -> dict[str, Any]:
    """Summarize the selected candidate on the holdout groups, before its last round, and the cross-validation."""
    validation = summarize(result.validation, dataset.labels)
    metrics: dict[str, Any] = {"validation": {"groups": len(result.validation_groups), **validation}}
    if cross_validation:
        metrics["cross_validation"] = {}
        for name, folds in cross_validation.plain.items():
            by_classifier = summarize(concatenate(folds), dataset.labels)
            by_classifier["worst_fold_accuracy"] = round(min(fold.accuracy for fold in folds), 4)
            if name in cross_validation.stressed:
                stressed = concatenate(cross_validation.stressed[name])
                by_classifier["stress"] = summarize(stressed, dataset.labels)
            if extremes := cross_validation.extremes.get(name):
                groups = len(np.unique(extremes.groups))
                by_classifier["extremes"] = {"groups": groups, **summarize(extremes, dataset.labels)}
            metrics["cross_validation"][name] = by_classifier
    metrics["verdict"] = judge(metrics)
    return metrics


def _compute_reference(dataset: Dataset, trained: Any, sample: Sample) -> Reference:
    names, labels = [feature.name for feature in dataset.features], dataset.labels
    predicted = score(trained, sample).probabilities.argmax(axis=1)
    counts = np.bincount(predicted, minlength=len(labels))
    return Reference(
        probabilities=QUANTILES,
        features=compute_quantiles(names, sample.rows),
        labels={label: float(counts[i] / counts.sum()) for i, label in enumerate(labels)},
        ranges={label: compute_ranges(names, sample.rows[sample.labels == i]) for i, label in enumerate(labels)},
        shares=compute_shares(names, sample.rows),
    )


def _compute_golden_rows(dataset: Dataset, trained: Any, sample: Sample) -> tuple[GoldenRow, ...]:
    """Compute every layer's output for each label's typical individual and for the corners of the feature space.

    With many labels, typical individuals of some labels only.
    """
    minimum = [feature.minimum for feature in dataset.features]
    maximum = [feature.maximum for feature in dataset.features]
    median = np.median(sample.rows, axis=0)
    corners = [minimum, sample.rows.min(axis=0), median, sample.rows.max(axis=0), maximum]
    scale = sample.rows.std(axis=0, dtype=np.float64)
    width = len(minimum) + sum(layer.output.shape[-1] for layer in trained.layers)
    count = max(1, min(len(dataset.labels), MAX_GOLDEN_VALUES // width - len(corners)))
    labels = np.linspace(0, len(dataset.labels) - 1, count).astype(int)
    typical = [find_typical(sample.rows[sample.labels == label], scale) for label in labels]
    rows = np.array([*typical, *corners], np.float32)
    outputs = network.compute_layers(trained, rows)
    return tuple(
        GoldenRow(features=row, outputs={name: values[i].tolist() for name, values in outputs.items()})
        for i, row in enumerate(rows.tolist())
    )


def run_litert(content: bytes, rows: Floats) -> dict[str, Floats]:
    """Every layer's output [rows, units] by name, of a network in LiteRT for ``rows`` [rows, features]."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # XNNPACK would print to stderr
    runner = Interpreter(model_content=content, experimental_op_resolver_type=resolver).get_signature_runner()
    outputs: dict[str, Floats] = runner(**{next(iter(runner.get_input_details())): rows})
    return outputs
