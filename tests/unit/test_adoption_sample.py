"""Samples of users' models, and what adoption computes from them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import r2_score, roc_auc_score
from support.tables import write

from models.adoption.evaluation import HeadEvaluation, evaluate, find_constant_outputs
from models.adoption.heads import DecidedHead
from models.adoption.options import AdoptionOptions
from models.adoption.sample import Sample, SampleTable
from models.adoption.statistics import (
    compute_golden_rows,
    compute_reference,
    group_rows,
    select_background_rows,
    select_golden_inputs,
    spread_golden_inputs,
)
from models.errors import DataError
from models.feature import Feature
from models.reference_statistics import ALL_ROWS
from models.signature import Head, Target
from models.tables.schema import Schema


def read(path: Path, features: list[str], schema: Path | None = None, **options: Any) -> Sample:
    """Read these columns and, if there is one, the label column y."""
    table = SampleTable(AdoptionOptions(table=path, schema=schema, **options), path, lambda _: None)
    labels = {"out": ["y"]} if "y" in table.names else {}
    return table.read(features, labels, Schema(schema, features, path, ["price"]))


def test_a_table_without_labels_is_read_as_training_reads_one(tmp_path: Path) -> None:
    """Semicolons and decimal commas are detected, a column of row numbers without a name is no candidate."""
    path = write(tmp_path, ";a;b\n0;1,5;10\n1;2,25;20\n")
    table = SampleTable(AdoptionOptions(table=path), path, lambda _: None)
    assert table.names == ["a", "b"]
    assert read(path, ["b", "a"]).rows.tolist() == [[10, 1.5], [20, 2.25]]


def test_parquet_with_truth_values(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"a": [True, False], "b": [1, 2], "y": ["no", "yes"], "__index_level_0__": [0, 1]})
    pq.write_table(table, path)
    sample = read(path, ["a", "b"])
    assert sample.rows.tolist() == [[1, 1], [0, 2]]
    assert sample.labels["out"][0].texts == ("no", "yes")
    assert sample.labels["out"][0].numbers is None


@pytest.mark.parametrize(
    ("values", "texts", "numbers"),
    [
        ("0 1 0", ("0", "1"), [0, 1, 0]),
        ("1.5 2 3", ("1.5", "2", "3"), [1.5, 2, 3]),
        ("True False True", ("False", "True"), [1, 0, 1]),
        ("no yes no", ("no", "yes"), None),
    ],
)
def test_right_answers_are_text_and_numbers(
    tmp_path: Path, values: str, texts: tuple[str, ...], numbers: list[float] | None
) -> None:
    path = write(tmp_path, "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values.split())))
    (column,) = read(path, ["a"]).labels["out"]
    assert tuple(sorted(column.texts)) == texts
    assert [column.texts[code] for code in column.codes] == values.split()
    assert column.numbers is None if numbers is None else column.numbers is not None
    if numbers and column.numbers is not None:
        assert column.numbers.tolist() == numbers


def test_bounds_and_units(tmp_path: Path) -> None:
    """Bounds as in training; those of a constant column are about it."""
    path = write(tmp_path, "a,b,c,d\n1,7,-2,true\n3,7,2,false\n")
    schema = write(tmp_path, '[features.a]\nunit = "kg"\nmaximum = 9\n[targets.price]\nunit = "USD"\n', "s.toml")
    sample = read(path, ["a", "b", "c", "d"], schema)
    bounds = [(feature.name, feature.unit, feature.minimum, feature.maximum) for feature in sample.features]
    assert bounds == [("a", "kg", 0, 9), ("b", "", 0, 14), ("c", "", -6, 6), ("d", "", 0, 2)]


def test_rows_with_gaps_are_left_out_if_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b,y\n1,2,u\n,3,v\n4,5,\n6,7,w\n")
    with pytest.raises(DataError) as refused:
        read(path, ["a", "b"])
    assert "--drop-rows-with-gaps" in str(refused.value)
    assert "--drop " not in str(refused.value)
    sample = read(path, ["a", "b"], drop_rows_with_gaps=True)
    assert sample.rows.tolist() == [[1, 2], [6, 7]]
    assert sample.labels["out"][0].texts == ("u", "w")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\nx,1\ny,2\n", "column 'a' is text ('x' and 'y'): write it as the numbers that the model was trained on"),
        ("a,b\n5 %,1\n6,2\n", "'5 %' is a percentage: remove the percent sign"),
        ("a,b\n1,2\n3,inf\n", "'inf' is an infinite number: replace it"),
        ("a,b,a\n1,2,3\n4,5,6\n", "two columns are named 'a': rename one"),
        ("1.5,2.5\n3.5,4.5\n", "has no column names: its first line, '1.5 | 2.5', looks like a row of data"),
        ("a,b\n", "has a header but no rows"),
    ],
)
def test_a_column_that_the_model_needs_cannot_be_left_out(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        read(write(tmp_path, content), ["a", "b"])
    assert str(refused.value).endswith(message) or message in str(refused.value)
    assert "leave" not in str(refused.value)


def test_a_schema_without_a_table(tmp_path: Path) -> None:
    """Both bounds of a feature or none."""
    path = write(tmp_path, "[features.a]\nminimum = 1\nmaximum = 2\n[features.b]\nminimum = 1\n", "s.toml")
    schema = Schema(path, ["a", "b", "c"], None)
    assert schema.describe_feature("a") == Feature(name="a", minimum=1, maximum=2)
    assert schema.describe_feature("c") == Feature(name="c", minimum=None, maximum=None)
    with pytest.raises(DataError, match="must have both a minimum and a greater maximum"):
        schema.describe_feature("b")
    with pytest.raises(DataError, match="describes 'a', which is not a feature of the table: use x"):
        Schema(path, ["x"], None)


RNG = np.random.default_rng(0)
PROBABILITY = RNG.uniform(0, 1, 500)
IS_CHURNED = (RNG.uniform(0, 1, 500) < PROBABILITY).astype(np.intp)
CHURN = Head(name="churned", kind="classification", layer="", labels=("no", "yes"), threshold=0.3)
TAGS = Head(name="tags", kind="multi_label", layer="", labels=("warm", "wet"))
PRICE = Head(name="price", kind="regression", layer="", targets=(Target(name="price", unit="USD"),))
COLUMNS = np.column_stack([1 - PROBABILITY, PROBABILITY])


def test_metrics_of_two_labels_count_with_the_threshold() -> None:
    metrics = HeadEvaluation(DecidedHead(CHURN, "sigmoid", IS_CHURNED), COLUMNS).summarize()
    predicted = PROBABILITY > 0.3
    assert metrics["accuracy"] == pytest.approx((predicted == IS_CHURNED).mean(), abs=1e-4)
    assert metrics["recall"]["yes"] == pytest.approx(predicted[IS_CHURNED == 1].mean(), abs=1e-4)
    assert metrics["calibration"].startswith("Its probabilities are")


def test_metrics_of_independent_labels() -> None:
    truth = np.column_stack([IS_CHURNED, 1 - IS_CHURNED])
    metrics = HeadEvaluation(DecidedHead(TAGS, "sigmoid", truth), COLUMNS[:, ::-1]).summarize()["labels"]
    predicted = PROBABILITY > 0.5
    assert metrics["warm"]["precision"] == pytest.approx(IS_CHURNED[predicted].mean(), abs=1e-4)
    assert metrics["warm"]["recall"] == pytest.approx(predicted[IS_CHURNED == 1].mean(), abs=1e-4)
    assert metrics["wet"]["share"] == pytest.approx(1 - IS_CHURNED.mean(), abs=1e-4)


def test_metrics_of_a_quantity() -> None:
    truth, predicted = PROBABILITY[:, None] * 1e4, PROBABILITY[:, None] * 1e4 + RNG.normal(0, 500, (500, 1))
    metrics = HeadEvaluation(DecidedHead(PRICE, "linear", truth), predicted).summarize()["targets"]["price"]
    assert metrics["r2"] == pytest.approx(r2_score(truth, predicted), abs=1e-4)
    assert metrics["mae"] == pytest.approx(np.abs(truth - predicted).mean(), rel=1e-3)
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.square(truth - predicted).mean()), rel=1e-3)
    assert metrics["unit"] == "USD"


def test_a_model_that_knows_nothing_is_noticed() -> None:
    """By the area under the ROC curve, which does not depend on how rare a label is, and by R2."""
    shuffled = RNG.permutation(IS_CHURNED)
    area = roc_auc_score(shuffled, PROBABILITY)
    (warning,) = HeadEvaluation(DecidedHead(CHURN, "sigmoid", shuffled), COLUMNS).find_warnings()
    assert f"no better than chance (mean area under the ROC curve {area:.2f})" in warning
    rare = np.where(PROBABILITY > 0.98, 1, 0).astype(np.intp)
    assert not [*HeadEvaluation(DecidedHead(CHURN, "sigmoid", rare), COLUMNS * 0.01).find_warnings()]
    values = RNG.permutation(PROBABILITY)[:, None]
    (warning,) = HeadEvaluation(DecidedHead(PRICE, "linear", values), PROBABILITY[:, None]).find_warnings()
    assert warning.startswith("price is predicted no better than by its mean (R2 is -")


def test_outputs_that_hardly_differ_are_noticed() -> None:
    """A quantity relative to its size."""
    rows = RNG.normal(0, 1, (500, 2)).astype(np.float32)
    decided = [DecidedHead(CHURN, "sigmoid", None), DecidedHead(PRICE, "linear", None)]
    constant = [np.tile([0.3, 0.7], (500, 1)), 4e6 + PROBABILITY[:, None]]
    warnings = [*find_constant_outputs(decided, constant, rows)]
    assert [each.split(" is ")[0] for each in warnings] == ["output churned", "output price"]
    assert "(no 0.3, yes 0.7)" in warnings[0]
    assert not [*find_constant_outputs(decided, [COLUMNS, PROBABILITY[:, None] / 1e6], rows)]
    assert not [*find_constant_outputs(decided, constant, np.ones_like(rows))]
    assert not evaluate(decided, constant)


def test_reference_statistics_of_several_outputs() -> None:
    features = [Feature(name=name, minimum=None, maximum=None) for name in ("a", "b")]
    rows = RNG.normal(0, 1, (500, 2)).astype(np.float32)
    decided = [DecidedHead(CHURN, "sigmoid", IS_CHURNED), DecidedHead(PRICE, "linear", None)]
    outputs = np.column_stack([COLUMNS, PROBABILITY])
    reference = compute_reference(features, rows, ["churned.no", "churned.yes", "price"], decided, outputs)
    assert reference.labels["churned.yes"] == pytest.approx((PROBABILITY > 0.3).mean())
    assert set(reference.targets) == {"price"}
    assert set(reference.ranges) == {ALL_ROWS}
    alone = compute_reference(features, rows, ["no", "yes"], decided[:1], COLUMNS)
    assert alone.ranges["yes"]["a"][0] == rows[IS_CHURNED == 1, 0].min()
    few = np.zeros(500, np.intp)
    few[:3] = 1
    scarce = compute_reference(features, rows, ["no", "yes"], [DecidedHead(CHURN, "sigmoid", few)], COLUMNS)
    assert set(scarce.ranges) == {ALL_ROWS}


@pytest.mark.parametrize("rows", [1, 40, 5000])
def test_golden_and_background_rows(rows: int) -> None:
    """There are some for any number of rows; rows for which the network overflows are left out."""
    sample = RNG.normal(0, 1, (rows, 2)).astype(np.float32)
    features = [Feature(name=name, minimum=-9, maximum=9) for name in "ab"]
    groups = group_rows([DecidedHead(PRICE, "linear", None)], sample[:, :1].astype(np.float64))
    inputs = select_golden_inputs(features, sample, groups)
    golden = compute_golden_rows(inputs, lambda values: {"out": np.where(values > 8, np.float32(np.inf), values)})
    assert len(inputs) >= 6
    assert len(golden) == len(inputs) - 1
    assert len(select_background_rows(sample, groups)) == min(rows, 100)


def test_golden_rows_without_a_sample() -> None:
    """Random ones, within the bounds that a schema gives."""
    features = [Feature(name="a", minimum=100, maximum=200), Feature(name="b", minimum=None, maximum=None)]
    rows = RNG.normal(0, 1, (64, 2)).astype(np.float32)
    inputs = spread_golden_inputs(features, rows)
    assert sorted(inputs[:, 0])[:: len(inputs) - 1] == [100, 200]
    assert inputs[:, 1].tolist() == rows[: len(inputs), 1].tolist()
    with pytest.raises(DataError, match="no finite numbers for any row"):
        compute_golden_rows(inputs, lambda values: {"out": values * np.float32(np.nan)})


def test_a_title_above_the_names_is_refused(tmp_path: Path) -> None:
    """Where an option names a column, so that it is known what the line of names has."""
    path = write(tmp_path, "Sizes of 2026,\na,y\n1,2\n")
    with pytest.raises(DataError, match="is a title and not the column names"):
        SampleTable(AdoptionOptions(table=path, label=["y"]), path, lambda _: None)
