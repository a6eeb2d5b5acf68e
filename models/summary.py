"""The summary that a training run prints: metrics, and how to read the report and serve the model."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models.bundle import Bundle
from models.evaluate import NETWORK
from models.options import SHIPPED_NAME, SHIPPED_STORE, TrainingOptions


def print_summary(bundle: Bundle, options: TrainingOptions) -> None:
    """Print the summary of a published bundle to stdout."""
    console, folder, manifest = Console(), bundle.folder, bundle.manifest
    validation, by_classifier = manifest.metrics["validation"], manifest.metrics.get("cross_validation")
    labels = f"{', '.join(manifest.labels[:-1])} or {manifest.labels[-1]}"
    console.print(f"\n[bold]{manifest.name} {manifest.version}[/] predicts {labels}")
    if by_classifier:
        console.print(_build_comparison(by_classifier, manifest.labels))
        console.print(f"{options.folds}-fold cross-validation, each fold scored on held-out groups", style="dim")
        if "extremes" in by_classifier[NETWORK]:
            console.print("extremes: worst recall on the most extreme groups, all held out at once", style="dim")
    else:
        accuracy = f"{validation['accuracy']:.1%} on the {validation['groups']} groups held out to select a candidate"
        console.print(f"accuracy {accuracy} (no cross-validation)")
    console.print(f"\nbundle  {folder}", soft_wrap=True, highlight=False)
    if options.report:
        console.print(f"report  {folder / 'report' / 'index.html'}", soft_wrap=True, highlight=False)
    console.print(f"serve   {_serve_command(folder, manifest.name)}", soft_wrap=True, highlight=False)


def _serve_command(folder: Path, name: str) -> str:
    store = folder.parent.parent.resolve()
    store_setting = "" if store == SHIPPED_STORE else f"MENAGERIE_MODEL_STORE={store} "
    name_setting = "" if name == SHIPPED_NAME else f"MENAGERIE_MODEL_NAME={name} "
    return f"{store_setting}{name_setting}make run"


def _build_comparison(by_classifier: dict[str, Any], labels: tuple[str, ...]) -> Table:
    """Build a table with a line for each classifier of the cross-validation."""
    table = Table(box=None, header_style="dim")
    for heading in ("", "accuracy", *labels, "ECE", "8 % stress", "extremes"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, metrics in by_classifier.items():
        recall = [f"{metrics['recall'].get(label, float('nan')):.1%}" for label in labels]
        stress = f"{metrics['stress']['accuracy']:.1%}" if "stress" in metrics else "-"
        calibration = f"{metrics['expected_calibration_error']:.4f}"
        extremes = f"{min(metrics['extremes']['recall'].values()):.1%}" if "extremes" in metrics else "-"
        style = "bold" if name == NETWORK else None
        table.add_row(name, f"{metrics['accuracy']:.2%}", *recall, calibration, stress, extremes, style=style)
    return table
