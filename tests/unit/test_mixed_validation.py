"""Validation of rows with strings, integers, truth values and missing values: their codes, or an error."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bad_input import MIXED
from support.mixed_bundles import FEATURES, raw_rows

from models.feature import Feature, Hashing, to_codes
from service.http.context import RequestContext
from service.http.errors import NotJsonError, UnacceptableError
from service.inference.mixed_validation import MixedValidator, make_validator

NAMES = [feature.name for feature in FEATURES]
MORE = (
    Feature(name="number", minimum=None, maximum=None, default=1.5),
    Feature(name="count", kind="integer", minimum=None, maximum=None, allow_missing=True),
    Feature(name="open", kind="category", minimum=None, maximum=None, categories=(1, 2), allow_other=True, default=2),
    Feature(name="flag", kind="category", minimum=None, maximum=None, categories=(True, False), allow_missing=True),
    Feature(name="bin", kind="category", minimum=None, maximum=None, hashing=Hashing(bins=7, type="integer")),
    Feature(name="word", kind="category", minimum=None, maximum=None, categories=("", "é"), allow_missing=True),
)
values: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**30), 10**30)
    | st.integers(-3, 3)
    | st.integers(-3, 3).map(float)
    | st.text()
    | st.sampled_from(["Dream", "male", "north", "", "é", 2008, 2007.0, 1.0, True])
    | st.lists(st.integers(), max_size=1)
    | st.dictionaries(st.text(), st.integers(), max_size=1)
)


def parse(validator: Any, document: Any) -> Any:
    rows, _ = validator.parse(json.dumps(document).encode(), RequestContext("POST", "/predict", None))
    return rows


def faults_of(document: Any, features: Any = FEATURES) -> list[Any]:
    with pytest.raises(UnacceptableError) as refused:
        parse(make_validator(features, max_rows=10, max_errors=100), document)
    return list(refused.value.faults)


def message(value: Any, *categories: Any, **fields: Any) -> str:
    """What is said about the value of a category."""
    feature = Feature(name="a", kind="category", minimum=None, maximum=None, categories=categories, **fields)
    (fault,) = faults_of({"features": [value]}, [feature])
    return str(fault.message)


def test_valid_rows_become_their_codes() -> None:
    """In every form: alone and among others, by name with or without the values that are missing, and as columns."""
    validator = make_validator(FEATURES, max_rows=10_000, max_errors=10)
    rows = raw_rows(600)
    expected = to_codes(FEATURES, rows)
    named = [dict(zip(NAMES, row, strict=True)) for row in rows]
    shorter = [{name: value for name, value in row.items() if value is not None} for row in named]
    for form in (list(map(list, rows)), named, shorter, [*named[:300], *map(list, rows[300:])]):
        np.testing.assert_array_equal(parse(validator, {"instances": form}), expected)
        for index in range(0, 600, 50):
            np.testing.assert_array_equal(parse(validator, {"features": form[index]}), expected[index : index + 1])
            body = json.dumps({"features": form[index]}, ensure_ascii=False).encode()
            if b"\\" not in body:
                np.testing.assert_array_equal(validator.validate_row(form[index], body, 1), expected[index : index + 1])
    columns = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
    np.testing.assert_array_equal(validator.validate_columns(columns, "inputs"), expected)
    array = np.array([[math.nan if value is None else value for value in row] for row in rows], object)
    np.testing.assert_array_equal(validator.validate_array(array, "rows"), expected)


@pytest.mark.parametrize("features", [FEATURES, MORE], ids=["penguins", "more"])
@given(data=st.data())
def test_any_value_is_accepted_or_refused_in_every_form_alike(features: Any, data: st.DataObject) -> None:
    """As `Feature.to_code` has it; what is refused has a fault at its place."""
    row = [data.draw(values) for _ in features]
    named = {feature.name: value for feature, value in zip(features, row, strict=True) if data.draw(st.booleans())}
    validator = make_validator(features, max_rows=10, max_errors=100)
    for form in (row, named):
        given_values = row if form is row else [named.get(feature.name) for feature in features]
        outcomes = [_outcome(validator, document) for document in ({"features": form}, {"instances": [form, form]})]
        codes = [_code(feature, value) for feature, value in zip(features, given_values, strict=True)]
        wrong = {feature.name for feature, code in zip(features, codes, strict=True) if code is None}
        for outcome, count in zip(outcomes, (1, 2), strict=True):
            if wrong:
                assert {fault.feature for fault in outcome} == wrong
                assert all(fault.message and fault.field for fault in outcome)
            else:
                np.testing.assert_array_equal(outcome, np.array([codes] * count, np.float32))


def _outcome(validator: Any, document: Any) -> Any:
    try:
        return parse(validator, document)
    except UnacceptableError as error:
        return error.faults


def _code(feature: Feature, value: Any) -> float | None:
    """The code of a value, None if it is not valid."""
    try:
        code = feature.to_code(value)
    except (TypeError, ValueError):
        return None
    is_valid = feature.is_category or math.isnan(code) or feature.lowest <= code <= feature.highest
    return code if is_valid else None


@given(st.recursive(values, lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.sampled_from(NAMES), inner)))
def test_any_document_is_accepted_or_refused(document: Any) -> None:
    """With an error that has a reason."""
    validator = make_validator(FEATURES, max_rows=5, max_errors=3)
    for form in (document, {"features": document}, {"instances": document}):
        try:
            assert parse(validator, form).shape[1] == len(FEATURES)
        except UnacceptableError as refused:
            assert 1 <= len(refused.faults) <= 3
        except NotJsonError as refused:
            assert refused.detail


def test_whole_numbers_are_exact() -> None:
    """No number is taken for a whole one because it is near to one: not even a large one."""
    feature = Feature(name="a", kind="integer", minimum=0, maximum=1e12)
    validator = make_validator([feature], max_rows=10, max_errors=10)
    assert parse(validator, {"instances": [[7], [7.0], [1e10]]}).tolist() == [[7], [7], [1e10]]
    for number in (7.000001, 0.5, 1e10 + 0.5):
        (fault,) = faults_of({"features": [number]}, [feature])
        assert fault == ("features[0]", "type", fault.message, "a")
        assert fault.message == f"a must be a whole number from 0 to 1e+12, not {number}"


def test_a_default_or_a_missing_value_takes_the_place_of_null() -> None:
    assert parse(make_validator(MORE, max_rows=1, max_errors=1), {"features": {"bin": 3}})[0, :4].tolist() == [
        1.5,
        pytest.approx(math.nan, nan_ok=True),
        1,
        pytest.approx(math.nan, nan_ok=True),
    ]


def test_the_message_about_an_unknown_category() -> None:
    """It names the vocabulary, or some of a large one, and what is most like the value."""
    assert message("biscoe", "Biscoe", "Dream") == (
        'a must be one of "Biscoe", "Dream", not "biscoe": did you mean "Biscoe"?'
    )
    assert message("x", "Biscoe", allow_missing=True) == 'a must be "Biscoe" or null, not "x"'
    assert message(3, 1, 2) == "a must be one of 1, 2, not 3"
    assert message(True, False) == "a must be false, not true"
    assert message(7, "x", allow_other=True, default="x") == "a must be a string or null, not a number"
    assert message("Word 77", *(f"word {number}" for number in range(10_000))) == (
        'a must be one of 10000 categories, such as "word 0", "word 1", "word 2", not "Word 77": '
        'did you mean "word 77"?'
    )


def test_the_message_about_texts_that_look_alike() -> None:
    """Only escapes show what differs: an é may be one character or two."""
    assert message("Re\u0301union", "R\u00e9union") == (
        'a must be "Réunion", not "Re\\u0301union": did you mean "R\\u00e9union"? '
        "They look alike, but consist of different characters."
    )
    feature = Feature(name="gr\u00f6\u00dfe", minimum=0, maximum=1)
    faults = faults_of({"features": {"gro\u0308\u00dfe": 1}}, [feature])
    assert "They look alike, but consist of different characters." in faults[0].message


def test_a_text_with_many_accents_is_refused_at_once() -> None:
    """It begins as a category does; to bring its accents in Unicode's order would take hours."""
    known = "Married-civ-spouse-absent"
    text = known.ljust(100, "x") + "\u0301" * 700_000 + "\u0316" * 700_000

    assert message(text, known).endswith(f'did you mean "{known}"?')


def test_messages_are_short() -> None:
    """However long categories and values are."""
    assert len(message("y" * 10**6, *(f"{'x' * 10_000}{number}" for number in range(20)))) < 3_000
    assert len(message(10**299, 1, 2)) < 200


def test_arrays_of_numbers_have_missing_values() -> None:
    """NaN is one where that is allowed, and elsewhere not a number."""
    optional = Feature(name="a", minimum=0, maximum=1, allow_missing=True)
    filled = Feature(name="b", kind="integer", minimum=0, maximum=9, default=3)
    code = Feature(name="c", kind="category", minimum=None, maximum=None, categories=(4, 5), allow_missing=True)
    validator = make_validator([optional, filled, code], max_rows=10, max_errors=10)
    nan = math.nan
    rows = np.array([[0.1, 2, 5], [nan, nan, nan]], np.float32)
    np.testing.assert_array_equal(validator.validate_array(rows, "x"), np.array([[0.1, 2, 1], [nan, 3, nan]], "f4"))
    required = make_validator([Feature(name="a", kind="integer", minimum=0, maximum=1)], max_rows=10, max_errors=10)
    with pytest.raises(UnacceptableError) as refused:
        required.validate_array(np.array([[1.0], [nan], [0.5], [7.0]]), "x")
    assert [(fault.field, fault.code) for fault in refused.value.faults] == [
        ("x[1][0]", "not_finite"),
        ("x[2][0]", "type"),
        ("x[3][0]", "out_of_bounds"),
    ]


@pytest.mark.parametrize("allow_missing", [False, True])
def test_bounds_of_float32_count_in_its_precision(allow_missing: bool) -> None:
    """In a model of numbers and in others: the float32 that is nearest to a maximum is not beyond it."""
    feature = Feature(name="a", minimum=0, maximum=0.1, allow_missing=allow_missing)
    validator = make_validator([feature], max_rows=10, max_errors=10)
    nearest = np.array([[0.1]], np.float32)
    assert validator.validate_array(nearest, "x") == nearest
    with pytest.raises(UnacceptableError):
        validator.validate_array(nearest.astype(np.float64), "x")
    with pytest.raises(UnacceptableError) as refused:
        validator.validate_array(np.array([[0.1], [5], [0.1]], np.float32), "x")
    assert [fault.field for fault in refused.value.faults] == ["x[1][0]"]


def test_models_of_plain_numbers_have_the_plain_validator() -> None:
    plain = [Feature(name="a", minimum=0, maximum=1)]
    assert type(make_validator(plain, max_rows=1, max_errors=1)) is not MixedValidator


def test_what_is_absent_is_the_default() -> None:
    row = {name: value for name, value in MIXED.items() if name != "colony"}
    assert parse(make_validator(FEATURES, max_rows=1, max_errors=1), {"features": row})[0, NAMES.index("colony")] == 0


@pytest.mark.parametrize(
    ("name", "value", "code", "message"),
    [
        ("bill_length", None, "type", "bill_length must be a number from 20 to 80 mm, not null"),
        ("body_mass", 1e9, "out_of_bounds", "body_mass must be in the range 1000 to 9000 g"),
        ("year", 2007.5, "type", "year must be a whole number from 2000 to 2030, not 2007.5"),
        ("year", 3000, "out_of_bounds", "year must be in the range 2000 to 2030"),
        (
            "island",
            "biscoe",
            "unknown_category",
            'island must be one of "Biscoe", "Dream", "Torgersen", not "biscoe": did you mean "Biscoe"?',
        ),
        ("island", None, "type", 'island must be one of "Biscoe", "Dream", "Torgersen", not null'),
        ("sex", 3, "type", 'sex must be one of "female", "male" or null, not a number'),
        ("sex", "", "unknown_category", 'sex must be one of "female", "male" or null, not ""'),
        ("colony", 5, "type", "colony must be a string or null, not a number"),
        ("ring", 7, "unknown_category", "ring must be one of 1, 2, 5, not 7"),
        ("ring", True, "type", "ring must be one of 1, 2, 5, not a boolean"),
        ("ring", "1", "type", "ring must be one of 1, 2, 5, not a string"),
        ("is_breeding", 1, "type", "is_breeding must be false or true, not a number"),
        ("observer", ["x"], "type", "observer must be a string, not a list"),
    ],
)
def test_each_fault_names_the_valid_values(name: str, value: Any, code: str, message: str) -> None:
    (fault,) = faults_of({"features": MIXED | {name: value}})
    assert fault == (f"features.{name}", code, message, name)


def test_what_is_required_must_be_there() -> None:
    required = [feature.name for feature in FEATURES if feature.is_required]
    assert [(fault.feature, fault.code) for fault in faults_of({"features": {}})] == [
        (name, "missing") for name in required
    ]


def test_duplicate_keys_are_found_among_texts() -> None:
    body = json.dumps({"features": MIXED}).replace('"island"', '"island": "Dream", "island"', 1)
    with pytest.raises(UnacceptableError, match="twice"):
        make_validator(FEATURES, max_rows=1, max_errors=1).parse(
            body.encode(), RequestContext("POST", "/predict", None)
        )


@pytest.mark.parametrize("count", [1, 100, 101, 100_000])
def test_similar_categories_are_found_in_vocabularies_of_any_size(count: int) -> None:
    nearest = f"category {count - 1}"
    assert f'did you mean "{nearest}"?' in message(
        f"categry {count - 1}", *(f"category {number}" for number in range(count))
    )
