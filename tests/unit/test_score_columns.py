"""Columns are validated as the service validates rows: same bounds, same codes, same messages."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.feature import Feature
from service.http.errors import UnacceptableError
from service.inference.validation import Validator
from service.score.columns import FeatureColumns
from service.score.errors import TableError
from service.score.faults import FaultReporter

FEATURES = (
    Feature(name="length", unit="cm", minimum=-0.1, maximum=0.7),
    Feature(name="mass", minimum=0, maximum=1e30),
    Feature(name="größe\n", minimum=5, maximum=2**60),
)
NAMES = ["a", "b", "c"]
MAPPING = dict(zip([feature.name for feature in FEATURES], NAMES, strict=True))
validator = Validator(FEATURES, max_rows=100, max_errors=1000)

numbers = st.floats() | st.sampled_from([f.minimum for f in FEATURES] + [f.maximum for f in FEATURES] + [0.1, -0.0])
columns: st.SearchStrategy[tuple[pa.DataType, st.SearchStrategy[Any]]] = st.sampled_from(
    [
        (pa.float64(), numbers),
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.uint8(), st.integers(0, 255)),
        (pa.string(), st.text()),
        (pa.dictionary(pa.int8(), pa.string()), st.text(max_size=1)),
        (pa.bool_(), st.booleans()),
        (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=2)),
        (pa.struct([("x", pa.int64())]), st.fixed_dictionaries({"x": st.integers(0, 9)})),
        (pa.null(), st.none()),
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> pa.RecordBatch:
    count = draw(st.integers(1, 8))
    arrays = []
    for _ in FEATURES:
        dtype, values = draw(columns)
        arrays.append(pa.array(draw(st.lists(st.none() | values, min_size=count, max_size=count)), dtype))
    offset = draw(st.integers(0, count - 1))  # parts are slices of batches
    return pa.record_batch(arrays, names=NAMES).slice(offset)


def extract(batch: pa.RecordBatch, *, all_text: bool = False) -> tuple[list[list[float]], list[list[tuple[str, str]]]]:
    """The rows of a batch, and the code and message of each row's faults."""
    rows, codes, invalid = FeatureColumns(FEATURES, batch.schema, MAPPING, all_text=all_text).extract(batch)
    faults, _ = FaultReporter(FEATURES, NAMES).report(codes, invalid)
    row_faults = [
        [(fault["code"], fault["message"]) for fault in row] if any(code) else []
        for row, code in zip(faults.to_pylist(), codes.tolist(), strict=True)
    ]
    return rows.tolist(), row_faults


def validate(row: dict[str, Any]) -> tuple[list[float] | None, list[tuple[str, str]]]:
    """The same for one row, by the service's validator; a null is a missing value."""
    named = {name: row[column] for name, column in MAPPING.items() if row[column] is not None}
    try:
        return validator.validate_rows([named], "")[0].tolist(), []
    except UnacceptableError as error:
        return None, [(fault.code, fault.message) for fault in error.faults]


@given(tables())
def test_columns_are_validated_as_the_service_validates_rows(batch: pa.RecordBatch) -> None:
    """For columns of any type, valid rows are the same to the bit, and the others have the same faults."""
    rows, row_faults = extract(batch)
    for row, faults, named_row in zip(rows, row_faults, batch.to_pylist(), strict=True):
        expected, expected_faults = validate(named_row)
        assert faults == expected_faults
        if expected is not None:
            assert np.array(row, np.float32).tobytes() == np.array(expected, np.float32).tobytes()


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_float32_columns_have_float32_bounds(values: list[list[float]]) -> None:
    """They are validated as tensors are: the float32 nearest to a bound is within it."""
    rows = np.array([*values, [-0.1, 0.0, 5.0], [0.7, 1e30, 2**60]], np.float32)
    _, row_faults = extract(pa.record_batch([pa.array(column) for column in rows.T], names=NAMES))
    for row, faults in zip(rows, row_faults, strict=True):
        try:
            validator.validate_array(row[np.newaxis], "")
        except UnacceptableError:
            assert faults
        else:
            assert not faults


texts = st.one_of(
    numbers.map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.from_regex(r"[+-]?[0-9]{0,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{0,4})?", fullmatch=True),
    st.sampled_from(
        ["nan", "-NaN", "inf", "+Infinity", "0x1", "1_0", "NA", "null", "", " ", "1 ", "\t1", "\uff11", "1,5"]
    ),
    st.text(max_size=4),
)


@given(st.lists(texts, min_size=1, max_size=6))
def test_text_is_parsed_independently_of_other_values(values: list[str]) -> None:
    """A column of numbers is cast as a whole, any other value by value; both accept the same text as a number."""

    def parse(texts: list[str]) -> list[tuple[float, list[tuple[str, str]]]]:
        columns = [pa.array(texts), pa.array(["0"] * len(texts)), pa.array(["5"] * len(texts))]
        rows, row_faults = extract(pa.record_batch(columns, names=NAMES), all_text=True)
        return [(row[0] if not faults else math.pi, faults) for row, faults in zip(rows, row_faults, strict=True)]

    together = parse(values)
    assert together == [parse([value])[0] for value in values]
    assert parse([*values, "no number"])[:-1] == together


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0.5", None),
        (" 5e-1\t", None),
        ("+.5", None),
        ("", "missing"),
        (" ", "missing"),
        ("NA", "missing"),
        ("null", "missing"),
        ("NaN", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e400", "not_finite"),
        ("0.71", "out_of_bounds"),
        ("half", "type"),
        ("0,5", "type"),
        ("0x1", "type"),
        ("1_0", "type"),
        ("True", "type"),
    ],
)
def test_how_text_is_parsed(text: str, code: str | None) -> None:
    """JSON numbers, also with a plus sign or without a leading zero; several spellings of a missing value."""
    batch = pa.record_batch([pa.array([text]), pa.array(["0"]), pa.array(["5"])], names=NAMES)
    _, row_faults = extract(batch, all_text=True)
    assert [fault_code for fault_code, _ in row_faults[0]] == ([] if code is None else [code])


@pytest.mark.parametrize("digits", ["173.735", "203.9", "-149.89", "-46.97406449315719"])
def test_decimals_are_converted_exactly(digits: str) -> None:
    """To the last bit, so that a value equal to a bound is within it."""
    at_minimum = Feature(name="a", minimum=float(digits), maximum=1000)
    at_maximum = Feature(name="a", minimum=-1000, maximum=float(digits))
    for dtype in (pa.decimal128(38, 18), pa.decimal128(18, 14)):
        batch = pa.record_batch({"a": pa.array([digits]).cast(dtype)})
        for feature in (at_minimum, at_maximum):
            assert not FeatureColumns([feature], batch.schema, {}, all_text=False).extract(batch).codes.any()


def test_faults_name_the_column_and_are_counted() -> None:
    """A fault's field is the table's column, whose name may differ from the feature's."""
    batch = pa.record_batch([pa.array([None, 2.0, None]), pa.array([0, 0, -1]), pa.array([5, 5, 5])], names=NAMES)
    _, codes, invalid = FeatureColumns(FEATURES, batch.schema, MAPPING, all_text=False).extract(batch)
    faults, counts = FaultReporter(FEATURES, NAMES).report(codes, invalid)
    assert [[fault["field"] for fault in row] for row in faults.to_pylist()] == [["a"], ["a"], ["a", "b"]]
    assert counts == {"a missing": 2, "a out_of_bounds": 1, "b out_of_bounds": 1}


@pytest.mark.parametrize(
    ("names", "mapping", "message"),
    [
        (["a", "b", "cc"], MAPPING, r"^no column c: did you mean cc\?; or choose one with --map größe\n=COLUMN$"),
        (["a", "b", "c", "c"], MAPPING, "^2 columns are named c: rename all but one$"),
        (["a", "b", "c"], MAPPING | {"mas": "a"}, r"^--map mas: unknown feature; did you mean mass\?$"),
        ([], MAPPING, "^no column a: the table has no columns"),
    ],
)
def test_a_table_without_the_feature_columns_is_refused(
    names: list[str], mapping: dict[str, str], message: str
) -> None:
    """Before anything is computed; the error suggests the most similar name."""
    with pytest.raises(TableError, match=message):
        FeatureColumns(FEATURES, pa.schema([(name, pa.float64()) for name in names]), mapping, all_text=False)
