"""Tables with text, integers that are codes, truth values and gaps: as `/predict` has them, in every format."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.arrow_tables import FORMATS, read, write
from support.mixed_bundles import FEATURES, ISLANDS, publish, raw_rows

from models.feature import Feature, Hashing, UnknownCategoryError
from models.names import GAP_TEXTS
from models.number_format import NumberFormat
from service.app import create_app
from service.http.errors import UnacceptableError
from service.inference import sandbox
from service.inference.mixed_validation import make_validator
from service.inference.model import Model
from service.score.__main__ import main
from service.score.arrow_operator import ArrowOperator, output_schema
from service.score.columns import FeatureColumns
from service.score.errors import TableError
from service.score.faults import FaultReporter
from service.score.model_loader import manifest_sha256
from service.score.options import ColumnOptions
from service.score.scorer import Scorer
from service.settings import Settings

NAMES = [feature.name for feature in FEATURES]
TYPES = [
    pa.float64(),
    pa.float64(),
    pa.int64(),
    pa.string(),
    pa.string(),
    pa.string(),
    pa.int64(),
    pa.bool_(),
    pa.string(),
]
DICTIONARIES = {name: pa.dictionary(pa.int8(), pa.string()) for name in ("island", "sex", "colony", "observer")} | {
    "ring": pa.dictionary(pa.uint16(), pa.int32())
}
SCHEMA = pa.schema([("id", pa.int64()), *zip(NAMES, TYPES, strict=True)])
DICTIONARY_SCHEMA = pa.schema([field.with_type(DICTIONARIES.get(field.name, field.type)) for field in SCHEMA])
validator = make_validator(FEATURES, max_rows=1000, max_errors=1000)


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_score_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the model ``mixed``."""
    folder = tmp_path_factory.mktemp("store")
    publish(folder)
    return folder


@pytest.fixture(scope="module")
def mixed(store: Path) -> Model:
    return Model.open(next((store / "mixed").glob("[0-9]*")), "litert")


@pytest.fixture
def settings(store: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a service, and of a job, with the model ``mixed``."""
    monkeypatch.setenv("MENAGERIE_MODEL_STORE", str(store))
    monkeypatch.setenv("MENAGERIE_MODEL_NAME", "mixed")
    return Settings.load()


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()


def invalid_rows() -> list[tuple[Any, ...]]:
    """Rows with something wrong in one value or in several, which every format can hold."""
    wrong: list[dict[str, Any]] = [
        {"island": "biscoe"},
        {"island": "Atlantis"},
        {"island": None},
        {"sex": "mail"},
        {"ring": 3},
        {"ring": None},
        {"is_breeding": None},
        {"year": None},
        {"year": 1999},
        {"bill_length": None},
        {"body_mass": 10.0, "island": "dream", "ring": -1},
        {"observer": None},
    ]
    return [
        tuple(each.get(name, value) for name, value in zip(NAMES, row, strict=True))
        for each, row in zip(wrong, raw_rows(len(wrong), seed=8), strict=True)
    ]


def to_table(rows: list[tuple[Any, ...]], schema: pa.Schema = SCHEMA) -> pa.Table:
    return pa.Table.from_pylist(
        [{"id": index} | dict(zip(NAMES, row, strict=True)) for index, row in enumerate(rows)], schema
    )


@pytest.mark.parametrize("schema", [SCHEMA, DICTIONARY_SCHEMA], ids=["plain", "dictionaries"])
@pytest.mark.parametrize("input_name", FORMATS)
def test_every_format_has_what_the_service_answers(
    client: FlaskClient, tmp_path: Path, input_name: str, schema: pa.Schema
) -> None:
    """Labels and numbers to the bit, warnings, and for invalid rows the codes and messages."""
    rows = [*raw_rows(150, seed=4), *invalid_rows()]
    table = to_table(rows, SCHEMA if "csv" in input_name else schema)
    output = tmp_path / f"out{input_name.removeprefix('table')}"
    assert main([str(write(table, tmp_path / input_name)), str(output), "--quiet"]) == 0
    answered = {int(row["id"]): row for row in read(output)}
    rejected = {int(row["id"]): row for row in read(Path(str(output).replace("out.", "out.rejects.")))}
    assert sorted([*answered, *rejected]) == list(range(len(rows)))
    for index, row in enumerate(rows):
        present = {name: value for name, value in zip(NAMES, row, strict=True) if value is not None}
        response = client.post("/predict", json={"features": present})
        body = response.get_json()
        if response.status_code == 200:
            for label, probability in body["probabilities"].items():
                assert np.float32(answered[index][f"probability_{label}"]) == np.float32(probability)
            assert answered[index]["label"] == body["label"]
            assert answered[index]["warnings"] == body["warnings"]
        else:
            assert [(each["code"], each["message"]) for each in rejected[index]["faults"]] == [
                (each["code"], each["message"]) for each in body["errors"]
            ]
    assert len(rejected) == len(invalid_rows())
    if "csv" not in input_name:
        assert [answered[index]["colony"] for index in range(150)] == [row[5] for row in rows[:150]]


def validate(features: tuple[Feature, ...], row: dict[str, Any]) -> tuple[bytes | None, list[tuple[str, str]]]:
    """A row's codes, or the code and message of each of its faults, by the service's validator."""
    present = {name: value for name, value in row.items() if value is not None}
    try:
        rows = make_validator(features, max_rows=1, max_errors=99).validate_rows([present], "")
    except UnacceptableError as error:
        return None, [(each.code, each.message) for each in error.faults]
    return rows.tobytes(), []


def extract(
    features: tuple[Feature, ...], batch: pa.RecordBatch, **options: Any
) -> list[tuple[bytes | None, list[tuple[str, str]]]]:
    """The same for each row of a table."""
    rows, codes, invalid = FeatureColumns(features, batch.schema, {}, **{"all_text": False} | options).extract(batch)
    faults, _ = FaultReporter(features, batch.schema.names).report(codes, invalid)
    return [
        (None, [(each["code"], each["message"]) for each in reported]) if code.any() else (row.tobytes(), [])
        for row, code, reported in zip(rows, codes, faults.to_pylist(), strict=True)
    ]


def category(categories: tuple[Any, ...] = (), **fields: Any) -> Feature:
    return Feature(name="it", kind="category", minimum=None, maximum=None, categories=categories, **fields)


TEXT = category(("a", "b", "", " c", "ü"))
ROUND = category((1, 2, 2**53 + 1))
KINDS = [
    TEXT,
    category(("a", "b"), allow_other=True, default="b"),
    category(("a",), allow_missing=True),
    category(hashing=Hashing(bins=7)),
    category(hashing=Hashing(bins=7, salt=(1, 2)), allow_missing=True),
    ROUND,
    category((1, 2), allow_other=True, allow_missing=True),
    category(hashing=Hashing(bins=5, type="integer"), default=3),
    category((True,), allow_missing=True),
    category((False, True)),
    Feature(name="it", minimum=-1, maximum=2.5, allow_missing=True),
    Feature(name="it", minimum=None, maximum=None, default=7),
    Feature(name="it", kind="integer", minimum=0, maximum=0),
    Feature(name="it", kind="integer", minimum=-3, maximum=300, allow_missing=True),
    Feature(name="it", kind="integer", minimum=-3.5, maximum=2.5, default=2),
    Feature(name="it", kind="integer", minimum=None, maximum=None),
]
texts = st.sampled_from(["a", "b", "", " c", "c", "A", "NA", "ü", "u\u0308"]) | st.text(max_size=3)
small = st.integers(-2, 4)
doubles = st.sampled_from([1.0, 2.0, 0.5, 300.25, 2.0000000001, -0.0, 1e300, 2.0**53, 0.1 + 0.2]) | st.floats(
    allow_nan=False, allow_infinity=False
)
text_columns = [
    (dtype, texts)
    for dtype in (
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.uint32(), pa.large_string()),
    )
]
number_columns: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *((dtype, small) for dtype in (pa.int8(), pa.int16(), pa.int32())),
    *((dtype, st.integers(0, 4)) for dtype in (pa.uint8(), pa.uint16(), pa.uint32())),
    (pa.int64(), small | st.just(2**53 + 1) | st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 4) | st.just(2**53 + 1) | st.just(2**64 - 1)),
    (pa.float64(), doubles),
    (pa.float32(), st.sampled_from([1.0, 2.0, 0.5, 3.25]) | st.floats(width=32, allow_nan=False, allow_infinity=False)),
    (pa.dictionary(pa.int8(), pa.int64()), small),
]
BY_TYPE = {str: text_columns, int: number_columns, bool: [(pa.bool_(), st.booleans())]}


@st.composite
def columns(draw: st.DrawFn) -> tuple[Feature, pa.Array]:
    """A feature and a column of a type that it can have, which may be a slice of a longer one."""
    feature = draw(st.sampled_from(KINDS))
    types = BY_TYPE[feature.category_type] if feature.is_category else number_columns + BY_TYPE[bool] + text_columns
    dtype, values = draw(st.sampled_from([*types, (pa.null(), st.none())]))
    column = pa.array(draw(st.lists(st.none() | values, min_size=1, max_size=8)), dtype)
    return feature, column[draw(st.integers(0, len(column) - 1)) :]


@given(columns())
def test_columns_are_validated_as_the_service_validates_values(drawn: tuple[Feature, pa.Array]) -> None:
    """For every kind of feature and type of column, the same codes to the bit, and the same faults."""
    feature, column = drawn
    found = extract((feature,), pa.record_batch([column], names=["it"]))
    for value, (codes, faults) in zip(column.to_pylist(), found, strict=True):
        expected, expected_faults = validate((feature,), {"it": value})
        assert faults == expected_faults
        if column.type == pa.float32() and not feature.is_category and expected is not None:
            continue  # bounds and values are float32's own, as in tensors
        assert codes == expected


@given(st.sampled_from([each for each in KINDS if each.is_category]), st.data())
def test_categories_have_the_codes_of_the_feature(feature: Feature, data: st.DataObject) -> None:
    """Value by value, whatever the rest of the column is."""
    dtype, values = data.draw(st.sampled_from(BY_TYPE[feature.category_type]))
    column = pa.array(data.draw(st.lists(st.none() | values, min_size=1, max_size=8)), dtype)
    batch = pa.record_batch([column], names=["it"])
    rows, faults, _ = FeatureColumns((feature,), batch.schema, {}, all_text=False).extract(batch)
    for value, code, fault in zip(column.to_pylist(), rows[:, 0], faults[:, 0], strict=True):
        try:
            expected = np.float32(feature.to_code(value))
        except (TypeError, UnknownCategoryError):
            assert fault
        else:
            assert not fault
            assert code.tobytes() == expected.tobytes()


def test_what_a_dictionary_may_hold() -> None:
    """Nulls, values twice, values that no row has, and more values than the column has rows."""
    for values, indices, expected in (
        (["b", None, "b", "unknown"], [0, 1, 2, None], [1, np.nan, 1, np.nan]),
        (["unknown", "b", "a", None, "b"], [2, 1], [0, 1]),
        ([f"unknown {index}" for index in range(127)] + ["b"], [127], [1]),
    ):
        column = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(values))
        feature = category(("a", "b"), allow_missing=True)
        batch = pa.record_batch([column], names=["it"])
        rows, faults, _ = FeatureColumns((feature,), batch.schema, {}, all_text=False).extract(batch)
        assert not faults.any()
        np.testing.assert_array_equal(rows[:, 0], np.array(expected, np.float32))


@pytest.mark.parametrize("dtype", [pa.float16(), pa.float32(), pa.float64(), pa.decimal128(20, 2)])
def test_integers_may_be_stored_as_other_numbers(dtype: pa.DataType) -> None:
    """As pandas stores a column with gaps; NaN is one, and a fraction is no integer."""
    values = [Decimal(1), Decimal("2.5"), None] if pa.types.is_decimal(dtype) else [1.0, 2.5, float("nan")]
    feature = category((1, 2), allow_missing=True)
    batch = pa.record_batch([pa.array(values, dtype, from_pandas=False)], names=["it"])
    (valid, _), (_, faults), (missing, _) = extract((feature,), batch)
    assert valid == np.float32(0).tobytes()
    assert faults == validate((feature,), {"it": 2.5})[1] == [("type", "it must be 1 or 2, not 2.5")] or faults
    assert np.isnan(np.frombuffer(missing or b"", np.float32)).all()


@pytest.mark.parametrize("feature", [each for each in KINDS if not each.is_plain], ids=lambda each: each.kind)
def test_nan_counts_as_null(feature: Feature) -> None:
    """Where a feature is more than a number, as in a table that it is trained on."""
    if feature.is_category and feature.category_type is not int:
        return
    batch = pa.record_batch([pa.array([float("nan"), None], from_pandas=False)], names=["it"])
    of_nan, of_null = extract((feature,), batch)
    assert of_nan == of_null


CELLS = {
    "a category": (TEXT, "a", "a"),
    "spaces around it": (TEXT, "  b\t", "b"),
    "another form of Unicode": (TEXT, "u\u0308", "ü"),
    "a vocabulary with spaces": (TEXT, " c", " c"),
    "a vocabulary with an empty text": (TEXT, "", ""),
    "a vocabulary with a marker": (category(("NA", "FR"), allow_missing=True), "NA", "NA"),
    "empty and required": (category(("a",)), "", None),
    "empty and allowed": (category(("a",), allow_missing=True), "", None),
    "empty and default": (category(("a", "b"), default="b"), " ", None),
    "a marker": (category(("a",), allow_missing=True), "null", None),
    "a marker before other": (category(("a",), allow_other=True, allow_missing=True), "N/A", None),
    "a marker before hashing": (category(hashing=Hashing(bins=7)), "NA", None),
    "unknown": (TEXT, "A", "A"),
    "other": (category(("a",), allow_other=True), "b", "b"),
    "hashing without spaces": (category(hashing=Hashing(bins=99)), " b ", "b"),
    "an integer": (ROUND, "1", 1),
    "an integer with a sign": (ROUND, " +2 ", 2),
    "an integer as a number": (ROUND, "1.0", 1.0),
    "an integer beyond 2^53": (ROUND, "9007199254740993", 2**53 + 1),
    "an integer of very many digits": (ROUND, "1" * 5000, float("inf")),
    "an unknown integer": (ROUND, "-4", -4),
    "a fraction": (ROUND, "1.5", 1.5),
    "no integer": (ROUND, "one", "one"),
    "no integer at all": (ROUND, "NaN", None),
    "a hashed integer": (category(hashing=Hashing(bins=97, type="integer")), "9007199254740993", 2**53 + 1),
    "a hashed integer that is a truth value": (category(hashing=Hashing(bins=97, type="integer")), "true", True),
    "a truth value": (category((False, True)), "TRUE", True),
    "another truth value": (category((False, True)), " False", False),
    "a truth value as a number": (category((False, True)), "1", "1"),
    "no truth value": (category((False, True)), "maybe", "maybe"),
    "a missing truth value": (category((False, True), allow_missing=True), "", None),
    "a missing number": (Feature(name="it", minimum=0, maximum=1, allow_missing=True), "None", None),
    "a default number": (Feature(name="it", minimum=0, maximum=1, default=0.5), "", None),
    "a number that is no text": (Feature(name="it", minimum=0, maximum=1, allow_missing=True), "x", "x"),
    "a missing integer": (Feature(name="it", kind="integer", minimum=0, maximum=9), "NaN", None),
    "a whole number": (Feature(name="it", kind="integer", minimum=0, maximum=9), "3.0", 3),
    "no whole number": (Feature(name="it", kind="integer", minimum=0, maximum=9), "3.5", 3.5),
    "almost a whole number": (Feature(name="it", kind="integer", minimum=0, maximum=9), "3.0000000001", 3.0000000001),
}


@pytest.mark.parametrize(("feature", "cell", "value"), CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("other", ["a", "1", "1.0", "", "x y"])
def test_how_a_cell_is_read(feature: Feature, cell: str, value: Any, other: str) -> None:
    """In a table of text; the other cells of its column do not matter."""
    batch = pa.record_batch([pa.array([other, cell, cell])], names=["it"])
    found = extract((feature,), batch, all_text=True)
    assert found[1] == found[2] == validate((feature,), {"it": value})


@pytest.mark.parametrize(("text", "value"), [("1.000,0", 1000), ("2,5", 2.5), ("-1", -1)])
def test_integers_in_another_number_format(text: str, value: float) -> None:
    """As the options --decimal and --thousands have it."""
    feature = category((1000, 2))
    batch = pa.record_batch([pa.array([text])], names=["it"])
    found = extract((feature,), batch, all_text=True, number_format=NumberFormat(",", "."))
    assert found == [validate((feature,), {"it": value})]


def test_text_beside_decimal_commas(mixed: Model, tmp_path: Path, settings: Settings) -> None:
    """Text keeps its commas and quotes, and the table's own columns are copied unchanged."""
    row = ["39,1", "3.750,5", "2007", " Biscoe ", "NA", '"ümläut ""quoted"""', "5", "True", "a,b", " note, 1,5 "]
    path = tmp_path / "t.csv"
    path.write_text(";".join([*NAMES, "note"]) + "\n" + ";".join(row) + "\n")
    command = [str(path), str(tmp_path / "o.csv"), "--quiet", "--delimiter", ";", "--decimal", ",", "--thousands", "."]
    assert main(command) == 0
    (scored,) = read(tmp_path / "o.csv")
    raw = (39.1, 3750.5, 2007, "Biscoe", None, 'ümläut "quoted"', 5, True, "a,b")
    codes = np.array([[feature.to_code(value) for feature, value in zip(FEATURES, raw, strict=True)]], np.float32)
    assert scored["confidence"] == pytest.approx(float(mixed.outputs(codes).max()), rel=1e-6)
    assert (scored["island"], scored["note"]) == (" Biscoe ", " note, 1,5 ")
    assert settings.model_name == "mixed"


@pytest.mark.parametrize(
    ("feature", "dtype", "target"),
    [
        ("island", pa.int64(), "string"),
        ("island", pa.float32(), "string"),
        ("island", pa.bool_(), "string"),
        ("island", pa.date32(), "string"),
        ("island", pa.binary(), "string"),
        ("island", pa.list_(pa.string()), "string"),
        ("observer", pa.dictionary(pa.int8(), pa.int64()), "string"),
        ("ring", pa.string(), "int64"),
        ("ring", pa.bool_(), "int64"),
        ("ring", pa.dictionary(pa.int8(), pa.string()), "int64"),
        ("ring", pa.timestamp("s"), "int64"),
        ("is_breeding", pa.int8(), "bool"),
        ("is_breeding", pa.string_view(), "bool"),
    ],
)
def test_a_column_that_cannot_have_the_categories_is_refused(
    mixed: Model, feature: str, dtype: pa.DataType, target: str
) -> None:
    """Before anything is computed; the error names column and remedy."""
    schema = pa.schema([(f"my {name}" if name == feature else name, t) for name, t in zip(NAMES, TYPES, strict=True)])
    schema = schema.set(NAMES.index(feature), pa.field(f"my {feature}", dtype))
    with pytest.raises(TableError) as refused:
        Scorer(mixed, schema, ColumnOptions({feature: f"my {feature}"}))
    message = str(refused.value)
    assert message.startswith(f"column my {feature} has the type {dtype}, but {feature} is a category of ")
    assert message.endswith(f"convert the column to {target}, or choose another one with --map {feature}=COLUMN")


@pytest.mark.parametrize("na_values", [(), ("?",)])
def test_text_that_is_not_utf_8_ends_the_job(mixed: Model, na_values: tuple[str, ...]) -> None:
    """Arrow does not look whether a Parquet file's strings are; a file of text has been checked before."""
    table = to_table(raw_rows(1)).to_batches()[0]
    buffers = pa.array([b"\xff\xfe"]).buffers()
    column = pa.Array.from_buffers(pa.string(), 1, buffers)
    batch = table.set_column(table.schema.get_field_index("island"), "island", column)
    with pytest.raises(TableError, match="column island has text that is not UTF-8"):
        Scorer(mixed, batch.schema, ColumnOptions(na_values=na_values)).score(batch)


def test_unknown_words_are_counted_by_column(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each rejected row has its own word in the message; the summary has one line for all of them."""
    rows = [(*row[:3], f"isle {index}", *row[4:]) for index, row in enumerate(raw_rows(300))]
    rows[7] = (*rows[7][:3], "x" * 5000, *rows[7][4:])
    assert main([str(write(to_table(rows), tmp_path / "t.parquet")), str(tmp_path / "o.csv")]) == 0
    assert "  300 island unknown_category\n" in capsys.readouterr().err
    rejected = read(tmp_path / "o.rejects.csv")
    messages = [row["faults"][0]["message"] for row in rejected]
    assert messages[1].startswith('island must be one of "Biscoe", "Dream", "Torgersen", not "isle 1"')
    assert len(messages[7]) < 300
    assert rejected[7]["island"] == "x" * 5000
    assert settings.model_name == "mixed"


KEPT = {
    "dictionary of texts": pa.array(["x", None, "y"]).dictionary_encode(),
    "dictionary of integers": pa.array([7, None, 8]).dictionary_encode(),
    "dictionary of truth values": pa.array([True, None, False]).dictionary_encode(),
    "large dictionary": pa.array(["x", None, "y"], pa.large_string()).dictionary_encode(),
    "large text": pa.array(["x", None, "y"], pa.large_string()),
    "view of text": pa.array(["x", None, "y"], pa.string_view()),
    "list of dictionaries": pa.array([["x"], None, ["y", "x"]], pa.list_(pa.string())),
}


@pytest.mark.parametrize("output_name", ["o.csv", "o.parquet", "o.arrow", "o.arrows"])
@pytest.mark.parametrize("column", KEPT.values(), ids=KEPT)
def test_kept_columns_of_any_type_are_copied(
    settings: Settings, tmp_path: Path, column: pa.Array, output_name: str
) -> None:
    """To the predictions, and to the rejected rows."""
    rows = raw_rows(3)
    rows[2] = (*rows[2][:3], "nowhere", *rows[2][4:])
    table = to_table(rows, DICTIONARY_SCHEMA).append_column("kept", column)
    pq.write_table(table, tmp_path / "t.parquet")
    assert main([str(tmp_path / "t.parquet"), str(tmp_path / output_name), "--quiet"]) == 0
    found = [
        row["kept"] for name in (output_name, output_name.replace("o.", "o.rejects.")) for row in read(tmp_path / name)
    ]
    expected = column.to_pylist()
    if output_name == "o.csv":
        expected = (
            [json.dumps(value).replace(" ", "") for value in expected] if "list" in str(column.type) else expected
        )
        found, expected = [value or None for value in found], [value or None for value in expected]
    assert found == expected
    assert settings.model_name == "mixed"


@pytest.mark.parametrize("schema", [SCHEMA, DICTIONARY_SCHEMA], ids=["plain", "dictionaries"])
def test_the_operator_of_spark(mixed: Model, schema: pa.Schema) -> None:
    """Strings, dictionaries and nulls come out in plain types, each row once."""
    (batch,) = to_table([*raw_rows(40), *invalid_rows()], schema).to_batches()
    operator = ArrowOperator(
        mixed.bundle.folder, "litert", "mixed", manifest_sha256(mixed), batch.schema, ColumnOptions()
    )
    answered, rejected = operator([batch])
    expected = output_schema(Scorer(mixed, batch.schema, ColumnOptions()))
    assert answered.schema == rejected.schema == expected
    assert not any(pa.types.is_dictionary(field.type) for field in expected)
    found = sorted([*answered.to_pylist(), *rejected.to_pylist()], key=lambda row: int(row["id"]))
    assert [{name: row[name] for name in batch.schema.names} for row in found] == batch.to_pylist()
    assert [row["outcome"] for row in found] == ["answered"] * 40 + ["rejected"] * len(invalid_rows())


def test_a_stopped_job_is_resumed(settings: Settings, tmp_path: Path) -> None:
    """With the dictionaries of the rows that are left."""
    write(to_table(raw_rows(100), DICTIONARY_SCHEMA), tmp_path / "t.parquet")
    command = [str(tmp_path / "t.parquet"), str(tmp_path / "o"), "--quiet", "--part-rows", "30"]
    assert main(command) == 0
    expected = read(tmp_path / "o")
    journal = tmp_path / "o" / "_score.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
    for part in ("t-00002.parquet", "t-00003.parquet"):
        (tmp_path / "o" / part).unlink()
    assert main(command) == 0
    assert read(tmp_path / "o") == expected
    assert settings.model_name == "mixed"


def test_a_slice_of_a_long_dictionary_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only values that the rows have are looked up, each once."""
    looked_up: list[Any] = []
    original = Feature.to_code

    def to_code(self: Feature, value: Any) -> float:
        looked_up.append(value)
        return original(self, value)

    monkeypatch.setattr(Feature, "to_code", to_code)
    values = [f"word {index}" for index in range(50_000)] + list(ISLANDS)
    indices = np.tile([50_000, 50_001], 500).astype(np.int32)
    column = pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(values))
    batch = pa.record_batch([column], names=["it"])
    rows, faults, _ = FeatureColumns((category(ISLANDS),), batch.schema, {}, all_text=False).extract(batch)
    assert not faults.any()
    assert rows[:2, 0].tolist() == [0, 1]
    assert sorted(filter(None, looked_up)) == ["Biscoe", "Dream"]


def test_gaps_are_those_of_training() -> None:
    """In each of their spellings."""
    feature = category(("a",), allow_other=True, allow_missing=True)
    for text in GAP_TEXTS:
        ((codes, _),) = extract((feature,), pa.record_batch([pa.array([f" {text}"])], names=["it"]), all_text=True)
        assert np.isnan(np.frombuffer(codes or b"", np.float32)).all(), text


GAP: tuple[bytes, list[Any]] = (np.array([np.nan], np.float32).tobytes(), [])
AGE = Feature(name="it", kind="number", minimum=0, maximum=99, allow_missing=True)


@pytest.mark.parametrize(
    ("feature", "cells"),
    [
        (category(("a", "b"), allow_missing=True), pa.array([" ? ", "UNKNOWN", "unknown", "-999"])),
        (category(("a", "unknown"), allow_missing=True), pa.array(["unknown"])),
        (category(("a",), allow_missing=True), pa.array(["?"]).dictionary_encode()),
        (category(("a",), allow_missing=True), pa.array(["?"], pa.large_string())),
        (category(("a",), allow_missing=True), pa.array(["?"], pa.string_view())),
        (category((1, 2), allow_missing=True), pa.array([-999, -999])),
        (category((1, 2), allow_missing=True), pa.array([-999.0]).dictionary_encode()),
        (AGE, pa.array([-999], pa.int16())),
        (AGE, pa.array([-999], pa.float32())),
        (AGE, pa.array([Decimal("-999.00")])),
    ],
)
def test_other_values_can_stand_for_missing_ones(feature: Feature, cells: pa.Array) -> None:
    """In columns of every type, a text in any of its spellings, and a number however it is written."""
    batch = pa.record_batch([cells], names=["it"])
    assert extract((feature,), batch, na_values=["?", "unknown", "-999"]) == [GAP] * len(cells)
    assert extract((feature,), batch) != [GAP] * len(cells)


@pytest.mark.parametrize("feature", [AGE, category((1, 2), allow_missing=True)])
def test_numbers_in_text_can_stand_for_missing_values(feature: Feature) -> None:
    batch = pa.record_batch([pa.array(["?", " -999", "-999.0", "-999,00"])], names=["it"])
    options: dict[str, Any] = {"all_text": True, "na_values": ["?", "-999"]}
    assert extract((feature,), batch, **options)[:3] == [GAP] * 3
    assert extract((feature,), batch, number_format=NumberFormat(","), **options)[3] == GAP


def test_a_required_value_is_missing_where_a_marker_stands() -> None:
    """Of a plain number too; all other text stays what it was."""
    feature = Feature(name="it", minimum=0, maximum=9)
    batch = pa.record_batch([pa.array(["?", "1", "!"])], names=["it"])
    (_, faults), (row, _), (_, others) = extract((feature,), batch, all_text=True, na_values=["?"])
    assert [code for code, _ in faults] == ["missing"]
    assert np.frombuffer(row or b"", np.float32) == [1]
    assert [code for code, _ in others] == ["type"]


def test_the_command_line_names_missing_values(settings: Settings, tmp_path: Path) -> None:
    """As training does: the rows are answered, and their cells are copied as they are."""
    rows = [
        tuple("?" if name == "sex" else value for name, value in zip(NAMES, row, strict=True)) for row in raw_rows(5)
    ]
    path = write(to_table(rows), tmp_path / "t.csv")
    command = [str(path), str(tmp_path / "out.csv"), "--quiet"]
    assert main(command) == 0
    assert len(read(tmp_path / "out.rejects.csv")) == 5
    assert main([*command, "--na-values", "?"]) == 0
    assert [row["sex"] for row in read(tmp_path / "out.csv")] == ["?"] * 5
    assert settings.model_name == "mixed"
