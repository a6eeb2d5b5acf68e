"""Warnings of models with categories and missing values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import mixed_bundles

from models.feature import to_codes
from service.inference.model import Model
from service.inference.ranges import make_ranges

NAMES = [feature.name for feature in mixed_bundles.FEATURES]
END = ": the prediction may be unreliable"
ORDINARY: tuple[Any, ...] = (41.0, 4000.0, 2008, "Biscoe", "female", "north", 1, True, "observer 1")
WITHOUT = {3: "Torgersen", 4: None, 6: 5, 7: False, 1: None}  # values that no training row has, by position


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Of training rows without some categories, and without missing values."""
    rows = [
        row
        for row in mixed_bundles.raw_rows(6_000)
        if all(row[position] != value for position, value in WITHOUT.items()) and row[8] != "observer 2"
    ]
    return Model.open(mixed_bundles.publish(tmp_path_factory.mktemp("store"), rows=rows).folder, "litert")


def warnings(model: Model, changes: dict[int, Any]) -> Sequence[str]:
    row = [changes.get(index, value) for index, value in enumerate(ORDINARY)]
    return model.warnings(model.predict(to_codes(model.features, [row])))[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({3: "Torgersen"}, "island is Torgersen, which no training row{of_label} has"),
        ({6: 5}, "ring is 5, which no training row{of_label} has"),
        ({7: False}, "is_breeding is false, which no training row{of_label} has"),
        ({5: "elsewhere"}, "colony is none of the known categories"),
        ({4: None}, "sex is missing, which it is in no training row"),
        ({1: None}, "body_mass is missing, which it is in no training row"),
    ],
)
def test_values_that_no_training_row_has_are_warned_of(model: Model, changes: dict[int, Any], sentence: str) -> None:
    """In words, with the label whose training rows lack them."""
    assert warnings(model, {}) == []
    row = [changes.get(index, value) for index, value in enumerate(ORDINARY)]
    label = model.labels[int(model.predict(to_codes(model.features, [row])).labels[0])]
    assert warnings(model, changes) == [sentence.format(of_label=f" of {label}") + END]


def test_numbers_are_warned_of_as_ever(model: Model) -> None:
    """A whole number too."""
    (sentence,) = warnings(model, {2: 2029})
    assert sentence.startswith("year is 2029, outside the training range of ")


def test_single_rows_and_batches_agree(model: Model) -> None:
    """Positions in the flattened rows are the same, for every label."""
    codes = to_codes(model.features, mixed_bundles.raw_rows(400, 3))
    for label in range(len(model.labels)):
        batch = model.ranges.outside(codes, np.full(len(codes), label))
        single = [model.ranges.outside_in_row(row[np.newaxis], label) for row in codes]
        assert batch.tolist() == [i * len(NAMES) + at for i, positions in enumerate(single) for at in positions]
        assert len(batch) > 100


def test_missing_values_that_training_had_are_not_warned_of(tmp_path: Path) -> None:
    model = Model.open(mixed_bundles.publish(tmp_path).folder, "litert")
    assert warnings(model, {1: None, 4: None}) == []


def test_hash_bins_are_named_by_number(tmp_path: Path) -> None:
    rows = [(*row[:8], "observer 1") for row in mixed_bundles.raw_rows(300)]
    model = Model.open(mixed_bundles.publish(tmp_path, rows=rows).folder, "litert")
    texts = [warnings(model, {8: f"observer {number}"}) for number in range(9)]
    assert any("observer is in hash bin" in sentence for sentences in texts for sentence in sentences)
    assert warnings(model, {8: "observer 1"}) == []


def test_without_a_sample_only_unknown_categories_are_warned_of(model: Model) -> None:
    """All that is known is the vocabulary."""
    ranges = make_ranges(model.manifest.model_copy(update={"reference": None}))
    row = [1e4, None, 2029, "Torgersen", None, "elsewhere", 5, False, "observer 2"]
    codes = to_codes(model.features, [row])
    assert ranges.outside(codes, np.array([1])).tolist() == ranges.outside_in_row(codes, 1) == [NAMES.index("colony")]
