"""`service.score --compare`: the report on both versions' predictions of the rows, from tables of every format."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from support import mixed_bundles
from support.arrow_tables import FORMATS, write
from support.headed_bundles import HEADS, MIXED, MULTI_LABEL, SOFTMAX, publish

from models.feature import to_codes
from service.arrays import Array
from service.comparison.comparison import Comparison
from service.comparison.translation import RowTranslation
from service.inference import sandbox
from service.inference.model import Model
from service.score.__main__ import main

NAMES = ("f1", "f2", "f3")


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_compare_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store for a model named "headed"; the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MENAGERIE_MODEL_STORE", str(tmp_path))
    monkeypatch.setenv("MENAGERIE_MODEL_NAME", "headed")
    return tmp_path


def publish_two(store: Path, heads: Sequence[Any], *, sample: bool = True) -> tuple[Model, Model]:
    """Two versions with other networks; where a fixed one belongs to the heads, both are the same."""
    folders = [publish(store, heads, sample=sample, hidden=units).folder for units in ((4,), (5,))]
    first, second = (Model.open(folder, "litert") for folder in folders)
    return first, second


def random_rows(count: int) -> Array:
    return np.random.default_rng(2).uniform(-2.9, 2.9, (count, 3)).astype(np.float32)


def table_of(rows: Array) -> pa.Table:
    columns = {name: rows[:, i].astype(np.float64) for i, name in enumerate(NAMES)}
    return pa.table({"id": range(len(rows)), **columns})


def compare(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The report that the command prints."""
    assert main(["--compare", "1", "2", "--json", *arguments]) == 0
    report: dict[str, Any] = orjson.loads(capsys.readouterr().out)
    return report


def expected_report(models: tuple[Model, Model], rows: Array) -> Any:
    comparison = Comparison(*models)
    report = comparison.report(comparison.count(rows, *(model.outputs(rows) for model in models)))
    return orjson.loads(orjson.dumps(report))


@pytest.mark.parametrize("sample", [True, False], ids=["sample", "no-sample"])
@pytest.mark.parametrize("heads", [*HEADS.values(), MIXED], ids=[*HEADS, "mixed"])
def test_report_is_that_of_the_predictions(
    store: Path, capsys: pytest.CaptureFixture[str], heads: Sequence[Any], *, sample: bool
) -> None:
    """For every kind of output, to the last digit."""
    models = publish_two(store, heads, sample=sample)
    rows = random_rows(1_000)
    write(table_of(rows), Path("t.parquet"))
    report = compare(capsys, "t.parquet")
    assert report.pop("rejected") == {"rows": 0, "faults": {}}
    assert report == expected_report(models, rows)


def test_default_model_of_a_list_is_compared_under_its_name(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the service serves it with the same settings."""
    publish_two(store, SOFTMAX)
    write(table_of(random_rows(5)), store / "rows.csv")
    monkeypatch.delenv("MENAGERIE_MODEL_NAME")
    monkeypatch.setenv("MENAGERIE_MODELS", "headed,others")
    assert compare(capsys, "rows.csv")["model"] == "headed"


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_report(
    store: Path, capsys: pytest.CaptureFixture[str], name: str, threads: str
) -> None:
    """However the rows come, in any number of batches and files."""
    models = publish_two(store, SOFTMAX)
    rows = random_rows(40_000)
    Path("tables").mkdir()
    for index, part in enumerate(np.split(rows, [100, 30_000])):
        write(table_of(part), Path(f"tables/{index}-{name}"))
    report = compare(capsys, "tables", "--threads", threads)
    del report["rejected"]
    assert report == expected_report(models, rows)


def test_rejected_rows_are_counted(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Values out of bounds, text, and lines that are no rows; other columns' names and signs are those of scoring."""
    models = publish_two(store, SOFTMAX)
    rows = random_rows(500)
    lines = [f"{a};{b};{c}".replace(".", ",") for a, b, c in rows.tolist()]
    bad = ["9;0;0", "0;x;0", "0;0", "0;;0", "-;9;0"]
    Path("t.csv").write_text("\n".join(["first;f2;f3", *lines, *bad]) + "\n")
    report = compare(capsys, "t.csv", "--delimiter", ";", "--decimal", ",", "--map", "f1=first", "--na-values", "-")
    assert report.pop("rejected") == {
        "rows": 5,
        "faults": {
            "first out_of_bounds": 1,
            "first missing": 1,
            "f2 type": 1,
            "f2 missing": 1,
            "f2 out_of_bounds": 1,
            "malformed": 1,
        },
    }
    assert report == expected_report(models, rows)


def test_text_begins_with_the_verdict(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json; the summary on standard error counts the rows."""
    models = publish_two(store, MIXED)
    rows = random_rows(1_000)
    write(table_of(np.vstack([rows, [[9, 0, 0]]])), Path("t.csv"))
    assert main(["--compare", "1", "2", "t.csv"]) == 0
    printed = capsys.readouterr()
    report = expected_report(models, rows)
    assert printed.out.splitlines()[0] == report["verdict"]
    for text in (
        "rows compared    1,000",
        "headed: version 1 serves, version 2 is new",
        "tags (multi-label)",
        "in USD",
    ):
        assert text in printed.out
    assert all(line == line.rstrip() for line in printed.out.splitlines())
    assert "1,001 rows: 1,000 compared, 1 rejected (at " in printed.err
    assert "  1 f1 out_of_bounds" in printed.err


@pytest.mark.parametrize("sample", [True, False], ids=["sample", "no-sample"])
def test_text_of_every_kind(store: Path, capsys: pytest.CaptureFixture[str], *, sample: bool) -> None:
    """Also of a table without rows."""
    for heads in (*HEADS.values(), MIXED):
        shutil.rmtree(store / "headed", ignore_errors=True)
        publish_two(store, heads, sample=sample)
        for count in (0, 300):
            write(table_of(random_rows(count)), Path("t.csv"))
            assert main(["--compare", "1", "2", "t.csv"]) == 0
            printed = capsys.readouterr()
            assert ("No ranges of features: the model was adopted without a sample" in printed.out) != sample
            assert ("too few rows" in printed.out) == (count == 0)


@pytest.fixture
def mixed(store: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Model]:
    """Two versions whose features differ: the second has other bounds, and another order of categories."""
    monkeypatch.setenv("MENAGERIE_MODEL_NAME", "mixed")
    changes: dict[str, dict[str, Any]] = {"bill_length": {"minimum": 35}, "ring": {"categories": (5, 1, 2)}}
    features = [each.model_copy(update=changes.get(each.name, {})) for each in mixed_bundles.FEATURES]
    rows = [row for row in mixed_bundles.raw_rows(500) if row[0] >= 35]
    old = mixed_bundles.publish(store).folder
    new = mixed_bundles.publish(store, features=features, rows=rows).folder
    return Model.open(old, "litert"), Model.open(new, "litert")


def test_each_version_reads_the_values_itself(mixed: tuple[Model, Model], capsys: pytest.CaptureFixture[str]) -> None:
    """Codes of categories differ; a row that only one version rejects is not compared, and is counted.

    The service has only the rows of the version that serves, and translates them: it gives the same report.
    """
    raw = mixed_bundles.raw_rows(2_000, 4)
    columns = dict(zip((feature.name for feature in mixed_bundles.FEATURES), zip(*raw, strict=True), strict=True))
    write(pa.table({name: list(values) for name, values in columns.items()}), Path("t.parquet"))
    report = compare(capsys, "t.parquet")
    serving, shadow = mixed
    is_valid = np.array([row[0] >= 35 for row in raw])
    faults = {"bill_length out_of_bounds (in version 2 only)": int((~is_valid).sum())}
    assert report.pop("rejected") == {"rows": int((~is_valid).sum()), "faults": faults}
    comparison = Comparison(serving, shadow)
    kept = [row for row in raw if row[0] >= 35]
    rows, rows_of_shadow = to_codes(serving.features, kept), to_codes(shadow.features, kept)
    outputs, outputs_of_shadow = serving.outputs(rows), shadow.outputs(rows_of_shadow)
    expected = comparison.report(comparison.count(rows, outputs, outputs_of_shadow))
    assert report == orjson.loads(orjson.dumps(expected))
    all_rows = to_codes(serving.features, raw)
    translated, taken = RowTranslation(serving.features, shadow.features).translate(all_rows)
    np.testing.assert_array_equal(taken, is_valid)
    online = comparison.count(all_rows[taken], serving.outputs(all_rows[taken]), shadow.outputs(translated[taken]))
    np.testing.assert_array_equal(online, comparison.count(rows, outputs, outputs_of_shadow))


ERRORS = [
    ("--compare 1 1 t.csv", "--compare 1 1: name two versions"),
    ("--compare 1 9 t.csv", "headed has no version 9: choose from 1, 2, 3"),
    ("--compare 8 9 t.csv", "headed has no version 8: choose from 1, 2, 3"),
    (
        "--compare 1 3 t.csv",
        "headed/3 has other features, labels or outputs than version 1: only versions with the same",
    ),
    ("--compare 1 t.csv", "argument --compare: 't.csv' is not a positive integer"),
    ("--compare 0 1 t.csv", "argument --compare: '0' is not a positive integer"),
    ("--compare 1 2", "the following arguments are required: INPUT"),
    ("--compare 1 2 t.csv o.csv", "--compare takes no OUTPUT, the report goes to standard output: leave out o.csv"),
    ("--compare 1 2 t.csv --to csv", "--compare writes no predictions: leave out --to"),
    ("--compare 1 2 t.csv --keep id", "--compare writes no predictions: leave out --keep and --only-answers"),
    ("--compare 1 2 t.csv --only-answers", "--compare writes no predictions: leave out --keep and --only-answers"),
    ("--compare 1 2 t.csv --prefix x", "--compare writes no predictions: leave out --prefix"),
    ("--compare 1 2 t.csv --rejects r.csv", "--compare writes no predictions: leave out --rejects"),
    ("--compare 1 2 t.csv --part-rows 5", "--compare writes no predictions: leave out --part-rows"),
    ("t.csv o.csv --json", "--json needs --compare"),
    ("t.csv", "the following arguments are required: OUTPUT"),
    ("--compare 1 2 nowhere.csv", "nowhere.csv is neither a file nor a folder"),
    ("--compare 1 2 t.csv --map f1=g", "no column g: did you mean "),
    ("--compare 1 2 t.csv --map f9=f1", "--map f9: unknown feature; did you mean f"),
]


@pytest.mark.parametrize(("arguments", "message"), ERRORS, ids=[arguments for arguments, _ in ERRORS])
def test_what_cannot_be_compared_is_said_in_one_line(
    store: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    """On standard error, with exit status 2; nothing on standard output."""
    publish_two(store, SOFTMAX)
    publish(store, MULTI_LABEL)
    write(table_of(random_rows(10)), Path("t.csv"))
    try:
        status = main(arguments.split())
    except SystemExit as error:
        status = int(str(error.code))
    printed = capsys.readouterr()
    assert status == 2
    assert message in printed.err.splitlines()[-1]
    assert not printed.out
    assert not Path("o.csv").exists()


@pytest.mark.parametrize(
    "arguments", ["t.csv --quiet o.csv", "--quiet -- t.csv o.csv", "--keep id t.csv --quiet o.csv"]
)
def test_options_may_stand_between_the_paths(store: Path, arguments: str) -> None:
    """Without --compare, as ever."""
    publish_two(store, SOFTMAX)
    write(table_of(random_rows(10)), Path("t.csv"))
    assert main(arguments.split()) == 0
    assert Path("o.csv").exists()


def test_a_store_without_the_model(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message that scoring gives, too."""
    write(table_of(random_rows(10)), Path("t.csv"))
    assert main(["--compare", "1", "2", "t.csv"]) == 2
    assert "no model in " in capsys.readouterr().err
    publish_two(store, SOFTMAX)
    (store / "headed" / "2").rename(store / "headed" / "4")
    assert main(["--compare", "1", "4", "t.csv"]) == 2
    assert "headed/4 has version 2: move it to the folder of its version" in capsys.readouterr().err


def test_overflowing_rows_are_rejected(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for which either network's output is not finite cannot be compared."""
    publish_two(store, HEADS["regression"], sample=False)
    rows = random_rows(200)
    rows[7] = 3e38
    write(table_of(rows), Path("t.parquet"))
    report = compare(capsys, "t.parquet")
    assert report["rejected"] == {"rows": 1, "faults": {"overflow": 1}}
    assert report["rows"] == 199
