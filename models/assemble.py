"""From a population to a finished draft of a bundle: train, export, describe, verify, tell."""

import argparse
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from rich.console import Console
from rich.table import Table

from models import bundle, evaluate, network, recipe, report
from models.bundle import Bundle, BundleError
from models.dataset import Floats, Population, Sample, folds
from models.manifest import GoldenRow, Layer, Manifest, Reference, Training, find_golden_mismatch

Step = Callable[[str, int], Callable[[str], None]]

PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
BACKGROUND = 100
LIBRARIES = ("keras", "tensorflow", "tensorflow-cpu", "numpy", "scikit-learn")


def make(population: Population, folder: Path, chosen: argparse.Namespace, step: Step) -> Manifest:
    """Train on a population as the command line says and fill a draft with all but the manifest, which is returned.

    Raises:
        DataError: the facts admit no individual.
        OSError: a file cannot be written.
    """
    settings = recipe.Settings(chosen.rows, chosen.epochs, chosen.candidates)
    every = np.arange(len(population.groups))
    advance = step("training", recipe.rounds(settings))
    trained = recipe.train(population, every, settings, chosen.seed, advance)
    crossed = _cross_validate(population, settings, chosen, step) if chosen.report and chosen.folds else None
    network.export(trained.network, folder)
    plain = population.individuals(every, chosen.rows, np.random.default_rng(chosen.seed))
    manifest = Manifest(
        name=chosen.name,
        features=population.features,
        labels=population.labels,
        layers=_layers(trained.network),
        training=_training(population, trained, settings, chosen.seed),
        metrics=_metrics(population, trained, crossed),
        reference=_reference(population, trained, plain),
        golden=_golden(population, trained.network, plain),
        background=tuple(_values(row) for row in _background(plain).rows),
    )
    if chosen.report:
        report.write(folder / "report", population, manifest, trained, crossed)
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """That Keras and LiteRT, from the files of a draft, both give the golden rows the outputs that the manifest says.

    Raises:
        BundleError: they do not.
    """
    outputs = {
        "Keras": network.outputs(network.load(folder / bundle.MODEL_KERAS), manifest.golden_rows),
        "LiteRT": _litert((folder / bundle.MODEL_LITERT).read_bytes(), manifest.golden_rows),
    }
    for engine, by_layer in outputs.items():
        if mismatch := find_golden_mismatch(manifest, by_layer):
            raise BundleError(f"{engine} does not give what was trained in layer {mismatch.layer}: nothing was written")


def tell(written: Bundle, chosen: argparse.Namespace) -> None:
    """Print what came of it."""
    console, folder, manifest = Console(), written.folder, written.manifest
    validation, crossed = manifest.metrics["validation"], manifest.metrics.get("cross_validation")
    console.print(f"\n[bold]{manifest.name} {manifest.version}[/] tells {_listing(manifest.labels)} apart")
    if crossed:
        console.print(_comparison(crossed, manifest.labels))
        console.print(f"each fold judged by groups it was not trained on ({chosen.folds} folds)", style="dim")
    else:
        console.print(
            f"{validation['accuracy']:.1%} right on {validation['groups']} groups held apart (no cross-validation)"
        )
    console.print(f"\nwritten to {folder}", soft_wrap=True, highlight=False)
    if chosen.report:
        console.print(f"read   {folder / 'report' / 'index.html'}", soft_wrap=True, highlight=False)
    console.print(f"serve  {_serve(folder, manifest.name)}", soft_wrap=True, highlight=False)


def _serve(folder: Path, name: str) -> str:
    store = folder.parent.parent.resolve()
    shipped = store == Path(__file__).resolve().parent / "store"
    settings = ("" if shipped else f"MENAGERIE_MODEL_STORE={store} ") + (
        "" if name == "animals" else f"MENAGERIE_MODEL_NAME={name} "
    )
    return f"{settings}make run"


def _comparison(crossed: dict[str, Any], labels: tuple[str, ...]) -> Table:
    figures = Table(box=None, header_style="dim")
    for heading in ("", "accuracy", *labels, "ECE", "8 % stress"):
        figures.add_column(heading, justify="right" if heading else "left")
    for name, scores in crossed.items():
        recall = [f"{scores['recall'].get(label, float('nan')):.1%}" for label in labels]
        stress = f"{scores['stress']['accuracy']:.1%}" if "stress" in scores else "-"
        error = f"{scores['expected_calibration_error']:.4f}"
        style = "bold" if name == evaluate.NETWORK else None
        figures.add_row(name, f"{scores['accuracy']:.2%}", *recall, error, stress, style=style)
    return figures


def _listing(labels: tuple[str, ...]) -> str:
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


def _cross_validate(
    population: Population, settings: recipe.Settings, chosen: argparse.Namespace, step: Step
) -> evaluate.CrossValidation:
    advance = step("cross-validation", chosen.folds * recipe.rounds(settings))
    return evaluate.cross_validate(
        population,
        folds(population, chosen.folds, chosen.seed),
        lambda groups, fold: (
            recipe.train(population, groups, settings, chosen.seed, lambda _: advance(f"fold {fold + 1}")).network
        ),
        chosen.rows,
        chosen.seed,
    )


def _layers(trained: Any) -> tuple[Layer, ...]:
    return tuple(
        Layer(
            name=layer.name,
            units=layer.output.shape[-1],
            activation=layer.activation.__name__ if hasattr(layer, "activation") else "linear",
        )
        for layer in trained.layers
    )


def _training(population: Population, trained: recipe.Trained, settings: recipe.Settings, seed: int) -> Training:
    installed = {}
    for library in LIBRARIES:
        try:
            installed[library] = version(library)
        except ModuleNotFoundError:  # either of the two TensorFlows is there
            continue
    return Training(
        about=population.about,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=len(trained.sample.rows),
        seed=seed,
        facts=dict(population.facts),
        libraries={"python": platform.python_version(), **installed},
        settings={
            "epochs": settings.epochs,
            "candidates": settings.candidates,
            "chosen": trained.chosen + 1,
            "groups": len(population.groups),
            "held_apart_to_choose": len(trained.held_apart),
        },
    )


def _metrics(
    population: Population, trained: recipe.Trained, crossed: evaluate.CrossValidation | None
) -> dict[str, Any]:
    """Validation: of the chosen candidate, before its last round, by the groups held apart from the candidates."""
    chosen = evaluate.summary(trained.choices[trained.chosen], population.labels)
    metrics: dict[str, Any] = {"validation": {"groups": len(trained.held_apart), **chosen}}
    if crossed:
        metrics["cross_validation"] = {}
        for name, scores in crossed.plain.items():
            figures = evaluate.summary(evaluate.together(scores), population.labels)
            figures["worst_fold_accuracy"] = round(min(fold.accuracy for fold in scores), 4)
            if name in crossed.stressed:
                figures["stress"] = evaluate.summary(evaluate.together(crossed.stressed[name]), population.labels)
            metrics["cross_validation"][name] = figures
    return metrics


def _reference(population: Population, trained: recipe.Trained, plain: Sample) -> Reference:
    quantiles = np.quantile(plain.rows, PROBABILITIES, axis=0).astype(np.float32)
    given = np.bincount(
        network.probabilities(trained.network, plain.rows).argmax(axis=1), minlength=len(population.labels)
    )
    return Reference(
        probabilities=PROBABILITIES,
        features={feature.name: _values(quantiles[:, i]) for i, feature in enumerate(population.features)},
        labels={label: float(given[i] / given.sum()) for i, label in enumerate(population.labels)},
        ranges={label: _ranges(population, plain.rows[plain.labels == i]) for i, label in enumerate(population.labels)},
        shares={
            feature.name: tuple(float(np.mean(plain.rows[:, i] <= quantile)) for quantile in quantiles[:, i])
            for i, feature in enumerate(population.features)
        },
    )


def _ranges(population: Population, rows: Floats) -> dict[str, tuple[float, float]]:
    """The least and the greatest value of each feature in rows [n, features]."""
    least, most = _values(rows.min(axis=0)), _values(rows.max(axis=0))
    return {feature.name: (least[i], most[i]) for i, feature in enumerate(population.features)}


def _golden(population: Population, trained: Any, plain: Sample) -> tuple[GoldenRow, ...]:
    """The individual nearest its label's median for each label, and the corners of what is served."""
    minimum = [feature.minimum for feature in population.features]
    maximum = [feature.maximum for feature in population.features]
    corners = np.array(
        [minimum, plain.rows.min(axis=0), np.median(plain.rows, axis=0), plain.rows.max(axis=0), maximum]
    )
    typical = [
        _typical(plain.rows[plain.labels == label], plain.rows.std(axis=0)) for label in range(len(population.labels))
    ]
    rows = np.array([*typical, *corners], np.float32)
    outputs = network.outputs(trained, rows)
    return tuple(
        GoldenRow(features=_values(row), outputs={name: _values(values[i]) for name, values in outputs.items()})
        for i, row in enumerate(rows)
    )


def _typical(rows: Floats, scale: Floats) -> Floats:
    """The row of [n, features] that is nearest the median, in SDs."""
    nearest: Floats = rows[(((rows - np.median(rows, axis=0)) / scale) ** 2).sum(axis=1).argmin()]
    return nearest


def _background(plain: Sample) -> Sample:
    """The first of each label in turn: a stratified hundred."""
    turn = np.empty(len(plain.labels), int)
    for label in np.unique(plain.labels):
        turn[plain.labels == label] = np.arange((plain.labels == label).sum())
    first = np.argsort(turn, kind="stable")[:BACKGROUND]
    return Sample(plain.rows[first], plain.labels[first], plain.groups[first])


def _values(row: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in row)


def _litert(content: bytes, rows: Floats) -> dict[str, Floats]:
    quiet = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # XNNPACK announces itself on stderr
    runner = Interpreter(model_content=content, experimental_op_resolver_type=quiet).get_signature_runner()
    outputs: dict[str, Floats] = runner(**{next(iter(runner.get_input_details())): rows})
    return outputs
