"""Rows of one version, encoded for another: as if the raw rows had been encoded for it."""

from typing import Any

import numpy as np
import pytest
from support.mixed_bundles import FEATURES, raw_rows

from models.feature import Feature, Hashing, UnknownCategoryError, to_codes
from service.comparison.translation import RowTranslation

ROWS = [*raw_rows(300), *([(*raw_rows(1)[0][:5], None, *raw_rows(1)[0][6:])])]
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "nothing": {},
    "texts": {"bill_length": {"unit": "cm", "how": "with a rule"}},
    "further categories": {"island": {"categories": ("Anvers", "Torgersen", "Dream", "Biscoe")}},
    "other order": {"ring": {"categories": (5, 2, 1)}, "is_breeding": {"categories": (True, False)}},
    "other values": {"island": {"categories": ("Biscoe", "Dream"), "allow_other": True}},
    "fewer known values": {"colony": {"categories": ("south", "north")}},
    "a default instead of missing values": {
        "sex": {"allow_missing": False, "default": "male"},
        "body_mass": {"allow_missing": False, "default": 4000},
    },
    "missing values": {"bill_length": {"allow_missing": True}, "ring": {"allow_missing": True}},
    "other bounds": {"bill_length": {"minimum": 35, "maximum": 52}, "body_mass": {"minimum": 3000}},
    "hashed": {"colony": {"categories": (), "allow_other": False, "hashing": Hashing(bins=5), "default": None}},
}


def change(features: tuple[Feature, ...], changes: dict[str, dict[str, Any]]) -> tuple[Feature, ...]:
    return tuple(
        Feature.model_validate(each.model_dump() | changes.get(each.name, {}) | _plain(changes.get(each.name, {})))
        for each in features
    )


def _plain(changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value.model_dump() if isinstance(value, Hashing) else value for key, value in changes.items()}


def encode(features: tuple[Feature, ...], row: tuple[Any, ...]) -> Any:
    """The codes of a raw row; None if it is invalid."""
    try:
        codes = to_codes(features, [row])[0]
    except (UnknownCategoryError, TypeError):
        return None
    numbers = [
        (feature, code)
        for feature, code in zip(features, codes.tolist(), strict=True)
        if not feature.is_category and not np.isnan(code)
    ]
    return codes if all(feature.lowest <= code <= feature.highest for feature, code in numbers) else None


@pytest.mark.parametrize("name", CHANGES)
def test_translated_rows_are_those_of_the_raw_values(name: str) -> None:
    """Rows that the other version takes have its codes; all others are marked."""
    others = change(FEATURES, CHANGES[name])
    rows, taken = RowTranslation(FEATURES, others).translate(to_codes(FEATURES, ROWS))
    expected = [encode(others, row) for row in ROWS]
    colony = [feature.name for feature in FEATURES].index("colony")
    for index, (row, codes) in enumerate(zip(ROWS, expected, strict=True)):
        if name == "hashed" and row[colony] == "a new colony":  # as text it has a bin, as "other" it has none
            assert not taken[index]
        elif name == "hashed" and row[colony] is None:
            assert taken[index]  # it was "north", the default
        else:
            assert taken[index] == (codes is not None)
            if codes is not None:
                np.testing.assert_array_equal(rows[index], codes)
    assert taken.any()


def test_a_value_that_only_the_other_version_may_know_is_not_taken() -> None:
    """An "other" of the first version may be any word, one that the second knows among them."""
    others = change(FEATURES, {"colony": {"categories": ("north", "south", 'ümläut "quoted"', "a new colony")}})
    rows = to_codes(FEATURES, ROWS)
    _, taken = RowTranslation(FEATURES, others).translate(rows)
    assert taken.tolist() == (rows[:, 5] != 3).tolist()


def test_rows_of_the_same_schema_are_not_copied() -> None:
    rows = to_codes(FEATURES, ROWS)
    translated, taken = RowTranslation(FEATURES, FEATURES).translate(rows)
    assert translated is rows
    assert taken.all()
