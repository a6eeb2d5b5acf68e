"""Requests with categories, integers and missing values: their codes, and the faults of what is not valid."""

import json
from typing import Any

import numpy as np
import pytest
from support import mixed_bundles

from models.feature import Feature, to_codes
from service.http.context import RequestContext
from service.http.errors import UnacceptableError
from service.inference.mixed_validation import make_validator
from service.inference.validation import Validator

NAMES = [feature.name for feature in mixed_bundles.FEATURES]
ROWS = mixed_bundles.raw_rows(60, seed=2)
VALIDATOR = make_validator(mixed_bundles.FEATURES, max_rows=100, max_errors=20)


def named(row: Any) -> dict[str, Any]:
    return dict(zip(NAMES, row, strict=True))


def parse(document: Any, validator: Validator = VALIDATOR) -> Any:
    return validator.parse(json.dumps(document).encode(), RequestContext("POST", "/predict", None))[0]


@pytest.mark.parametrize(
    "rows",
    [
        [list(row) for row in ROWS],
        [named(row) for row in ROWS],
        [named(row) if index % 2 else list(row) for index, row in enumerate(ROWS)],
        [{name: value for name, value in named(row).items() if value is not None} for row in ROWS],
    ],
    ids=["lists", "by name", "both", "without nulls"],
)
def test_raw_values_become_their_codes(rows: list[Any]) -> None:
    expected = to_codes(mixed_bundles.FEATURES, ROWS)

    np.testing.assert_array_equal(parse({"instances": rows}), expected)
    for row, codes in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(parse({"features": row}), [codes])
        body = json.dumps({"features": row}, ensure_ascii=False).encode()
        if b"\\" not in body:  # an escaped quote is left to the pipeline
            np.testing.assert_array_equal(VALIDATOR.validate_row(row, body, 1), [codes])


def test_what_is_absent_is_the_default() -> None:
    row = {name: value for name, value in named(ROWS[0]).items() if name != "colony"}

    assert parse({"features": row})[0, NAMES.index("colony")] == 0


@pytest.mark.parametrize(
    ("name", "value", "code", "message"),
    [
        ("bill_length", None, "type", "bill_length must be a number from 20 to 80 mm, not null"),
        ("body_mass", 1e9, "out_of_bounds", "body_mass must be in the range 1000 to 9000 g"),
        ("year", 2007.5, "type", "year must be a whole number, not 2007.5"),
        ("year", 3000, "out_of_bounds", "year must be in the range 2000 to 2030"),
        (
            "island",
            "biscoe",
            "unknown_category",
            'island must be one of "Biscoe", "Dream", "Torgersen", not "biscoe": did you mean "Biscoe"?',
        ),
        ("island", None, "missing", 'island must not be null: it must be one of "Biscoe", "Dream", "Torgersen"'),
        ("sex", 3, "type", 'sex must be one of "female", "male" or null, not a number'),
        ("sex", "", "unknown_category", 'sex must be one of "female", "male", not ""'),
        ("colony", 5, "type", "colony must be a text or null, not a number"),
        ("ring", 7, "unknown_category", "ring must be one of 1, 2, 5, not 7"),
        ("ring", True, "type", "ring must be one of 1, 2, 5, not a boolean"),
        ("ring", "1", "type", "ring must be one of 1, 2, 5, not a string"),
        ("is_breeding", 1, "type", "is_breeding must be false or true, not a number"),
        ("observer", ["x"], "type", "observer must be a text, not a list"),
    ],
)
def test_each_fault_names_the_valid_values(name: str, value: Any, code: str, message: str) -> None:
    with pytest.raises(UnacceptableError) as raised:
        parse({"features": named(ROWS[0]) | {name: value}})

    (fault,) = raised.value.faults
    assert (fault.field, fault.code) == (f"features.{name}", code)
    assert fault.message == message


def test_what_is_required_must_be_there() -> None:
    with pytest.raises(UnacceptableError) as raised:
        parse({"features": {}})

    required = [feature.name for feature in mixed_bundles.FEATURES if feature.is_required]
    assert [(fault.feature, fault.code) for fault in raised.value.faults] == [(name, "missing") for name in required]


def test_duplicate_keys_are_found_among_texts() -> None:
    body = json.dumps({"features": named(ROWS[0])}).replace('"island"', '"island": "Dream", "island"', 1)

    with pytest.raises(UnacceptableError, match="twice"):
        VALIDATOR.parse(body.encode(), RequestContext("POST", "/predict", None))


@pytest.mark.parametrize(("count", "suggests"), [(200, True), (201, False)])
def test_similar_categories_are_looked_for_in_small_vocabularies_only(count: int, suggests: bool) -> None:
    names = tuple(f"category {number}" for number in range(count))
    feature = Feature(name="c", kind="category", minimum=None, maximum=None, categories=names)

    with pytest.raises(UnacceptableError) as raised:
        parse({"features": ["categry 77"]}, make_validator([feature], max_rows=1, max_errors=1))

    assert ("did you mean" in raised.value.faults[0].message) == suggests


def test_arrays_are_read_as_rows() -> None:
    rows = np.array([list(row) for row in ROWS], object)
    rows[0, NAMES.index("body_mass")] = float("nan")

    codes = VALIDATOR.validate_array(rows, "data")

    expected = to_codes(mixed_bundles.FEATURES, ROWS)
    expected[0, NAMES.index("body_mass")] = np.nan
    np.testing.assert_array_equal(codes, expected)
