"""A loaded bundle: it passed its self-test, and knows where it was not trained."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.known_animals import NAMES

from models.bundle import MANIFEST, BundleError
from service.inference.model import Model
from service.prediction import Array, Indices, Prediction


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
        Model.open(store / "animals" / "1", "litert")


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
        Model.open(store / "animals" / "1", "litert")


@pytest.mark.parametrize("label", range(4))
def test_the_edges_of_a_labels_rows_are_not_beyond_them(model: Model, label: int) -> None:
    """The least and the greatest value of a label's training rows warn of nothing; a step further each does."""
    ranges = model.manifest.reference.ranges[model.labels[label]]
    lower, upper = np.array([ranges[name] for name in NAMES], np.float32).T
    rows = np.vstack([lower, upper, lower - 0.001, upper + 0.01])

    def warnings(rows: Array, outside: Indices | Sequence[int]) -> list[list[str]]:
        return model.warnings(Prediction(rows, rows, [label] * len(rows), outside, {}))

    together = warnings(rows, model.ranges.outside(rows, np.full(4, label)))
    alone = [warnings(row[np.newaxis], model.ranges.outside_in_row(row.tolist(), label))[0] for row in rows]
    assert alone == together
    at_lower, at_upper, below, above = together
    assert at_lower == at_upper == []
    assert [sentence.split()[0] for sentence in below] == list(NAMES)
    assert [sentence.split()[0] for sentence in above] == list(NAMES)


def test_predicting_changes_nothing_and_counts_nothing(model: Model) -> None:
    """A model is pure: rows one by one and together, with or without layers, give the same, however often."""
    rows = np.array(model.manifest.background[:5], np.float32)
    together = model.predict(rows, ["hidden_1"])
    assert together.layers["hidden_1"].shape == (5, 6)
    for index, row in enumerate(rows):
        for _ in range(2):
            alone = model.predict(row[np.newaxis])
            np.testing.assert_array_equal(alone.probabilities[0], together.probabilities[index])
            assert alone.labels[0] == together.labels[index]
    np.testing.assert_array_equal(model.probabilities(rows), together.probabilities)


def test_an_answer_that_is_no_number_is_an_error(model: Model) -> None:
    """An overflow is told as our failure, never as a prediction."""
    for rows in (1, 2):
        with pytest.raises(ArithmeticError):
            model.predict(np.full((rows, len(NAMES)), np.inf, np.float32))
