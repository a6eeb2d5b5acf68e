"""The summary that a training run prints: metrics, and how to read the report and serve the model."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.bundle import Bundle
from models.command_line import SHIPPED_NAME
from models.evaluate import NETWORK
from models.installation import SHIPPED_STORE, is_installed
from models.options import TrainingOptions

MAX_LABELS = 10  # with more labels, only the lowest recall is shown, and few of them are named
MAX_SHOWN_LENGTH = 24


def print_summary(bundle: Bundle, options: TrainingOptions, console: Console | None = None) -> None:
    """Print the summary of a published bundle to stdout."""
    console, folder, manifest = console or Console(), bundle.folder, bundle.manifest
    validation, by_classifier = manifest.metrics["validation"], manifest.metrics.get("cross_validation")
    console.print(
        f"\n[bold]{manifest.name} {manifest.version}[/] predicts {escape(list_labels(manifest.class_labels))}"
    )
    noun = "rows" if options.table and not options.group else "groups"
    if by_classifier:
        console.print(_build_comparison(by_classifier, manifest.class_labels))
        console.print(f"{options.folds}-fold cross-validation, each fold scored on held-out {noun}", style="dim")
        if "extremes" in by_classifier[NETWORK]:
            console.print("extremes: worst recall on the most extreme groups, all held out at once", style="dim")
    else:
        accuracy = f"{validation['accuracy']:.1%} on the {validation['groups']:,} {noun} held out to select a candidate"
        console.print(f"accuracy {accuracy} (no cross-validation)")
    verdict = manifest.metrics.get("verdict", {})
    for sentence in (verdict.get("baselines"), verdict.get("calibration")):
        if sentence:
            console.print(sentence, highlight=False)
    console.print(f"\nbundle  {folder}", soft_wrap=True, highlight=False)
    if options.report:
        console.print(f"report  {folder / 'report' / 'index.html'}", soft_wrap=True, highlight=False)
    console.print(f"serve   {serve_command(folder, manifest.name)}", soft_wrap=True, highlight=False)


def list_labels(labels: Sequence[str]) -> str:
    """List labels in a sentence; of many, the first ones and the count of the others."""
    names = [shorten(label) for label in labels]
    if len(names) > MAX_LABELS:
        return f"{', '.join(names[: MAX_LABELS // 2])} or {len(names) - MAX_LABELS // 2} other labels"
    return f"{', '.join(names[:-1])} or {names[-1]}"


def serve_command(folder: Path, name: str) -> str:
    """The command line that serves a bundle."""
    store = folder.parent.parent.resolve()
    if is_installed():
        store_option = "" if store == SHIPPED_STORE else f" --store {shlex.quote(str(store))}"
        return f"menagerie serve{store_option}{'' if name == SHIPPED_NAME else f' --name {name}'}"
    store_setting = "" if store == SHIPPED_STORE else f"MENAGERIE_MODEL_STORE={store} "
    name_setting = "" if name == SHIPPED_NAME else f"MENAGERIE_MODEL_NAME={name} "
    return f"{store_setting}{name_setting}make run"


def _build_comparison(by_classifier: dict[str, Any], labels: tuple[str, ...]) -> Table:
    """Build a table with a column for each classifier of the cross-validation: it fits any number of labels."""
    table = Table(box=None, header_style="dim")
    for name in ("", *by_classifier):
        style = "bold" if name == NETWORK else None
        table.add_column(name, justify="right" if name else "left", style=style, no_wrap=True)
    scores = by_classifier.values()
    table.add_row("accuracy", *[f"{each['accuracy']:.2%}" for each in scores])
    if len(labels) <= MAX_LABELS:
        for label in labels:
            recalls = [each["recall"].get(label) for each in scores]
            table.add_row(f"recall of {escape(shorten(label))}", *["-" if r is None else f"{r:.1%}" for r in recalls])
    else:
        table.add_row("lowest recall", *[f"{min(each['recall'].values()):.1%}" for each in scores])
    table.add_row("log loss", *[f"{each['log_loss']:.4f}" for each in scores])
    table.add_row("calibration error", *[f"{each['expected_calibration_error']:.4f}" for each in scores])
    if "stress" in by_classifier[NETWORK]:
        table.add_row("8 % stress", *[f"{each['stress']['accuracy']:.1%}" for each in scores])
    if "extremes" in by_classifier[NETWORK]:
        table.add_row("extremes", *[f"{min(each['extremes']['recall'].values()):.1%}" for each in scores])
    return table


def shorten(name: str) -> str:
    return name if len(name) <= MAX_SHOWN_LENGTH else f"{name[: MAX_SHOWN_LENGTH - 1]}…"
