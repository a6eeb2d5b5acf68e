"""How good an adopted model is on its sample, and what is odd about its predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from models.adoption.heads import DecidedHead
from models.dataset import Doubles, Floats, Integers
from models.evaluate import Scores, summarize
from models.signature import Head
from models.verdict import describe_calibration

MIN_ROWS = 30  # with fewer, chance decides
CHANCE = 0.55  # an area under the ROC curve up to which a model knows next to nothing
NEARLY_CONSTANT = 1e-3  # between the 1st and the 99th percentile: of a probability, or of a quantity's magnitude


@dataclass(frozen=True)
class HeadEvaluation:
    """A head with right answers, and the columns [rows, columns] that the model gives for them."""

    decided: DecidedHead
    columns: Doubles

    @property
    def head(self) -> Head:
        return self.decided.head

    @cached_property
    def scores(self) -> Scores:
        """The scores of a classification."""
        truth: Integers = np.asarray(self.decided.truth, np.intp)
        return Scores(_to_floats(self.columns), truth, np.arange(len(truth)), self.head.threshold)

    @cached_property
    def label_scores(self) -> dict[str, Scores]:
        """The scores of each label of a multi-label head: whether it applies is a classification of its own."""
        truth = np.asarray(self.decided.truth, np.intp)
        return {
            label: Scores(
                _to_floats(np.column_stack([1 - self.columns[:, i], self.columns[:, i]])),
                truth[:, i],
                np.arange(len(truth)),
                self.head.threshold,
            )
            for i, label in enumerate(self.head.labels)
        }

    @cached_property
    def residuals(self) -> dict[str, tuple[Doubles, Doubles]]:
        """The true and the predicted values [rows] of each target of a regression."""
        truth = np.asarray(self.decided.truth, np.float64)
        return {target.name: (truth[:, i], self.columns[:, i]) for i, target in enumerate(self.head.targets)}

    def summarize(self) -> dict[str, Any]:
        """The metrics that the manifest and the report quote."""
        if self.head.kind == "classification":
            return {**summarize(self.scores, self.head.labels), **self._judge()}
        if self.head.kind == "multi_label":
            return {"labels": {label: _summarize_label(scores) for label, scores in self.label_scores.items()}}
        return {
            "targets": {
                target.name: {**_summarize_values(*self.residuals[target.name]), "unit": target.unit}
                for target in self.head.targets
            }
        }

    def _judge(self) -> dict[str, Any]:
        return {"calibration": describe_calibration(self.scores.expected_calibration_error)}

    def find_warnings(self) -> Iterator[str]:
        """Sentences on a model that knows no more than chance, as one that gets its columns in the wrong order."""
        if len(self.columns) < MIN_ROWS:
            return
        remedy = "check the order and the units of the columns, and the order of the labels"
        if self.head.kind == "classification":
            area = _compute_mean_auc(self.scores)
            if area is not None and area < CHANCE:
                yield (
                    f"output {self.head.name} tells the sample's labels apart no better than chance (mean area under "
                    f"the ROC curve {area:.2f}): {remedy}"
                )
        if self.head.kind == "regression":
            for name, values in self.residuals.items():
                r2 = _summarize_values(*values)["r2"]
                if r2 is not None and r2 <= 0:
                    yield (f"{name} is predicted no better than by its mean (R2 is {r2:.2g}): {remedy}")


def evaluate(decided: Sequence[DecidedHead], columns: Sequence[Doubles]) -> list[HeadEvaluation]:
    """The evaluations of those heads for which the sample has right answers."""
    return [HeadEvaluation(each, own) for each, own in zip(decided, columns, strict=True) if each.truth is not None]


def find_constant_outputs(decided: Sequence[DecidedHead], columns: Sequence[Doubles], rows: Floats) -> Iterator[str]:
    """Sentences on outputs that hardly differ over the sample although its rows [rows, features] do."""
    if len(rows) < MIN_ROWS or not (rows.min(axis=0) < rows.max(axis=0)).any():
        return
    for each, own in zip(decided, columns, strict=True):
        low, high = np.quantile(own, (0.01, 0.99), axis=0)
        scale = np.maximum(np.abs(own).max(axis=0), 1e-30) if each.head.kind == "regression" else 1
        if ((high - low) / scale > NEARLY_CONSTANT).any():
            continue
        shown = ", ".join(f"{name} {value:.3g}" for name, value in zip(each.head.column_names, own[0], strict=True))
        yield (
            f"output {each.head.name} is nearly the same for all rows of the sample ({shown[:200]}): check that the "
            "sample has the units and the column order that the model was trained with, scaled as then"
        )


def _compute_mean_auc(scores: Scores) -> float | None:
    """The mean over labels of the area under the curve of each against all others; None if all rows have one label."""
    areas = []
    for label in np.unique(scores.labels):
        is_label = scores.labels == label
        if is_label.all():
            return None
        areas.append(roc_auc_score(is_label, scores.probabilities[:, label]))
    return float(np.mean(areas))


def _summarize_label(scores: Scores) -> dict[str, Any]:
    matrix = scores.confusion_matrix
    predicted, actual = int(matrix[:, 1].sum()), int(matrix[1].sum())
    return {
        "share": round(actual / len(scores.labels), 4),
        "accuracy": round(scores.accuracy, 4),
        "recall": round(float(matrix[1, 1] / actual), 4) if actual else None,
        "precision": round(float(matrix[1, 1] / predicted), 4) if predicted else None,
        "log_loss": round(scores.log_loss, 4),
        "expected_calibration_error": round(scores.expected_calibration_error, 4),
    }


def _summarize_values(actual: Doubles, predicted: Doubles) -> dict[str, Any]:
    errors = predicted - actual
    variance = float(np.square(actual - actual.mean()).sum())
    return {
        "mae": _round(float(np.abs(errors).mean())),
        "rmse": _round(float(np.sqrt(np.square(errors).mean()))),
        "r2": round(1 - float(np.square(errors).sum()) / variance, 4) if variance else None,
    }


def _round(value: float) -> float:
    """Round to four significant digits: a quantity may have any size."""
    return float(f"{value:.4g}")


def _to_floats(columns: Doubles) -> Floats:
    return columns.astype(np.float32)
