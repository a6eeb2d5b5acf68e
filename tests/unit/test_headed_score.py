"""Tables scored with models of every kind of output: the numbers of the model, to the bit, in every format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arrow_tables import FORMATS, read, write
from support.headed_bundles import BINARY, HEADS, MIXED, MULTI_LABEL, REGRESSION, SEVERAL, publish

from models.feature import Feature
from models.signature import Head
from service.arrays import Array
from service.http.errors import UnacceptableError
from service.inference import sandbox
from service.inference.model import Model
from service.inference.validation import Validator
from service.score.__main__ import main
from service.score.arrow_operator import ArrowOperator, output_schema
from service.score.columns import FeatureColumns
from service.score.faults import FaultReporter
from service.score.model_loader import manifest_sha256
from service.score.options import ColumnOptions
from service.score.scorer import Scorer

ALL_HEADS = pytest.mark.parametrize("heads", [*HEADS.values(), MIXED], ids=[*HEADS, "mixed"])
FEATURES = ("f1", "f2", "f3")


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_score_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


def open_model(store: Path, heads: Sequence[Head], *, sample: bool = True) -> Model:
    return Model.open(publish(store, heads, sample=sample).folder, "litert")


def random_table(count: int = 150) -> pa.Table:
    """Rows of float32, which a CSV file and a Parquet file hold alike."""
    rows = np.random.default_rng(5).uniform(-2.9, 2.9, (count, 3)).astype(np.float32).astype(np.float64)
    return pa.table({"id": range(count)} | dict(zip(FEATURES, rows.T, strict=True)))


def rows_of(table: pa.Table) -> Array:
    return np.column_stack([table[name].to_numpy() for name in FEATURES]).astype(np.float32)


def expected_columns(model: Model, outputs: Array) -> list[dict[str, Any]]:
    """What a scored table has for each row of the model's outputs, except warnings and the model's name."""
    expected = []
    for index in range(len(outputs)):
        columns: dict[str, Any] = {}
        for each in model.heads:
            head = each.head
            prefix = "" if len(model.heads) == 1 else f"{head.name}_"
            values = dict(zip(head.column_names, each.of(outputs)[index], strict=True))
            if head.kind == "classification":
                best = max(values, key=lambda label: values[label])
                if head.threshold is not None:
                    best = head.labels[int(values[head.labels[1]] > np.float32(head.threshold))]
                columns |= {f"{prefix}label": best, f"{prefix}confidence": values[best]}
            elif head.kind == "multi_label":
                threshold = np.float32(head.threshold or 0.5)
                columns[f"{prefix}labels"] = [label for label, value in values.items() if value > threshold]
            noun = "value" if head.kind == "regression" else "probability"
            columns |= {f"{prefix}{noun}_{name}": value for name, value in values.items()}
        expected.append(columns)
    return expected


@pytest.mark.parametrize("sample", [True, False], ids=["sample", "no sample"])
@ALL_HEADS
def test_columns_have_what_the_model_predicts(tmp_path: Path, heads: Sequence[Head], *, sample: bool) -> None:
    """Numbers in float32, in the order of the outputs; then the warnings and the model."""
    model, table = open_model(tmp_path, heads, sample=sample), random_table()
    (batch,) = table.to_batches()
    scored = Scorer(model, batch.schema, ColumnOptions(keep=["id"])).score(batch)
    assert len(scored.rejected) == 0
    expected = expected_columns(model, model.outputs(rows_of(table)))
    names = ["id", *expected[0], "warnings", "model_name", "model_version"]
    assert scored.answered.schema.names == names
    for name in names:
        if name.startswith(("confidence", "probability_", "value_")):
            assert scored.answered.schema.field(name).type == pa.float32()
    for row, predicted in zip(scored.answered.to_pylist(), expected, strict=True):
        for name, value in predicted.items():
            assert row[name] == (float(value) if isinstance(value, np.float32) else value)
    assert {row["model_name"] for row in scored.answered.to_pylist()} == {"headed"}


def test_labels_follow_the_thresholds(tmp_path: Path) -> None:
    """The predicted label may be the less probable one; a row may have several labels, or none."""
    model = open_model(tmp_path, MIXED)
    (batch,) = random_table().to_batches()
    rows = Scorer(model, batch.schema, ColumnOptions()).score(batch).answered.to_pylist()
    assert any(row["sold_label"] == "yes" and row["sold_confidence"] < 0.5 for row in rows)
    assert {len(row["tags_labels"]) for row in rows} == {0, 1, 2}


@pytest.mark.parametrize("input_name", FORMATS)
@pytest.mark.parametrize("heads", [BINARY, REGRESSION, MULTI_LABEL, SEVERAL, MIXED])
def test_every_format_has_every_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: Sequence[Head], input_name: str
) -> None:
    """A list of labels is JSON in a CSV file, as the warnings are."""
    model, table = open_model(tmp_path / "store", heads), random_table()
    monkeypatch.setenv("MENAGERIE_MODEL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MENAGERIE_MODEL_NAME", "headed")
    output = tmp_path / f"out{input_name.removeprefix('table')}"
    assert main([str(write(table, tmp_path / input_name)), str(output), "--quiet"]) == 0
    expected = expected_columns(model, model.outputs(rows_of(table)))
    for row, predicted in zip(read(output), expected, strict=True):
        for name, value in predicted.items():
            if isinstance(value, np.float32):
                assert np.float32(row[name]) == value
            else:
                assert row[name] == value


def test_the_prefix_precedes_the_name_of_the_output(tmp_path: Path) -> None:
    """And a column that the table has already is refused."""
    model, table = open_model(tmp_path, MIXED), random_table()
    scorer = Scorer(model, table.schema, ColumnOptions(keep=[], prefix="my_"))
    assert scorer.answered_schema.names[:2] == ["my_price_value_price", "my_kind_label"]
    assert all(name.startswith("my_") for name in scorer.answered_schema.names)


@ALL_HEADS
def test_the_operator_of_spark_has_the_same_columns(tmp_path: Path, heads: Sequence[Head]) -> None:
    """In plain types; rejected rows have nulls in them."""
    model, table = open_model(tmp_path, heads), random_table()
    ids = pa.array([*range(149), 149], pa.int64())
    f1 = pa.concat_arrays([table["f1"].combine_chunks().slice(0, 149), pa.array([1e30])])
    batch = pa.record_batch(
        {"id": ids, "f1": f1, "f2": table["f2"].combine_chunks(), "f3": table["f3"].combine_chunks()}
    )
    sha256 = manifest_sha256(model)
    operator = ArrowOperator(model.bundle.folder, "litert", "headed", sha256, batch.schema, ColumnOptions())
    answered, rejected = operator([batch])
    schema = output_schema(Scorer(model, batch.schema, ColumnOptions()))
    assert answered.schema == rejected.schema == schema
    assert not any(pa.types.is_dictionary(field.type) for field in schema)
    expected = expected_columns(model, model.outputs(rows_of(table)[:149]))
    for row, predicted in zip(answered.to_pylist(), expected, strict=True):
        for name, value in predicted.items():
            assert row[name] == (float(value) if isinstance(value, np.float32) else value)
    (row,) = rejected.to_pylist()
    assert {row[name] for name in expected[0]} == {None}
    assert row["faults"][0]["code"] == "out_of_bounds"


UNBOUNDED = [Feature(name=name, unit="m", minimum=None, maximum=None) for name in FEATURES]
largest = float(np.finfo(np.float32).max)
numbers = st.none() | st.floats() | st.sampled_from([largest, -largest, np.nextafter(largest, np.inf), 1e300, -1e39])


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6))
def test_features_without_bounds_take_any_float32(rows: list[tuple[float | None, ...]]) -> None:
    """As the service does: the same values, and the same faults for any other."""
    validator = Validator(UNBOUNDED, max_rows=10, max_errors=100)
    batch = pa.record_batch([pa.array(column, pa.float64()) for column in zip(*rows, strict=True)], names=FEATURES)
    values, codes, invalid = FeatureColumns(UNBOUNDED, batch.schema, {}, all_text=False).extract(batch)
    faults, _ = FaultReporter(UNBOUNDED, FEATURES).report(codes, invalid)
    for row, found, code, reported in zip(rows, values, codes, faults.to_pylist(), strict=True):
        given_values = {name: value for name, value in zip(FEATURES, row, strict=True) if value is not None}
        try:
            expected = validator.validate_rows([given_values], "")[0]
        except UnacceptableError as error:
            assert [(each.code, each.message) for each in error.faults] == [
                (each["code"], each["message"]) for each in reported
            ]
        else:
            assert not code.any()
            assert expected.tobytes() == found.tobytes()


def test_nothing_is_out_of_range_without_a_sample(tmp_path: Path) -> None:
    """Large numbers are scored without a warning, in a table of text too."""
    model = open_model(tmp_path, REGRESSION, sample=False)
    batch = pa.record_batch([pa.array(["1e30", "-3e38", "3.5e38", "nan"])] * 3, names=FEATURES)
    scored = Scorer(model, batch.schema, ColumnOptions(), all_text=True).score(batch)
    assert len(scored.answered) + len(scored.rejected) == 4
    assert all(row["warnings"] == [] for row in scored.answered.to_pylist())
    codes = [fault["code"] for row in scored.rejected.to_pylist() for fault in row["faults"]]
    assert codes[-6:] == ["not_finite"] * 6
