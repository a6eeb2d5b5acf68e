"""The summary that a training run prints: metrics, and how to read the report and serve the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.bundle import Bundle
from models.evaluate import NETWORK
from models.options import SHIPPED_NAME, SHIPPED_STORE, TrainingOptions

MAX_LABEL_COLUMNS = 5  # with more labels, their recall does not fit into a line: only the lowest is shown
MAX_NAME_LENGTH = 24


def print_summary(bundle: Bundle, options: TrainingOptions, console: Console | None = None) -> None:
    """Print the summary of a published bundle to stdout."""
    console, folder, manifest = console or Console(), bundle.folder, bundle.manifest
    validation, by_classifier = manifest.metrics["validation"], manifest.metrics.get("cross_validation")
    console.print(f"\n[bold]{manifest.name} {manifest.version}[/] predicts {escape(list_labels(manifest.labels))}")
    if by_classifier:
        console.print(_build_comparison(by_classifier, manifest.labels))
        console.print(f"{options.folds}-fold cross-validation, each fold scored on held-out groups", style="dim")
        if "extremes" in by_classifier[NETWORK]:
            console.print("extremes: worst recall on the most extreme groups, all held out at once", style="dim")
    else:
        accuracy = f"{validation['accuracy']:.1%} on the {validation['groups']} groups held out to select a candidate"
        console.print(f"accuracy {accuracy} (no cross-validation)")
    verdict = manifest.metrics.get("verdict", {})
    for sentence in (verdict.get("baselines"), verdict.get("calibration")):
        if sentence:
            console.print(sentence, highlight=False)
    console.print(f"\nbundle  {folder}", soft_wrap=True, highlight=False)
    if options.report:
        console.print(f"report  {folder / 'report' / 'index.html'}", soft_wrap=True, highlight=False)
    console.print(f"serve   {_serve_command(folder, manifest.name)}", soft_wrap=True, highlight=False)


def list_labels(labels: Sequence[str]) -> str:
    """List labels in a sentence; of many, the first ones and the count of the others."""
    names = [_shorten(label) for label in labels]
    if len(names) > 2 * MAX_LABEL_COLUMNS:
        return f"{', '.join(names[:MAX_LABEL_COLUMNS])} or {len(names) - MAX_LABEL_COLUMNS} other labels"
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _serve_command(folder: Path, name: str) -> str:
    store = folder.parent.parent.resolve()
    store_setting = "" if store == SHIPPED_STORE else f"MENAGERIE_MODEL_STORE={store} "
    name_setting = "" if name == SHIPPED_NAME else f"MENAGERIE_MODEL_NAME={name} "
    return f"{store_setting}{name_setting}make run"


def _build_comparison(by_classifier: dict[str, Any], labels: tuple[str, ...]) -> Table:
    """Build a table with a line for each classifier of the cross-validation."""
    table = Table(box=None, header_style="dim")
    shown = labels if len(labels) <= MAX_LABEL_COLUMNS else ()
    headings = ["", "accuracy", *map(_shorten, shown), *([] if shown else ["lowest recall"]), "log loss", "ECE"]
    has_stress = "stress" in by_classifier[NETWORK]
    has_extremes = "extremes" in by_classifier[NETWORK]
    for heading in [*headings, *(["8 % stress"] if has_stress else []), *(["extremes"] if has_extremes else [])]:
        table.add_column(escape(heading), justify="right" if heading else "left", overflow="fold")
    for name, metrics in by_classifier.items():
        recall = [f"{metrics['recall'].get(label, float('nan')):.1%}" for label in shown]
        if not shown:
            lowest = min(metrics["recall"], key=metrics["recall"].__getitem__)
            recall = [f"{metrics['recall'][lowest]:.1%} ({escape(_shorten(lowest))})"]
        losses = [f"{metrics['log_loss']:.4f}", f"{metrics['expected_calibration_error']:.4f}"]
        stress = [f"{metrics['stress']['accuracy']:.1%}"] if has_stress else []
        extremes = [f"{min(metrics['extremes']['recall'].values()):.1%}"] if has_extremes else []
        style = "bold" if name == NETWORK else None
        table.add_row(name, f"{metrics['accuracy']:.2%}", *recall, *losses, *stress, *extremes, style=style)
    return table


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1]}…"
