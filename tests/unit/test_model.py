"""A loaded bundle: its golden-row check, its predictions and its warnings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.known_animals import NAMES
from support.manifest_edits import edit_manifest
from support.unusual_animals import UNUSUAL

from models.bundle import BundleError
from service.arrays import Array, Indices, Prediction
from service.inference.model import Model


def test_golden_row_mismatch_is_refused(store: Path) -> None:
    """The error names the bundle, the row and the layer."""

    def shift(golden: list[Any]) -> None:
        golden[2]["outputs"]["hidden_2"][0] += 0.01

    edit_manifest(store, "golden", shift)
    with pytest.raises(BundleError, match=r"animals/1 fails its self-test: for golden row 2 .* layer hidden_2"):
        Model.open(store / "animals" / "1", "litert")


def test_golden_rows_cover_every_label(model: Model) -> None:
    """A label without a golden row would not be checked."""
    predicted = {model.labels[int(np.argmax(row.outputs["probabilities"]))] for row in model.manifest.golden}
    assert predicted == set(model.labels)


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_animals_are_recognized(model: Model, name: str) -> None:
    """Although they are larger, smaller or of other proportions than all in the training data."""
    label, values = UNUSUAL[name]
    probabilities = model.outputs(np.array([values], np.float32))[0]
    assert model.labels[int(probabilities.argmax())] == label


def test_missing_layer_is_refused(store: Path) -> None:
    """Each layer of the manifest must be an output of the network."""

    def rename(layers: list[Any]) -> None:
        layers[1]["name"] = "hidden_9"

    edit_manifest(store, "layers", rename)
    edit_manifest(
        store,
        "golden",
        lambda golden: [row["outputs"].update(hidden_9=row["outputs"].pop("hidden_1")) for row in golden],
    )
    with pytest.raises(BundleError, match="has no layer hidden_9"):
        Model.open(store / "animals" / "1", "litert")


@pytest.mark.parametrize("label", range(4))
def test_bounds_of_the_training_range_give_no_warning(model: Model, label: int) -> None:
    """The smallest and largest training value of a label give none; values beyond them do."""
    ranges = model.manifest.require_reference().ranges[model.labels[label]]
    lower, upper = np.array([ranges[name] for name in NAMES], np.float32).T
    rows = np.vstack([lower, upper, lower - 0.001, upper + 0.01])

    def warnings(rows: Array, outside: Indices | Sequence[int]) -> list[list[str]]:
        return model.warnings(Prediction(rows, rows, [label] * len(rows), outside, {}))

    batch = warnings(rows, model.ranges.outside(rows, np.full(4, label)))
    single = [warnings(row[np.newaxis], model.ranges.outside_in_row(row[np.newaxis], label))[0] for row in rows]
    assert single == batch
    at_lower, at_upper, below, above = batch
    assert at_lower == at_upper == []
    assert [sentence.split()[0] for sentence in below] == list(NAMES)
    assert [sentence.split()[0] for sentence in above] == list(NAMES)


def test_predict_is_pure(model: Model) -> None:
    """Rows one by one and batch, with or without layers, give the same result, however often."""
    rows = np.array(model.manifest.background[:5], np.float32)
    batch = model.predict(rows, ["hidden_1"])
    assert batch.layers["hidden_1"].shape == (5, 6)
    for index, row in enumerate(rows):
        for _ in range(2):
            single = model.predict(row[np.newaxis])
            np.testing.assert_array_equal(single.outputs[0], batch.outputs[index])
            assert single.labels[0] == batch.labels[index]
    np.testing.assert_array_equal(model.outputs(rows), batch.outputs)


def test_output_that_is_not_finite_is_an_error(model: Model) -> None:
    """An overflow is an error of the service, never a prediction."""
    for rows in (1, 2):
        with pytest.raises(ArithmeticError):
            model.predict(np.full((rows, len(NAMES)), np.inf, np.float32))
