"""`python -m service.score`: the content of its output and of its rejected rows."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flask.testing import FlaskClient
from support.arrow_tables import FORMATS, animals, read, write
from support.handmade_bundles import Network, publish
from support.known_animals import GREAT_DANE, KNOWN, NAMES

from service.inference import sandbox
from service.inference.model import Model
from service.score.__main__ import main
from service.score.options import ColumnOptions
from service.score.scorer import Scorer

LABELS = ("cat", "dog", "llama", "lizard")


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_score_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


def post_rows(client: FlaskClient, table: pa.Table) -> list[dict[str, Any]]:
    """The predictions of `/predict` for the rows of a table."""
    rows = [list(row.values()) for row in table.select(NAMES).to_pylist()]
    return list(client.post("/predict", json={"instances": rows}).get_json()["predictions"])


def float32_bytes(value: float) -> bytes:
    return np.float32(value).tobytes()


@pytest.mark.parametrize(
    ("input_name", "output_name"),
    [
        *zip(FORMATS, ["o.parquet", "o.csv", "o.arrow", "o.arrows", "o.csv"], strict=True),
        ("t.parquet", "o.parquet"),
        ("t.parquet", "o.csv.gz"),
        ("t.csv", "O.ARROWS"),
    ],
)
def test_every_format_has_the_predictions_of_the_service(
    model: Model, client: FlaskClient, tmp_path: Path, input_name: str, output_name: str
) -> None:
    """Label, warnings and numbers are those of `/predict`, to the bit; the table's own columns are unchanged."""
    table = animals(model)
    assert main([str(write(table, tmp_path / input_name)), str(tmp_path / output_name), "--quiet"]) == 0
    output = read(tmp_path / output_name)
    for row, expected, original in zip(output, post_rows(client, table), table.to_pylist(), strict=True):
        assert {name: type(value)(row[name]) for name, value in original.items()} == original
        assert (row["label"], row["warnings"]) == (expected["label"], expected["warnings"])
        assert float32_bytes(row["confidence"]) == float32_bytes(expected["confidence"])
        assert [float32_bytes(row[f"probability_{label}"]) for label in LABELS] == [
            float32_bytes(expected["probabilities"][label]) for label in LABELS
        ]
        assert (row["model_name"], row["model_version"]) == ("animals", "1")
    assert any(row["warnings"] for row in output)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([input_name, output_name])


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_invalid_rows_are_rejected_with_the_faults_of_the_service(
    client: FlaskClient, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Each with its own values and the codes and messages of `/predict`, and counted; the other rows are answered."""
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
    summary = capsys.readouterr().err
    assert "5 rows: 2 predicted, 3 rejected" in summary
    assert "  1 body_mass_kg missing\n" in summary


def test_malformed_lines_are_rejected(tmp_path: Path) -> None:
    """A CSV line with too few values or too many is reported once and verbatim, in whichever part it lies."""
    good = ",".join(map(str, GREAT_DANE))
    lines = [",".join(NAMES), "1,2", good, f"{good},9", good, good, "only", good, '"a ""b"""', ""]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert main([str(tmp_path / "t.csv"), str(tmp_path / "out"), "--part-rows", "2", "--quiet"]) == 0
    assert [len(read(path)) for path in sorted((tmp_path / "out").glob("t-*"))] == [2, 2, 0]
    messages = [row["faults"][0]["message"] for row in read(tmp_path / "out.rejects")]
    counts = {"1,2": 2, f"{good},9": 9, "only": 1, '"a ""b"""': 1}
    assert messages == [f"the line has {count} values for 8 columns: {text}" for text, count in counts.items()]


def test_a_row_that_the_network_overflows_on_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a row does not end the job; the rows around it are answered."""
    network = Network([np.array([[1e38, 1e38], [-1e38, 1e38]])], [np.zeros(2)], ["linear"])
    monkeypatch.setattr(
        "service.inference.model.require_golden_outputs", lambda *_: None
    )  # it overflows on its golden rows too
    made = publish(tmp_path / "store", network)
    table = pa.record_batch({"f1": [0.0, 3.0, 1.0, 3.0], "f2": [0.0, 3.0, 0.0, 0.0]})
    scored = Scorer(Model.open(made.folder, "litert", "handmade"), table.schema, ColumnOptions()).score(table)
    assert (len(scored.answered), len(scored.rejected)) == (3, 1)
    assert scored.rejected.to_pylist()[0]["faults"][0]["code"] == "overflow"
    assert scored.fault_counts == {"overflow": 1}


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_table_has_an_empty_output(model: Model, tmp_path: Path, name: str) -> None:
    """It has all columns and no rows, in every format, as one file and as a folder of parts."""
    write(animals(model).slice(0, 0), tmp_path / name)
    for output in ("out.parquet", "out"):
        assert main([str(tmp_path / name), str(tmp_path / output), "--quiet", "--to", "parquet"]) == 0
        assert pq.read_table(tmp_path / output).num_rows == 0
    assert "label" in pq.read_schema(tmp_path / "out.parquet").names


def test_columns_are_selected_and_renamed(model: Model, tmp_path: Path) -> None:
    """`--map` names a feature's column, `--keep` selects the table's own, `--prefix` renames the predictions'."""
    table = animals(model).rename_columns(["id", "label", *NAMES[1:]])
    write(table, tmp_path / "t.parquet")
    command = [str(tmp_path / "t.parquet"), str(tmp_path / "o.csv"), "--quiet", "--map", "body_mass_kg=label"]
    assert main([*command, "--keep", "id", "--prefix", "its_"]) == 0
    output = read(tmp_path / "o.csv")
    assert list(output[0])[:3] == ["id", "its_label", "its_confidence"]
    assert [row["its_label"] for row in output[:4]] == list(KNOWN)
    assert main([*command, "--only-answers"]) == 0
    assert list(read(tmp_path / "o.csv")[0])[:2] == ["label", "confidence"]


def test_a_compressed_table_is_the_same_in_every_run(model: Model, tmp_path: Path) -> None:
    """It has no time of its own; rejected rows are compressed as the predictions are."""
    rows = animals(model, 5).set_column(1, NAMES[0], pa.array([1.0, -1.0] + 3 * [2.0]))
    command = [str(write(rows, tmp_path / "t.parquet")), str(tmp_path / "O.CSV.GZ"), "--quiet"]
    contents = []
    for _ in range(2):
        assert main(command) == 0
        contents.append([(tmp_path / name).read_bytes() for name in ("O.CSV.GZ", "O.rejects.CSV.GZ")])
    assert contents[0] == contents[1]
    assert [len(gzip.decompress(content).splitlines()) for content in contents[0]] == [1 + 4, 1 + 1]


def test_rejected_rows_on_standard_output(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A file with the name - is not touched."""
    monkeypatch.chdir(tmp_path)
    Path("-").touch()
    write(animals(model), Path("t.csv"))
    assert main(["t.csv", "o.csv", "--quiet", "--rejects", "-"]) == 0
    assert Path("-").exists()
    assert capfdbinary.readouterr().out == b""


def test_rejected_rows_of_an_earlier_run_are_removed(model: Model, tmp_path: Path) -> None:
    """A second run without rejected rows deletes the rejects file of the first."""
    table = animals(model)
    command = [str(tmp_path / "t.parquet"), str(tmp_path / "o.parquet"), "--quiet"]
    for rows, has_rejects in ((table.set_column(1, NAMES[0], pa.array([-1.0] * 100)), True), (table, False)):
        write(rows, tmp_path / "t.parquet")
        assert main(command) == 0
        assert (tmp_path / "o.rejects.parquet").exists() == has_rejects


def test_parquet_columns_with_repeated_values_have_dictionaries(model: Model, tmp_path: Path) -> None:
    """Only those have them, because building one takes long; the table's own columns are treated alike."""
    table = animals(model, 1000)
    added_columns = {
        "day": pa.array(["one", "another"] * 500),
        "none": pa.nulls(1000),
        "view": pa.nulls(1000, pa.string_view()),
    }
    for name, column in added_columns.items():
        table = table.append_column(name, column)
    assert main([str(write(table, tmp_path / "t.arrow")), str(tmp_path / "out.parquet"), "--quiet"]) == 0
    group = pq.read_metadata(tmp_path / "out.parquet").row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    with_dictionary = {column.path_in_schema for column in columns if column.has_dictionary_page}
    assert with_dictionary >= {"day", "label", "model_name", "model_version"}
    assert not with_dictionary & {"id", "confidence", *NAMES}
