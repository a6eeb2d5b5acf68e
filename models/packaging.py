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

from models import network, preprocessing
from models.bundle import MODEL_KERAS, MODEL_LITERT, NETWORK, BundleError
from models.dataset import Dataset, Floats, Sample
from models.evaluate import CrossValidation, concatenate, score, summarize
from models.golden import find_golden_mismatch
from models.golden_inputs import select_golden_inputs
from models.installation import install_command
from models.manifest import GoldenRow, Manifest, Training
from models.options import TrainingOptions
from models.raw_values import to_raw
from models.reference_fitting import describe_features, select_background
from models.reference_statistics import Reference
from models.signature import Head, Input, Layer
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
    layers = tuple(map(_describe_layer, result.network.layers))
    return Manifest(
        **_describe_signature(dataset, result, layers[-1].name),
        name=options.name,
        features=dataset.features,
        layers=layers,
        training=_describe_training(dataset, result, options),
        metrics=_summarize_metrics(dataset, result, cross_validation),
        reference=_compute_reference(dataset, result, sample),
        golden=_compute_golden_rows(dataset, result, sample),
        background=tuple(to_raw(dataset.features, select_background(sample.rows, sample.labels))),
    )


def _describe_signature(dataset: Dataset, result: TrainingResult, output: str) -> dict[str, Any]:
    """The manifest's fields that differ between formats: with encoders it is 3, else 1."""
    if not result.encoders:
        return {"labels": dataset.labels}
    return {
        "format": 3,
        "encoders": result.encoders,
        "inputs": tuple(Input(name=feature.name, width=1) for feature in dataset.features),
        "outputs": (Head(name=output, kind="classification", layer=output, labels=dataset.labels),),
    }


def build_whole(result: TrainingResult) -> Any:
    """Build the Keras model of raw values in front of the network; None if its input is raw values already."""
    return preprocessing.build(result.features, result.encoders, result.network) if result.encoders else None


def verify_exports(folder: Path, manifest: Manifest) -> None:
    """Check that Keras and LiteRT both reproduce the golden rows from the files of a draft.

    Keras gets their raw values where the model takes these, and LiteRT what the encoders make of them.

    Raises:
        BundleError: an engine does not.
    """
    outputs = {
        "Keras": _run_keras(folder, manifest),
        "LiteRT": run_litert((folder / MODEL_LITERT).read_bytes(), manifest.encode(manifest.golden_rows)),
    }
    for engine, by_layer in outputs.items():
        if mismatch := find_golden_mismatch(manifest, by_layer):
            raise BundleError(
                f"{engine} does not reproduce the trained network in layer {mismatch.layer}, so nothing was written: "
                f"run `{install_command('train')}` and train again"
            )


def _run_keras(folder: Path, manifest: Manifest) -> dict[str, Floats]:
    """Every layer's output for the golden rows, by name; the last one from the whole model."""
    model = network.load(folder / MODEL_KERAS)
    if not manifest.encoders:
        return network.compute_layers(model, manifest.golden_rows)
    tensors = preprocessing.to_tensors(manifest.features, [row.features for row in manifest.golden])
    columns = preprocessing.compute_columns(model, tensors)
    if not np.array_equal(columns, manifest.encode(manifest.golden_rows)):
        raise BundleError(
            "Keras' preprocessing does not give what the encoders give, so nothing was written: "
            f"run `{install_command('train')}` and train again"
        )
    outputs = network.compute_layers(model.get_layer(NETWORK), columns)
    return outputs | {manifest.layers[-1].name: np.asarray(model(tensors, training=False))}


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
    codes = np.where(np.isnan(sample.rows), -np.inf, sample.rows)  # NaN would not equal itself
    rows = np.column_stack([codes, sample.labels])
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


def _compute_reference(dataset: Dataset, result: TrainingResult, sample: Sample) -> Reference:
    predicted = score(result.classify, sample).predicted
    counts = np.bincount(predicted, minlength=len(dataset.labels))
    groups = {label: sample.labels == i for i, label in enumerate(dataset.labels)}
    return Reference(
        **describe_features(dataset.features, sample.rows, groups),
        labels={label: float(counts[i] / counts.sum()) for i, label in enumerate(dataset.labels)},
    )


def _compute_golden_rows(dataset: Dataset, result: TrainingResult, sample: Sample) -> tuple[GoldenRow, ...]:
    """Compute every layer's output for the rows of `select_golden_inputs`."""
    width = len(dataset.features) + sum(layer.output.shape[-1] for layer in result.network.layers)
    columns = result.encode(sample.rows)
    codes = select_golden_inputs(dataset.features, sample, columns, len(dataset.labels), MAX_GOLDEN_VALUES // width)
    outputs = network.compute_layers(result.network, result.encode(codes))
    return tuple(
        GoldenRow(features=row, outputs={name: values[i].tolist() for name, values in outputs.items()})
        for i, row in enumerate(to_raw(dataset.features, codes))
    )


def run_litert(content: bytes, rows: Floats) -> dict[str, Floats]:
    """Every layer's output [rows, units] by name, of a network in LiteRT for ``rows`` [rows, features]."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # XNNPACK would print to stderr
    runner = Interpreter(model_content=content, experimental_op_resolver_type=resolver).get_signature_runner()
    outputs: dict[str, Floats] = runner(**{next(iter(runner.get_input_details())): rows})
    return outputs
