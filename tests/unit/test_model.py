"""A loaded bundle: it passed its self-test, and knows where it was not trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.known_animals import NAMES

from models.bundle import MANIFEST, BundleError
from service.http.context import Record
from service.inference.model import Model
from service.monitoring.model_metrics import Ledger
from service.monitoring.shared_counters import Memory


def edit(store: Path, name: str, change: Any) -> None:
    path = store / "animals" / "1" / MANIFEST
    document = json.loads(path.read_text())
    change(document[name])
    path.write_text(json.dumps(document))


def test_a_network_that_fails_a_golden_row_is_not_served(store: Path) -> None:
    """The error names the bundle, the row and the layer."""

    def shift(golden: list[Any]) -> None:
        golden[2]["outputs"]["hidden_2"][0] += 0.01

    edit(store, "golden", shift)
    with pytest.raises(BundleError, match=r"animals/1 fails its self-test: golden row 2 .* layer hidden_2"):
        Model.open(store / "animals" / "1", "litert", Ledger(Memory()))


def test_golden_rows_cover_every_label(model: Model) -> None:
    """A self-test that never sees a label proves nothing of it."""
    answered = {model.labels[int(np.argmax(row.outputs["probabilities"]))] for row in model.manifest.golden}
    assert answered == set(model.labels)


def test_a_network_without_a_layer_of_the_manifest_is_not_served(store: Path) -> None:
    """A layer that cannot be shown later is missed at once."""

    def rename(layers: list[Any]) -> None:
        layers[1]["name"] = "hidden_9"

    edit(store, "layers", rename)
    edit(
        store,
        "golden",
        lambda golden: [row["outputs"].update(hidden_9=row["outputs"].pop("hidden_1")) for row in golden],
    )
    with pytest.raises(BundleError, match="has no layer hidden_9"):
        Model.open(store / "animals" / "1", "litert", Ledger(Memory()))


@pytest.mark.parametrize("label", range(4))
def test_the_edges_of_a_labels_rows_are_not_beyond_them(model: Model, label: int) -> None:
    """The least and the greatest value of a label's training rows warn of nothing; a step further each does."""
    ranges = model.manifest.reference.ranges[model.labels[label]]
    least, most = np.array([ranges[name] for name in NAMES], np.float32).T
    rows = np.vstack([least, most, least - 0.001, most + 0.01])
    covered = model.statistics.ranges
    together = model.warnings(rows, [label] * 4, covered.outside(rows, np.full(4, label)))
    alone = [covered.outside_one(row.tolist(), label) for row in rows]
    assert [model.warnings(row[np.newaxis], [label], one)[0] for row, one in zip(rows, alone, strict=True)] == together
    at_least, at_most, below, beyond = together
    assert at_least == at_most == []
    assert [sentence.split()[0] for sentence in below] == list(NAMES)
    assert [sentence.split()[0] for sentence in beyond] == list(NAMES)


def test_an_answer_that_is_no_number_is_an_error(model: Model) -> None:
    """An overflow is told as our failure, never as a prediction."""
    for rows in (1, 2):
        with pytest.raises(ArithmeticError):
            model.probabilities(np.full((rows, len(NAMES)), np.inf, np.float32), Record())
