"""The evaluation report: a page, its charts and their data as JSON."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from models import plots, presets
from models.animals import DERIVED_CODES, Animals
from models.dataset import Dataset
from models.evaluate import NETWORK, CrossValidation, Scores, concatenate
from models.manifest import Manifest
from models.recipe import TrainingResult

WORST_GROUPS = 15


@dataclass(frozen=True)
class Chart:
    """One chart of the page."""

    file: str
    title: str
    caption: str
    svg: str

    @property
    def data_url(self) -> str:
        """The SVG as a data URL, so that the page needs no other file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def write(
    folder: Path,
    dataset: Dataset,
    manifest: Manifest,
    result: TrainingResult,
    cross_validation: CrossValidation | None,
) -> None:
    """Write ``report.json``, the charts, ``index.html`` and, for the animals, ``presets.json`` into a new folder.

    Without cross-validation the metrics are those of the selected candidate on the holdout groups.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir()
    plain = cross_validation.plain[NETWORK] if cross_validation else [result.candidate_scores[result.selected]]
    scores = concatenate(plain)
    data = _build_data(dataset, manifest, result, cross_validation, scores)
    (folder / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if isinstance(dataset, Animals):
        document = json.dumps(presets.build_presets(dataset), indent=1, ensure_ascii=False)
        (folder / presets.FILE).write_text(document + "\n", encoding="utf-8")
    charts = list(_draw_charts(dataset, result, cross_validation, scores))
    for chart in charts:
        (folder / chart.file).write_text(chart.svg, encoding="utf-8")
    page = _render_page(dataset, manifest, result, cross_validation, charts)
    (folder / "index.html").write_text(page, encoding="utf-8")


def _build_data(
    dataset: Dataset,
    manifest: Manifest,
    result: TrainingResult,
    cross_validation: CrossValidation | None,
    scores: Scores,
) -> dict[str, Any]:
    """Build the content of ``report.json``: all numbers of the page, and more."""
    recalls = [
        {"group": dataset.groups[group], "label": dataset.labels[dataset.group_labels[group]], "recall": recall}
        for group, recall in _sort_by_recall(scores)
    ]
    data: dict[str, Any] = {
        "about": dataset.description,
        "judged_by": "cross-validation" if cross_validation else "the groups held apart to choose a candidate",
        "metrics": manifest.metrics,
        "labels": dataset.labels,
        "confusion": scores.confusion_matrix.tolist(),
        "reliability": [
            {"individuals": count, "confidence": confidence, "accuracy": accuracy}
            for count, confidence, accuracy in scores.calibration_curve
        ],
        "recall_by_group": recalls if dataset.is_grouped else [],
        "losses": {
            "candidates": result.losses[:-1],
            "chosen": result.selected + 1,
            "last_round": result.losses[-1],
        },
    }
    if cross_validation:
        data["accuracy_by_fold"] = {
            name: [fold.accuracy for fold in folds] for name, folds in cross_validation.plain.items()
        }
    if isinstance(dataset, Animals):
        data["basis"] = dict(dataset.count_basis_codes())
    return data


def _sort_by_recall(scores: Scores) -> list[tuple[int, float]]:
    return sorted(scores.recall_by_group().items(), key=lambda pair: pair[1])


def _draw_charts(
    dataset: Dataset, result: TrainingResult, cross_validation: CrossValidation | None, scores: Scores
) -> Iterator[Chart]:
    labels = dataset.labels
    if cross_validation:
        plain = {name: concatenate(folds).accuracy for name, folds in cross_validation.plain.items()}
        stressed = {name: concatenate(folds).accuracy for name, folds in cross_validation.stressed.items()}
        colors = [plots.color(1), *[plots.FAINT] * len(plain)]
        caption = "Accuracy on the same individuals of the same unseen groups."
        if stressed:
            caption += " Full: as sampled. Hollow: under the stress test."
        yield Chart("comparison.svg", "Beside other classifiers", caption, plots.plot_pairs(plain, stressed, colors))
    caption = "Of each label, the share that was taken for each."
    svg = plots.plot_confusion_matrix(scores.confusion_matrix, labels)
    yield Chart("confusion.svg", "What is taken for what", caption, svg)
    if dataset.is_grouped:
        worst = _sort_by_recall(scores)[:WORST_GROUPS]
        recalls = [(dataset.groups[group], int(dataset.group_labels[group]), recall) for group, recall in worst]
        caption = "The groups that are recognised least when the network has not seen them."
        yield Chart("worst.svg", "Where it fails", caption, plots.plot_group_recall(recalls, labels))
    caption = "How often the network is right when it is so sure. A larger dot stands for more individuals."
    svg = plots.plot_calibration_curve(scores.calibration_curve)
    yield Chart("reliability.svg", "Is it as sure as it should be?", caption, svg)
    if cross_validation and cross_validation.stressed:
        caption = "Recall as sampled (full) and with an error of 8 % on every derived figure of the table (hollow)."
        plain = dict(zip(labels, scores.recall, strict=True))
        stressed = dict(zip(labels, concatenate(cross_validation.stressed[NETWORK]).recall, strict=True))
        svg = plots.plot_pairs(plain, stressed, plots.PALETTE)
        yield Chart("stress.svg", "If the table is wrong", caption, svg)
    caption = (
        "The candidates learn from nine tenths of the groups; the one that is best on the rest learns on from all."
    )
    yield Chart("learning.svg", "How it learnt", caption, plots.plot_losses(result.losses, result.selected))


def _render_page(
    dataset: Dataset,
    manifest: Manifest,
    result: TrainingResult,
    cross_validation: CrossValidation | None,
    charts: list[Chart],
) -> str:
    environment = Environment(
        loader=PackageLoader("models", "."),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    by_classifier = manifest.metrics.get("cross_validation")
    return environment.get_template("report.html").render(
        manifest=manifest,
        metrics=by_classifier[NETWORK] if by_classifier else manifest.metrics["validation"],
        by_classifier=by_classifier,
        folds=len(cross_validation.plain[NETWORK]) if cross_validation else 0,
        holdout_groups=len(result.holdout_groups),
        groups=len(dataset.groups),
        is_grouped=dataset.is_grouped,
        facts=_summarize_facts(dataset) if isinstance(dataset, Animals) else None,
        charts=charts,
    )


def _summarize_facts(animals: Animals) -> dict[str, Any]:
    """Count the facts by label and, in whole percent of the table's cells, by basis."""
    counts = animals.count_basis_codes()
    total = counts.total()
    shares = {
        "measured for that very row": counts["m"],
        "from a breed standard or a published range": counts["s"],
        "a reference range of the whole class": counts["c"],
        "absent by anatomy": counts["0"],
        "derived by a relation, a factor or an estimate": sum(counts[code] for code in DERIVED_CODES),
    }
    return {
        "rows": len(animals.groups),
        "cells": total,
        "shares": {basis: round(100 * count / total) for basis, count in shares.items()},
        "by_label": {label: int((animals.group_labels == i).sum()) for i, label in enumerate(animals.labels)},
    }
