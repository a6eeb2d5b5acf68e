"""The evaluation report of a training run."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isnan
from pathlib import Path
from typing import Any

from models import plots, presets, report_page
from models.animals import DERIVED_CODES, Animals
from models.category_results import CategoryResult, find_category_results
from models.dataset import Dataset
from models.evaluate import NETWORK, CrossValidation, Scores, concatenate
from models.manifest import Manifest
from models.report_page import Chart
from models.training_result import HeldOutLosses, RoundLosses, TrainingResult

WORST_GROUPS = 15
WORST_CATEGORIES = 15
MIN_INDIVIDUALS = 10  # with fewer, the accuracy of a category says little
MAX_SHOWN_CATEGORIES = 20  # of a feature; of more, the page shows the most frequent ones
MAX_SHOWN_LABELS = 12  # with more, the page shows those with the lowest recall
MAX_CONFUSION_LABELS = 200  # with more, report.json has no matrix: it would take megabytes


@dataclass(frozen=True)
class Report:
    """The report on a training run.

    Without cross-validation its metrics are those of the selected candidate on the holdout groups.
    """

    dataset: Dataset
    manifest: Manifest
    result: TrainingResult
    cross_validation: CrossValidation | None

    def write(self, folder: Path) -> None:
        """Write ``report.json``, the charts, ``index.html`` and, for the animals, ``presets.json`` into a new folder.

        Raises:
            OSError: a file cannot be written.
        """
        charts, files = list(self._draw_charts()), {}
        if isinstance(self.dataset, Animals):
            document = presets.build_presets(self.dataset)
            files[presets.FILE] = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        report_page.write(folder, self._render_page(charts), charts, self._build_data(), files)

    @cached_property
    def _scores(self) -> Scores:
        if self.cross_validation:
            return concatenate(self.cross_validation.plain[NETWORK])
        return self.result.validation

    @cached_property
    def _group_recalls(self) -> list[tuple[int, float]]:
        """The recall of each group by its index, lowest first."""
        return sorted(self._scores.recall_by_group().items(), key=lambda pair: pair[1])

    @cached_property
    def _category_results(self) -> list[CategoryResult]:
        return find_category_results(self.dataset.features, self._scores)

    def _build_data(self) -> dict[str, Any]:
        """Build the content of ``report.json``: all numbers of the page, and more."""
        dataset, result, scores = self.dataset, self.result, self._scores
        recalls = [
            {"group": dataset.groups[group], "label": dataset.labels[dataset.group_labels[group]], "recall": recall}
            for group, recall in self._group_recalls
        ]
        data: dict[str, Any] = {
            "about": dataset.description,
            "judged_by": "cross-validation" if self.cross_validation else "the groups held out to select a candidate",
            "metrics": self.manifest.metrics,
            "labels": dataset.labels,
            "confusion": scores.confusion_matrix.tolist() if len(dataset.labels) <= MAX_CONFUSION_LABELS else None,
            "reliability": [
                {"individuals": count, "confidence": confidence, "accuracy": accuracy}
                for count, confidence, accuracy in scores.calibration_curve
            ],
            "recall_by_group": recalls if dataset.is_grouped else [],
            "losses": _describe_losses(result.losses),
        }
        if self.cross_validation:
            folds_by_name = self.cross_validation.plain.items()
            data["accuracy_by_fold"] = {name: [fold.accuracy for fold in folds] for name, folds in folds_by_name}
        if self._category_results:
            data["categories"] = [self._describe_category(result) for result in self._category_results]
        if isinstance(dataset, Animals):
            data["basis"] = dict(dataset.count_basis_codes())
        return data

    def _describe_category(self, result: CategoryResult) -> dict[str, Any]:
        """With the recall of each label, unless there are many."""
        described = {key: value for key, value in asdict(result).items() if key != "recall"}
        if len(self.dataset.labels) > MAX_SHOWN_LABELS:
            return described
        recall = zip(self.dataset.labels, result.recall, strict=True)
        return described | {"recall": {label: share for label, share in recall if not isnan(share)}}

    def _draw_charts(self) -> Iterator[Chart]:
        dataset, labels, scores = self.dataset, self.dataset.labels, self._scores
        if self.cross_validation:
            plain = {name: concatenate(folds).accuracy for name, folds in self.cross_validation.plain.items()}
            stressed = {name: concatenate(folds).accuracy for name, folds in self.cross_validation.stressed.items()}
            colors = [plots.color(1), *[plots.FAINT] * len(plain)]
            caption = "Accuracy on the same individuals of the same held-out groups."
            if stressed:
                caption += " Filled dots: as sampled. Hollow dots: in the stress test."
            svg = plots.plot_pairs(plain, stressed, colors)
            yield Chart("comparison.svg", "Comparison with other classifiers", caption, svg)
        caption = "Rows: true label. Columns: predicted label. Shares are of the true label."
        svg = plots.plot_confusion_matrix(scores.confusion_matrix, labels)
        yield Chart("confusion.svg", "Confusion matrix", caption, svg)
        if dataset.is_grouped:
            worst = self._group_recalls[:WORST_GROUPS]
            recalls = [(dataset.groups[group], int(dataset.group_labels[group]), recall) for group, recall in worst]
            caption = "The groups with the lowest recall when they are held out of training."
            yield Chart("worst.svg", "Lowest recall", caption, plots.plot_group_recall(recalls, labels))
        frequent = [each for each in self._category_results if each.individuals >= MIN_INDIVIDUALS]
        if frequent:
            worst_first = sorted(frequent, key=lambda result: result.accuracy)[:WORST_CATEGORIES]
            bars = [(f"{each.feature}: {each.category}", each.share, each.accuracy) for each in worst_first]
            caption = "The categories with the lowest accuracy. In brackets: the share of all individuals."
            yield Chart("categories.svg", "Lowest accuracy by category", caption, plots.plot_shares(bars))
        caption = "Accuracy at each confidence. A larger dot stands for more individuals."
        svg = plots.plot_calibration_curve(scores.calibration_curve)
        yield Chart("reliability.svg", "Calibration", caption, svg)
        if self.cross_validation and self.cross_validation.stressed:
            caption = "Recall as sampled (filled) and with an error of 8 % on all derived values of the table (hollow)."
            plain = dict(zip(labels, scores.recall, strict=True))
            stressed = dict(zip(labels, concatenate(self.cross_validation.stressed[NETWORK]).recall, strict=True))
            svg = plots.plot_pairs(plain, stressed, plots.PALETTE)
            yield Chart("stress.svg", "Stress test", caption, svg)
        yield self._draw_losses()

    def _draw_losses(self) -> Chart:
        losses = self.result.losses
        if isinstance(losses, RoundLosses):
            caption = (
                "Candidates are trained on nine tenths of the groups; the best on the rest is trained further on all."
            )
            svg = plots.plot_losses([*losses.candidates, losses.last_round], losses.selected)
            return Chart("learning.svg", "Training loss", caption, svg)
        caption = (
            "Log loss on rows that were held out while the candidates were trained. They differ in how strongly large "
            "weights are penalized. Training stops after the number of steps that is best."
        )
        selected = None if losses.selected is None else (losses.selected, losses.selected_steps)
        svg = plots.plot_held_out_losses(losses.steps, losses.candidates, selected, losses.logistic)
        return Chart("learning.svg", "Selection", caption, svg)

    def _select_labels(self) -> list[str]:
        """Select the labels whose recall the page shows: all, or those with the lowest."""
        labels = self.dataset.labels
        if len(labels) <= MAX_SHOWN_LABELS:
            return list(labels)
        recall = {label: share for label, share in zip(labels, self._scores.recall, strict=True) if not isnan(share)}
        return sorted(recall, key=recall.__getitem__)[:MAX_SHOWN_LABELS]

    def _select_categories(self) -> dict[str, list[dict[str, Any]]]:
        """Select the categories of each feature that the page shows: all, or the most frequent."""
        by_feature: dict[str, list[CategoryResult]] = {}
        for result in self._category_results:
            by_feature.setdefault(result.feature, []).append(result)
        for results in by_feature.values():
            if len(results) > MAX_SHOWN_CATEGORIES:
                results.sort(key=lambda result: -result.individuals)
                del results[MAX_SHOWN_CATEGORIES:]
        return {name: [self._describe_category(each) for each in results] for name, results in by_feature.items()}

    def _render_page(self, charts: list[Chart]) -> str:
        by_classifier = self.manifest.metrics.get("cross_validation")
        return report_page.render(
            "report.html",
            charts,
            manifest=self.manifest,
            metrics=by_classifier[NETWORK] if by_classifier else self.manifest.metrics["validation"],
            by_classifier=by_classifier,
            folds=len(self.cross_validation.plain[NETWORK]) if self.cross_validation else 0,
            verdict=self.manifest.metrics["verdict"],
            shown_labels=self._select_labels(),
            categories=self._select_categories(),
            holdout_groups=len(self.result.validation_groups),
            groups=len(self.dataset.groups),
            is_grouped=self.dataset.is_grouped,
            facts=_summarize_facts(self.dataset) if isinstance(self.dataset, Animals) else None,
        )


def _describe_losses(losses: RoundLosses | HeldOutLosses) -> dict[str, Any]:
    if isinstance(losses, RoundLosses):
        return {"candidates": losses.candidates, "chosen": losses.selected + 1, "last_round": losses.last_round}
    return {
        "steps": losses.steps,
        "candidates": losses.candidates,
        "logistic_regression": losses.logistic,
        "chosen": None if losses.selected is None else losses.selected + 1,
        "chosen_steps": losses.selected_steps,
    }


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
