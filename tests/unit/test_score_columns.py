"""A table's columns are judged as the service judges rows: by the same bounds, in the same words."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.manifest import Feature
from service.http.errors import TableError, UnacceptableError
from service.inference.validation import Validator
from service.score.columns import Columns
from service.score.faults import Faults

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
        kind, values = draw(columns)
        arrays.append(pa.array(draw(st.lists(st.none() | values, min_size=count, max_size=count)), kind))
    offset = draw(st.integers(0, count - 1))  # a slice is what a cut into parts leaves
    return pa.record_batch(arrays, names=NAMES).slice(offset)


def read(batch: pa.RecordBatch, *, text: bool = False) -> tuple[list[list[float]], list[list[tuple[str, str]]]]:
    """What a batch's rows are, and the faults of each: code and message."""
    rows, codes = Columns(FEATURES, batch.schema, MAPPING, text=text).read(batch)
    faults, _ = Faults(FEATURES, NAMES).of(codes)
    told = [
        [(fault["code"], fault["message"]) for fault in row] if any(code) else []
        for row, code in zip(faults.to_pylist(), codes.tolist(), strict=True)
    ]
    return rows.tolist(), told


def asked(row: dict[str, Any]) -> tuple[list[float] | None, list[tuple[str, str]]]:
    """What the service makes of the same row, in which a null is a value that is missing."""
    named = {name: row[column] for name, column in MAPPING.items() if row[column] is not None}
    try:
        return validator.rows([named], "")[0].tolist(), []
    except UnacceptableError as refused:
        return None, [(fault.code, fault.message) for fault in refused.faults]


@given(tables())
def test_columns_are_judged_as_the_service_judges_rows(batch: pa.RecordBatch) -> None:
    """Whatever the columns' types: the same rows are good, to the bit; the others have the same faults."""
    rows, told = read(batch)
    for row, faults, given_row in zip(rows, told, batch.to_pylist(), strict=True):
        expected, refused = asked(given_row)
        assert faults == refused
        if expected is not None:
            assert np.array(row, np.float32).tobytes() == np.array(expected, np.float32).tobytes()


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_bound_counts_in_single_precision_as_well(values: list[list[float]]) -> None:
    """float32 columns are judged as tensors are: the float32 nearest to a bound is not beyond it."""
    rows = np.array([*values, [-0.1, 0.0, 5.0], [0.7, 1e30, 2**60]], np.float32)
    _, told = read(pa.record_batch([pa.array(column) for column in rows.T], names=NAMES))
    for row, faults in zip(rows, told, strict=True):
        try:
            validator.array(row[np.newaxis], "")
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
def test_text_is_a_number_or_not_whatever_its_neighbours_are(values: list[str]) -> None:
    """A good column is read at once, another value by value; both must take the same for a number."""

    def judged(some: list[str]) -> list[tuple[float, list[tuple[str, str]]]]:
        batch = pa.record_batch([pa.array(some), pa.array(["0"] * len(some)), pa.array(["5"] * len(some))], names=NAMES)
        rows, told = read(batch, text=True)
        return [(row[0] if not faults else math.pi, faults) for row, faults in zip(rows, told, strict=True)]

    together = judged(values)
    assert together == [judged([value])[0] for value in values]
    assert judged([*values, "no number"])[:-1] == together


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
def test_what_text_means_in_a_csv(text: str, code: str | None) -> None:
    """JSON's numbers, with a plus or without a leading zero as well; some spellings of nothing."""
    batch = pa.record_batch([pa.array([text]), pa.array(["0"]), pa.array(["5"])], names=NAMES)
    _, told = read(batch, text=True)
    assert [one for one, _ in told[0]] == ([] if code is None else [code])


@pytest.mark.parametrize("digits", ["173.735", "203.9", "-149.89", "-46.97406449315719"])
def test_decimals_are_the_numbers_that_their_digits_say(digits: str) -> None:
    """To the last bit, so that a bound itself is not beyond it."""
    least = Feature(name="a", minimum=float(digits), maximum=1000)
    most = Feature(name="a", minimum=-1000, maximum=float(digits))
    for kind in (pa.decimal128(38, 18), pa.decimal128(18, 14)):
        batch = pa.record_batch({"a": pa.array([digits]).cast(kind)})
        for feature in (least, most):
            assert not Columns([feature], batch.schema, {}, text=False).read(batch)[1].any()


def test_faults_name_the_column_and_are_counted() -> None:
    """A fault's field is the table's column, which may have another name than the feature."""
    batch = pa.record_batch([pa.array([None, 2.0, None]), pa.array([0, 0, -1]), pa.array([5, 5, 5])], names=NAMES)
    _, codes = Columns(FEATURES, batch.schema, MAPPING, text=False).read(batch)
    faults, counts = Faults(FEATURES, NAMES).of(codes)
    assert [[fault["field"] for fault in row] for row in faults.to_pylist()] == [["a"], ["a"], ["a", "b"]]
    assert counts == {"a missing": 2, "a out_of_bounds": 1, "b out_of_bounds": 1}


@pytest.mark.parametrize(
    ("names", "mapping", "message"),
    [
        (["a", "b", "cc"], MAPPING, r"^no column c: did you mean cc\?; --map größe\n=COLUMN names another$"),
        (["a", "b", "c", "c"], MAPPING, "^2 columns are named c: rename all but one$"),
        (["a", "b", "c"], MAPPING | {"mas": "a"}, r"^--map mas: no such feature; did you mean mass\?$"),
        ([], MAPPING, "^no column a: there is none at all"),
    ],
)
def test_a_table_without_the_columns_is_refused(names: list[str], mapping: dict[str, str], message: str) -> None:
    """Before anything is computed, naming what is missing and what is near."""
    with pytest.raises(TableError, match=message):
        Columns(FEATURES, pa.schema([(name, pa.float64()) for name in names]), mapping, text=False)
