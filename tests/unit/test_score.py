"""`python -m service.score`: a table's rows in, answers and rejected rows out."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from support.arrow_tables import FORMATS, animals, read, write
from support.handmade_bundles import Network, make
from support.known_animals import GREAT_DANE, KNOWN, NAMES

from service.inference import sandbox
from service.inference.model import Model
from service.score import served
from service.score.__main__ import main
from service.score.scorer import Plan, Scorer

LABELS = ("cat", "dog", "llama", "lizard")


@pytest.fixture(autouse=True)
def _no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new Python takes longer than all the rest; real runs have it."""
    monkeypatch.setattr(sandbox, "stand", sandbox.pass_over)


def asked(client: FlaskClient, table: pa.Table) -> list[dict[str, Any]]:
    """What `/predict` answers to the same rows."""
    rows = [list(row.values()) for row in table.select(NAMES).to_pylist()]
    return list(client.post("/predict", json={"instances": rows}).get_json()["predictions"])


def bits(value: float) -> bytes:
    return np.float32(value).tobytes()


@pytest.mark.parametrize(
    ("given_name", "wanted"),
    [*zip(FORMATS, ["o.parquet", "o.csv", "o.arrow", "o.arrows", "o.csv"], strict=True), ("t.parquet", "o.parquet")],
)
def test_every_format_gets_the_numbers_of_predict(
    model: Model, client: FlaskClient, tmp_path: Path, given_name: str, wanted: str
) -> None:
    """Whatever goes in and out: `/predict`'s label, warnings and bits, beside the columns that came in."""
    table = animals(model)
    assert main([str(write(table, tmp_path / given_name)), str(tmp_path / wanted), "--quiet"]) == 0
    answers = read(tmp_path / wanted)
    for row, expected, was in zip(answers, asked(client, table), table.to_pylist(), strict=True):
        assert {name: type(value)(row[name]) for name, value in was.items()} == was
        assert (row["label"], row["warnings"]) == (expected["label"], expected["warnings"])
        assert bits(row["confidence"]) == bits(expected["confidence"])
        assert [bits(row[f"probability_{label}"]) for label in LABELS] == [
            bits(expected["probabilities"][label]) for label in LABELS
        ]
        assert (row["model_name"], row["model_version"]) == ("animals", "1")
    assert any(row["warnings"] for row in answers)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([given_name, wanted])


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_rows_that_the_service_refuses_are_set_aside(
    client: FlaskClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """With the service's codes and words, all that came in, and counts; the others are answered."""
    rows: list[list[Any]] = [list(GREAT_DANE) for _ in range(5)]
    rows[1][0], rows[1][7], rows[2][3], rows[3][1] = None, 101.1, -1, float("nan")
    table = pa.table({"id": range(5)} | dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True)))
    assert (
        main([str(write(table, tmp_path / name)), str(tmp_path / "out.arrow"), "--rejects", str(tmp_path / "bad.csv")])
        == 0
    )
    assert [int(row["id"]) for row in read(tmp_path / "out.arrow")] == [0, 4]
    rejected = read(tmp_path / "bad.csv")
    assert [row["id"] for row in rejected] == [1, 2, 3]
    named = {name: value for name, value in zip(NAMES, rows[1], strict=True) if value is not None}
    problem = client.post("/predict", json={"features": named}).get_json()
    assert [(fault["code"], fault["message"]) for fault in rejected[0]["faults"]] == [
        (fault["code"], fault["message"]) for fault in problem["errors"]
    ]
    assert [fault["field"] for fault in rejected[0]["faults"]] == ["body_mass_kg", "body_temperature_c"]
    said = capsys.readouterr().err
    assert "5 rows: 2 answered, 3 rejected" in said
    assert "  1 body_mass_kg missing\n" in said


def test_lines_that_are_no_rows_are_set_aside(tmp_path: Path) -> None:
    """Lines of a CSV with too few values or too many are told of once, as they stand, whichever part they fall into."""
    good = ",".join(map(str, GREAT_DANE))
    lines = [",".join(NAMES), "1,2", good, f"{good},9", good, good, "only", good, '"a ""b""', ""]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert main([str(tmp_path / "t.csv"), str(tmp_path / "out"), "--part-rows", "2", "--quiet"]) == 0
    assert [len(read(path)) for path in sorted((tmp_path / "out").glob("t-*"))] == [2, 2, 0]
    told = [row["faults"][0]["message"] for row in read(tmp_path / "out.rejects")]
    head = "values in a line under 8 names"
    assert told == [f"2 {head}: 1,2", f"9 {head}: {good},9", f"1 {head}: only", f'1 {head}: "a ""b""']


def test_a_row_that_the_network_overflows_at_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One such row does not end a job of a billion; its neighbours are answered."""
    network = Network([np.array([[1e38, 1e38], [-1e38, 1e38]])], [np.zeros(2)], ["linear"])
    monkeypatch.setattr("service.inference.model._self_test", lambda *_: None)  # its golden rows are no better
    made = make(tmp_path / "store", network)
    table = pa.record_batch({"f1": [0.0, 3.0, 1.0, 3.0], "f2": [0.0, 3.0, 0.0, 0.0]})
    scored = Scorer(served.load(made.folder, "litert", "handmade"), table.schema, Plan()).score(table)
    assert (len(scored.answered), len(scored.rejected)) == (3, 1)
    assert scored.rejected.to_pylist()[0]["faults"][0]["code"] == "overflow"
    assert scored.faults == {"overflow": 1}


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_table_is_an_empty_answer(model: Model, tmp_path: Path, name: str) -> None:
    """Columns without rows are columns without rows."""
    write(animals(model).slice(0, 0), tmp_path / name)
    for output in ("out.parquet", "out"):
        assert main([str(tmp_path / name), str(tmp_path / output), "--quiet", "--to", "parquet"]) == 0
        assert pq.read_table(tmp_path / output).num_rows == 0
    assert "label" in pq.read_schema(tmp_path / "out.parquet").names


def test_columns_are_chosen_and_named(model: Model, tmp_path: Path) -> None:
    """Features under other names; of the table's own columns those that are wanted; answers under a prefix."""
    table = animals(model).rename_columns(["id", "label", *NAMES[1:]])
    write(table, tmp_path / "t.parquet")
    line = [str(tmp_path / "t.parquet"), str(tmp_path / "o.csv"), "--quiet", "--map", "body_mass_kg=label"]
    assert main([*line, "--keep", "id", "--prefix", "its_"]) == 0
    answers = read(tmp_path / "o.csv")
    assert list(answers[0])[:3] == ["id", "its_label", "its_confidence"]
    assert [row["its_label"] for row in answers[:4]] == list(KNOWN)
    assert main([*line, "--only-answers"]) == 0
    assert list(read(tmp_path / "o.csv")[0])[:2] == ["label", "confidence"]


def test_rejected_rows_of_an_earlier_run_do_not_stay(model: Model, tmp_path: Path) -> None:
    """A file that is scored anew has the rejected rows of now beside it, or none."""
    table = animals(model)
    line = [str(tmp_path / "t.parquet"), str(tmp_path / "o.parquet"), "--quiet"]
    for rows, rejected in ((table.set_column(1, NAMES[0], pa.array([-1.0] * 100)), True), (table, False)):
        write(rows, tmp_path / "t.parquet")
        assert main(line) == 0
        assert (tmp_path / "o.rejects.parquet").exists() == rejected


def test_repeated_values_are_written_once(model: Model, tmp_path: Path) -> None:
    """Parquet looks for them where there are some, in a table's own columns too, and nowhere else: it takes long."""
    table = animals(model, 1000)
    kinds = {
        "day": pa.array(["one", "another"] * 500),
        "none": pa.nulls(1000),
        "view": pa.nulls(1000, pa.string_view()),
    }
    for name, column in kinds.items():
        table = table.append_column(name, column)
    assert main([str(write(table, tmp_path / "t.arrow")), str(tmp_path / "out.parquet"), "--quiet"]) == 0
    group = pq.read_metadata(tmp_path / "out.parquet").row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    once = {column.path_in_schema for column in columns if column.has_dictionary_page}
    assert once >= {"day", "label", "model_name", "model_version"}
    assert not once & {"id", "confidence", *NAMES}
