"""What the model can and cannot do, as one page, as pictures and as data."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from models import plots, presets
from models.animals import DERIVED, Animals
from models.dataset import Population
from models.evaluate import NETWORK, CrossValidation, Scores, together
from models.manifest import Manifest
from models.recipe import Trained

WORST = 15


@dataclass(frozen=True)
class Picture:
    """One figure of the page."""

    file: str
    title: str
    says: str
    svg: str

    @property
    def source(self) -> str:
        """The picture itself as the address of it, so that the page needs no other file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def write(
    folder: Path, population: Population, manifest: Manifest, trained: Trained, crossed: CrossValidation | None
) -> None:
    """Write ``report.json``, the pictures, ``index.html`` and, of animals, presets to try into a new folder.

    Without a cross-validation the figures are those of the groups that the candidates were chosen by.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir()
    judged = together(crossed.plain[NETWORK]) if crossed else trained.choices[trained.chosen]
    data = _data(population, manifest, trained, crossed, judged)
    (folder / "report.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if isinstance(population, Animals):
        _write_presets(folder, population)
    pictures = _pictures(population, trained, crossed, judged)
    for picture in pictures:
        (folder / picture.file).write_text(picture.svg, encoding="utf-8")
    page = _page(population, manifest, trained, crossed, pictures)
    (folder / "index.html").write_text(page, encoding="utf-8")


def _write_presets(folder: Path, population: Animals) -> None:
    document = json.dumps(presets.of(population), indent=1, ensure_ascii=False)
    (folder / presets.FILE).write_text(document + "\n", encoding="utf-8")


def _data(
    population: Population, manifest: Manifest, trained: Trained, crossed: CrossValidation | None, judged: Scores
) -> dict[str, Any]:
    """Everything the page shows, and more, as JSON."""
    recalls = [
        {
            "group": population.groups[group],
            "label": population.labels[population.group_labels[group]],
            "recall": recall,
        }
        for group, recall in sorted(judged.group_recall().items(), key=lambda pair: pair[1])
    ]
    data: dict[str, Any] = {
        "about": population.about,
        "judged_by": "cross-validation" if crossed else "the groups held apart to choose a candidate",
        "metrics": manifest.metrics,
        "labels": population.labels,
        "confusion": judged.confusion.tolist(),
        "reliability": [
            {"individuals": n, "confidence": confidence, "accuracy": accuracy}
            for n, confidence, accuracy in judged.reliability
        ],
        "recall_by_group": recalls if population.grouped else [],
        "losses": {"candidates": trained.losses[:-1], "chosen": trained.chosen + 1, "last_round": trained.losses[-1]},
    }
    if crossed:
        data["accuracy_by_fold"] = {name: [fold.accuracy for fold in folds] for name, folds in crossed.plain.items()}
    if isinstance(population, Animals):
        data["basis"] = dict(population.basis_counts())
    return data


def _pictures(
    population: Population, trained: Trained, crossed: CrossValidation | None, judged: Scores
) -> list[Picture]:
    labels = population.labels
    found = []
    if crossed:
        accuracy = {name: together(scores).accuracy for name, scores in crossed.plain.items()}
        stressed = {name: together(scores).accuracy for name, scores in crossed.stressed.items()}
        shades = [plots.colour(1), *[plots.FAINT] * len(accuracy)]
        hollow = " Full: as sampled. Hollow: under the stress test." if stressed else ""
        said = "Accuracy on the same individuals of the same unseen groups." + hollow
        found.append(
            Picture("comparison.svg", "Beside other classifiers", said, plots.pairs(accuracy, stressed, shades))
        )
    said = "Of each label, the share that was taken for each."
    found.append(Picture("confusion.svg", "What is taken for what", said, plots.confusion(judged.confusion, labels)))
    if population.grouped:
        worst = sorted(judged.group_recall().items(), key=lambda pair: pair[1])[:WORST]
        rows = [(population.groups[group], int(population.group_labels[group]), recall) for group, recall in worst]
        said = "The groups that are recognised least when the network has not seen them."
        found.append(Picture("worst.svg", "Where it fails", said, plots.worst(rows, labels)))
    said = "How often the network is right when it is so sure. A larger dot stands for more individuals."
    found.append(
        Picture("reliability.svg", "Is it as sure as it should be?", said, plots.reliability(judged.reliability))
    )
    if crossed and crossed.stressed:
        harder = together(crossed.stressed[NETWORK])
        said = "Recall as sampled (full) and with an error of 8 % on every derived figure of the table (hollow)."
        drawn = plots.pairs(_recall(judged, labels), _recall(harder, labels), plots.PALETTE)
        found.append(Picture("stress.svg", "If the table is wrong", said, drawn))
    said = "The candidates learn from nine tenths of the groups; the one that is best on the rest learns on from all."
    found.append(Picture("learning.svg", "How it learnt", said, plots.learning(trained.losses, trained.chosen)))
    return found


def _recall(scores: Scores, labels: tuple[str, ...]) -> dict[str, float]:
    return dict(zip(labels, scores.recall, strict=True))


def _page(
    population: Population,
    manifest: Manifest,
    trained: Trained,
    crossed: CrossValidation | None,
    pictures: list[Picture],
) -> str:
    environment = Environment(
        loader=PackageLoader("models", "."),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = manifest.metrics["cross_validation"][NETWORK] if crossed else manifest.metrics["validation"]
    return environment.get_template("report.html").render(
        manifest=manifest,
        figures=figures,
        crossed=manifest.metrics.get("cross_validation"),
        folds=len(crossed.plain[NETWORK]) if crossed else 0,
        held=len(trained.held_apart),
        groups=len(population.groups),
        grouped=population.grouped,
        facts=_facts(population) if isinstance(population, Animals) else None,
        pictures=pictures,
    )


def _facts(animals: Animals) -> dict[str, Any]:
    """How much of the table of facts is known how, in whole percent of its cells."""
    counts = animals.basis_counts()
    total = counts.total()
    derived = sum(counts[code] for code in DERIVED)
    shares = {
        "measured for that very row": counts["m"],
        "from a breed standard or a published range": counts["s"],
        "a reference range of the whole class": counts["c"],
        "absent by anatomy": counts["0"],
        "derived by a relation, a factor or an estimate": derived,
    }
    return {
        "rows": len(animals.groups),
        "cells": total,
        "shares": {what: round(100 * count / total) for what, count in shares.items()},
        "by_label": {label: int((animals.group_labels == i).sum()) for i, label in enumerate(animals.labels)},
    }
