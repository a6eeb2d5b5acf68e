"""The summary that an adoption prints: what was understood, what is off and why, and how to serve the model."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.adoption.options import AdoptionOptions
from models.bundle import Bundle
from models.manifest import Manifest
from models.signature import Head
from models.summary import list_labels, serve_command, shorten
from models.tables.findings import list_some

MAX_COLUMNS = 20  # named one by one
MAX_ROWS = 10  # of the table with a row for each label or target


def print_summary(bundle: Bundle, options: AdoptionOptions, console: Console | None = None) -> None:
    """Print the summary of a published bundle to stdout."""
    console, folder, manifest = console or Console(), bundle.folder, bundle.manifest
    settings = manifest.training.settings
    for head in manifest.heads:
        subject = f"{manifest.name} {manifest.version}" if len(manifest.heads) == 1 else f"output {head.name}"
        console.print(f"\n[bold]{escape(subject)}[/] {escape(describe_head(head))}", highlight=False)
    console.print(f"takes   {escape(_list_columns(manifest))}, {settings['columns']}", soft_wrap=True, highlight=False)
    evaluation = manifest.metrics.get("evaluation", {})
    for name, metrics in evaluation.get("outputs", {}).items():
        console.print(_build_table(name if len(manifest.heads) > 1 else "", metrics))
    if evaluation:
        console.print("on the sample; whether the model was trained on these rows is not known", style="dim")
    for sentence in settings["warnings"]:
        console.print(f"[yellow]warning[/] {escape(sentence)}", soft_wrap=True, highlight=False)
    console.print(f"works   {', '.join(_find_abilities(manifest))}", soft_wrap=True, highlight=False)
    for sentence in _find_limits(manifest):
        console.print(f"off     {escape(sentence)}", soft_wrap=True, highlight=False)
    console.print(f"\nbundle  {folder}", soft_wrap=True, highlight=False)
    if evaluation:
        console.print(f"report  {folder / 'report' / 'index.html'}", soft_wrap=True, highlight=False)
    engine = "MENAGERIE_ENGINE=keras " if options.engine == "keras" else ""
    console.print(f"serve   {engine}{serve_command(folder, manifest.name)}", soft_wrap=True, highlight=False)


def describe_head(head: Head) -> str:
    """What an output predicts."""
    if head.kind == "regression":
        targets = [f"{each.name} ({each.unit})" if each.unit else each.name for each in head.targets]
        return f"predicts {', '.join(targets)}"
    if head.kind == "multi_label":
        return (
            f"predicts whether each of {list_some(head.labels, MAX_COLUMNS)} applies, above {head.threshold or 0.5:g}"
        )
    threshold = f"; {head.labels[1]} above {head.threshold:g}" if head.threshold else ""
    return f"predicts {list_labels(head.labels)}{threshold}"


def _list_columns(manifest: Manifest) -> str:
    names = manifest.feature_names
    if len(names) > MAX_COLUMNS:
        return f"{', '.join(names[:MAX_COLUMNS])} and {len(names) - MAX_COLUMNS} more columns"
    return ", ".join(names)


def _find_abilities(manifest: Manifest) -> Iterator[str]:
    yield "predictions in all protocols and of tables"
    if manifest.reference is not None:
        yield "warnings, drift, sweeps, attributions"
    if not manifest.training.settings["not_taken_apart"]:
        yield "explanations layer by layer"


def _find_limits(manifest: Manifest) -> Iterator[str]:
    """A sentence for each part of the service that does not work for this model."""
    if manifest.reference is None:
        yield (
            "warnings, drift, sweeps and attributions: there is no --sample, so that nothing is known of the features' "
            "values"
        )
        if not all(feature.has_bounds for feature in manifest.features):
            yield "bounds: any number is valid; give a minimum and a maximum with --schema"
    if reason := manifest.training.settings["not_taken_apart"]:
        yield f"explanations layer by layer: {reason}"


def _build_table(title: str, metrics: dict[str, Any]) -> Table:
    """The metrics of one output."""
    if "targets" in metrics:
        table = _start(title, "MAE", "RMSE", "R2")
        for name, each in list(metrics["targets"].items())[:MAX_ROWS]:
            unit = f" {escape(each['unit'])}".rstrip()
            r2 = "-" if each["r2"] is None else f"{each['r2']:.3f}"
            table.add_row(escape(shorten(name)), f"{each['mae']:g}{unit}", f"{each['rmse']:g}{unit}", r2)
        return table
    if "labels" in metrics:
        table = _start(title, "accuracy", "recall", "precision", "log loss", "calibration error")
        for name, each in list(metrics["labels"].items())[:MAX_ROWS]:
            shares = ["-" if each[key] is None else f"{each[key]:.1%}" for key in ("accuracy", "recall", "precision")]
            losses = [f"{each[key]:.4f}" for key in ("log_loss", "expected_calibration_error")]
            table.add_row(escape(shorten(name)), *shares, *losses)
        return table
    table = _start(title, "")
    table.add_row("accuracy", f"{metrics['accuracy']:.2%}")
    recalls = metrics["recall"]
    if len(recalls) <= MAX_ROWS:
        for label, recall in recalls.items():
            table.add_row(f"recall of {escape(shorten(label))}", f"{recall:.1%}")
    else:
        table.add_row("lowest recall", f"{min(recalls.values()):.1%}")
    table.add_row("log loss", f"{metrics['log_loss']:.4f}")
    table.add_row("calibration error", f"{metrics['expected_calibration_error']:.4f}")
    return table


def _start(*columns: str) -> Table:
    table = Table(box=None, header_style="dim")
    for index, name in enumerate(columns):
        table.add_column(escape(name), justify="right" if index else "left", no_wrap=True)
    return table
