"""The evaluation report of an adopted model: what its heads have right on the sample."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models import plots, report_page
from models.adoption.evaluation import HeadEvaluation
from models.evaluate import Scores
from models.manifest import Manifest
from models.report_page import Chart

MAX_CONFUSION_LABELS = 200  # with more, report.json has no matrix: it would take megabytes
MAX_POINTS = 2000  # of a scatter plot: more would hide each other
MAX_PLOTTED_TARGETS = 8
_Drawing = tuple[str, str, str, str]  # file name without its ending, title, caption, SVG


def write_report(folder: Path, manifest: Manifest, evaluations: Sequence[HeadEvaluation]) -> None:
    """Write ``report.json``, the charts and ``index.html`` into a new folder.

    Raises:
        OSError: a file cannot be written.
    """
    charts = [chart for each in evaluations for chart in _draw_charts(each, several=len(manifest.heads) > 1)]
    metrics = manifest.metrics["evaluation"]["outputs"]
    page = report_page.render(
        "adoption/report.html",
        charts,
        manifest=manifest,
        metrics=metrics,
        heads={each.head.name: each.head for each in evaluations},
        rows=manifest.metrics["evaluation"]["rows"],
    )
    data = {
        "about": manifest.training.about,
        "judged_by": "the sample",
        "metrics": manifest.metrics,
        "recall_by_group": [],
        "outputs": {each.head.name: _build_data(each) for each in evaluations},
    }
    report_page.write(folder, page, charts, data)


def _draw_charts(evaluation: HeadEvaluation, *, several: bool) -> Iterator[Chart]:
    """The charts of one output, in whose names it comes first if there are several."""
    output = evaluation.head.name if several else ""
    draw = {
        "classification": _draw_classification,
        "multi_label": _draw_multi_label,
        "regression": _draw_regression,
    }
    for file, title, caption, svg in draw[evaluation.head.kind](evaluation):
        name = re.sub(r"\W+", "_", f"{output}_{file}" if output else file)[:80]
        yield Chart(f"{name}.svg", f"{output}: {title}" if output else title, caption, svg)


def _draw_classification(evaluation: HeadEvaluation) -> Iterator[_Drawing]:
    caption = "Rows: true label. Columns: predicted label. Shares are of the true label."
    svg = plots.plot_confusion_matrix(evaluation.scores.confusion_matrix, evaluation.head.labels)
    yield "confusion", "Confusion matrix", caption, svg
    yield _draw_calibration(evaluation.scores)


def _draw_multi_label(evaluation: HeadEvaluation) -> Iterator[_Drawing]:
    by_label = evaluation.summarize()["labels"]
    recall = {label: each["recall"] for label, each in by_label.items() if each["recall"] is not None}
    precision = {label: each["precision"] for label, each in by_label.items() if each["precision"] is not None}
    shown = dict(sorted(recall.items(), key=lambda pair: pair[1])[: plots.MAX_NAMED_LABELS])
    if shown:
        caption = "Filled dots: share of a label's rows for which it is predicted. Hollow dots: share of the rows for "
        caption += "which it is predicted that have it."
        svg = plots.plot_pairs(shown, precision, [plots.color(1)] * len(shown))
        yield "recall", "Recall and precision", caption, svg
    yield _draw_calibration(_pool(list(evaluation.label_scores.values())))


def _draw_regression(evaluation: HeadEvaluation) -> Iterator[_Drawing]:
    for number, target in enumerate(evaluation.head.targets[:MAX_PLOTTED_TARGETS], start=1):
        actual, predicted = evaluation.residuals[target.name]
        step = max(1, len(actual) // MAX_POINTS)
        name = f"{target.name} ({target.unit})" if target.unit else target.name
        caption = "Each dot is a row of the sample. On the dashed line, the prediction is right."
        svg = plots.plot_predictions(actual[::step], predicted[::step], name)
        file = "predictions" if len(evaluation.head.targets) == 1 else f"predictions_{number}"
        yield file, f"Predicted {target.name}", caption, svg


def _draw_calibration(scores: Scores) -> _Drawing:
    caption = "Accuracy at each confidence. A larger dot stands for more rows."
    return "reliability", "Calibration", caption, plots.plot_calibration_curve(scores.calibration_curve)


def _pool(scores: Sequence[Scores]) -> Scores:
    """The scores of all labels of a multi-label head together."""
    return Scores(
        np.concatenate([each.probabilities for each in scores]),
        np.concatenate([each.labels for each in scores]),
        np.concatenate([each.groups for each in scores]),
        scores[0].threshold,
    )


def _build_data(evaluation: HeadEvaluation) -> dict[str, Any]:
    """The numbers of an output's charts."""
    head = evaluation.head
    if head.kind == "classification":
        matrix = evaluation.scores.confusion_matrix
        return {
            "labels": head.labels,
            "confusion": matrix.tolist() if len(head.labels) <= MAX_CONFUSION_LABELS else None,
            "reliability": _describe_calibration(evaluation.scores),
        }
    if head.kind == "multi_label":
        return {
            "confusion": {label: each.confusion_matrix.tolist() for label, each in evaluation.label_scores.items()},
            "reliability": {label: _describe_calibration(each) for label, each in evaluation.label_scores.items()},
        }
    return {
        "predictions": {
            name: {"actual": actual[::step].tolist(), "predicted": predicted[::step].tolist()}
            for name, (actual, predicted) in evaluation.residuals.items()
            for step in [max(1, len(actual) // MAX_POINTS)]
        }
    }


def _describe_calibration(scores: Scores) -> list[dict[str, float]]:
    return [
        {"individuals": count, "confidence": confidence, "accuracy": accuracy}
        for count, confidence, accuracy in scores.calibration_curve
    ]
