"""`python -m service.score`: tables in, answers and rejected rows out."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from animals import GREAT_DANE, KNOWN, NAMES
from flask.testing import FlaskClient
from handmade import Network, make
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv
from serving import ROOT, environment

from service import trial
from service.model import Model
from service.score import journal, served
from service.score.__main__ import main
from service.score.journal import Count
from service.score.parts import pieces
from service.score.progress import Progress
from service.score.reading import Chunk
from service.score.scorer import Plan, Scorer

COMMAND = [sys.executable, "-m", "service.score"]
LABELS = ("cat", "dog", "llama", "lizard")
FORMATS = ["table.csv", "table.csv.gz", "table.parquet", "table.arrow", "table.arrows"]


@pytest.fixture(autouse=True)
def _no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new Python takes longer than all the rest; real runs have it."""
    monkeypatch.setattr(trial, "stand", trial.pass_over)


def animals(model: Model, count: int = 100) -> pa.Table:
    """Individuals with a number each: those that are known, and such as the model was trained on, blurred."""
    rng = np.random.default_rng(3)
    rows = np.array(model.manifest.background)[rng.integers(0, len(model.manifest.background), count)]
    rows = np.concatenate([list(KNOWN.values()), rows * rng.uniform(0.9, 1.1, rows.shape)])[:count]
    rows = rows.clip([f.minimum for f in model.features], [f.maximum for f in model.features])
    return pa.table({"id": range(count)} | dict(zip(NAMES, rows.T, strict=True)))


def write(table: pa.Table, path: Path) -> Path:
    """The table as a file of the format that its name says."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=37)
    elif path.suffix in {".arrow", ".arrows"}:
        opener = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
        with opener(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=23)
    else:
        file = io.BytesIO()
        csv.write_csv(table, file)
        path.write_bytes(gzip.compress(file.getvalue()) if path.suffix == ".gz" else file.getvalue())
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """A file's rows, or those of all files in a folder, in order."""
    if path.is_dir():
        return [row for part in sorted(path.rglob("[!._]*.*")) for row in read(part)]
    if path.suffix == ".parquet":
        table = pq.read_table(path)
    elif path.suffix == ".csv":
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={"model_version": pa.string()}))
        return [_parsed(row) for row in table.to_pylist()]
    else:
        opener = pa.ipc.open_file if path.suffix == ".arrow" else pa.ipc.open_stream
        with opener(path.read_bytes()) as reader:
            table = reader.read_all()
    return list(table.to_pylist())


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: json.loads(row[name]) for name in ("warnings", "faults") if name in row}


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


def test_rejected_rows_of_an_earlier_run_do_not_stay(model: Model, tmp_path: Path) -> None:
    """A file that is scored anew has the rejected rows of now beside it, or none."""
    table = animals(model)
    line = [str(tmp_path / "t.parquet"), str(tmp_path / "o.parquet"), "--quiet"]
    for rows, rejected in ((table.set_column(1, NAMES[0], pa.array([-1.0] * 100)), True), (table, False)):
        write(rows, tmp_path / "t.parquet")
        assert main(line) == 0
        assert (tmp_path / "o.rejects.parquet").exists() == rejected


def test_a_row_that_the_network_overflows_at_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One such row does not end a job of a billion; its neighbours are answered."""
    network = Network([np.array([[1e38, 1e38], [-1e38, 1e38]])], [np.zeros(2)], ["linear"])
    monkeypatch.setattr("service.model._self_test", lambda *_: None)  # its golden rows are no better
    made = make(tmp_path / "store", network)
    table = pa.record_batch({"f1": [0.0, 3.0, 1.0, 3.0], "f2": [0.0, 3.0, 0.0, 0.0]})
    scored = Scorer(served.load(made.folder, "litert", "handmade"), table.schema, Plan()).score(table)
    assert (len(scored.answered), len(scored.rejected)) == (3, 1)
    assert scored.rejected.to_pylist()[0]["faults"][0]["code"] == "overflow"
    assert scored.faults == {"overflow": 1}


@given(st.lists(st.integers(1, 9), max_size=8), st.integers(1, 7), st.data())
def test_cutting_into_parts_loses_nothing(lengths: list[int], size: int, data: st.DataObject) -> None:
    """However the rows come: every part but the last has its size, and each row and line is in one part."""
    total = sum(lengths)
    places = sorted(data.draw(st.lists(st.integers(0, max(0, total - 1)), max_size=5))) if total else []
    chunks, first = [], 0
    for length in lengths:
        mine = [(place - first, str(place)) for place in places if first <= place < first + length]
        chunks.append(Chunk(pa.record_batch({"n": range(first, first + length)}), mine))
        first += length
    cut = list(pieces(chunks, 0, size))
    assert [n for piece in cut for n in piece.rows.column("n").to_pylist()] == list(range(total))
    assert all(n // size == piece.part for piece in cut for n in piece.rows.column("n").to_pylist())
    assert sorted(int(said) for piece in cut for said in piece.malformed) == places
    assert all(int(said) // size == piece.part for piece in cut for said in piece.malformed)


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_that_was_killed_goes_on_where_it_was(
    model: Model, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two steps, the same command makes the same files, and computes nothing twice."""
    table = write(animals(model), tmp_path / name)
    if name == "table.csv":  # with a line that is no row in each part
        lines = table.read_text().splitlines()
        table.write_text(
            "\n".join(part for at, one in enumerate(lines) for part in ([one, "?"] if at % 20 == 7 else [one]))
        )
    line = [str(table), "OUT", "--part-rows", "30", "--quiet", "--prefix", "its_", "--threads", "1"]
    whole, resumed = str(tmp_path / "whole"), tmp_path / "resumed"
    assert main([part.replace("OUT", whole) for part in line]) == 0

    line[1] = str(resumed)
    calls: list[int] = []
    usual = Scorer.score

    def score(self: Scorer, batch: pa.RecordBatch) -> Any:
        calls.append(len(batch))
        if len(calls) == attempt:
            raise KeyboardInterrupt
        return usual(self, batch)

    monkeypatch.setattr(Scorer, "score", score)
    for attempt in range(1, 50):  # noqa: B007 (`score` looks at it) one step further each time
        calls.clear()
        if main(line) == 0:
            break
    assert attempt > 2
    assert 0 < sum(calls) < 100
    parts = sorted(path.name for path in Path(whole).glob("[!._]*"))
    assert parts == sorted(path.name for path in resumed.glob("[!._]*"))
    assert all((resumed / part).read_bytes() == (Path(whole) / part).read_bytes() for part in parts)
    rejects = sorted(path.name for path in Path(f"{whole}.rejects").iterdir())
    assert rejects == sorted(path.name for path in Path(f"{resumed}.rejects").iterdir())
    assert all(
        (Path(f"{whole}.rejects") / name).read_bytes() == (Path(f"{resumed}.rejects") / name).read_bytes()
        for name in rejects
    )
    assert (resumed / "_SUCCESS").read_text() == (Path(whole) / "_SUCCESS").read_text()
    calls.clear()
    assert main(line) == 0
    assert not calls


def test_a_table_streams_from_input_to_output(model: Model, tmp_path: Path) -> None:
    """Answers come out while rows still come in, in order, and whoever reads no further ends it without noise."""
    table = animals(model, 40_000)
    file = io.BytesIO()
    csv.write_csv(table, file)
    line = [*COMMAND, "-", "-", "--from", "csv", "--only-answers", "--rejects", str(tmp_path / "bad.csv")]
    with subprocess.Popen(
        line, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        stdin = process.stdin
        assert stdin
        assert process.stdout
        assert process.stderr

        def feed() -> None:
            with suppress(BrokenPipeError):
                while True:
                    stdin.write(file.getvalue().partition(b"\n")[2])

        stdin.write(file.getvalue())
        feeder = threading.Thread(target=feed)
        feeder.start()
        assert process.stdout.readline().startswith(b'"label","confidence",')
        assert [json.loads(process.stdout.readline().split(b",")[0]) for _ in KNOWN] == list(KNOWN)
        process.stdout.close()
        assert process.wait(60) == 2
        feeder.join(60)
        assert process.stderr.read().endswith(b"whoever read the answers left\n")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_there_is_whole(model: Model, tmp_path: Path, sent: signal.Signals) -> None:
    """Stopped at any moment, a file of before stays as it was, and a folder has whole parts only."""
    table = write(animals(model, 100_000), tmp_path / "t.csv")
    (tmp_path / "out.parquet").write_bytes(b"before")
    one = [*COMMAND, str(table), str(tmp_path / "out.parquet")]
    many = [*COMMAND, str(table), str(tmp_path / "out"), "--part-rows", "4000", "--to", "parquet"]
    for line, begun in ((one, ".out.parquet.writing"), (many, "out/t-00003.parquet")):
        with subprocess.Popen(line, cwd=ROOT, env=environment(), stderr=subprocess.PIPE) as process:
            while not (tmp_path / begun).exists():
                assert process.poll() is None
                time.sleep(0.001)
            process.send_signal(sent)
            process.wait(60)
    assert (tmp_path / "out.parquet").read_bytes() == b"before"
    parts = sorted((tmp_path / "out").glob("t-*"))
    assert 4 <= len(parts) < 25
    assert {pq.read_metadata(part).num_rows for part in parts} == {4000}
    subprocess.run(many, cwd=ROOT, env=environment(), check=True, capture_output=True)
    assert pq.read_table(tmp_path / "out", columns=["id"])["id"].to_pylist() == list(map(str, range(100_000)))
    assert not list(tmp_path.rglob("out/.*"))


def test_memory_does_not_grow_with_the_table(
    model: Model, tmp_path: Path, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten times the rows in the same memory; with --long, a thousand times, 10^8 of them, made while they are read."""
    block = animals(model, 50_000).to_batches()[0]
    most = {}
    for count in (10**5, 10**6, 10**7, 10**8) if long else (10**5, 10**6):
        line = [*COMMAND, "-", "-", "--from", "arrow", "--rejects", str(tmp_path / "bad.arrow")]
        with subprocess.Popen(
            line, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin
            assert process.stderr
            with pa.ipc.new_stream(process.stdin, block.schema) as writer:
                for _ in range(count // len(block)):
                    writer.write_batch(block)
            process.stdin.close()
            said = process.stderr.read().decode()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert f"{count:,} rows: {count:,} answered" in said
        most[count] = used.ru_maxrss
        with capsys.disabled():
            if long:
                print(f"\n{count:,} rows: {used.ru_maxrss // 1000} MB, {used.ru_utime + used.ru_stime:.1f} s")  # noqa: T201
    assert max(most.values()) < 1.15 * most[10**6]


def test_a_folder_becomes_a_folder(model: Model, tmp_path: Path) -> None:
    """Every file of it and of those in it, by parts under the same names; what others hide is passed over."""
    table = animals(model)
    for name in ("a", "day=1/b", "day=2/b", "_hidden/c", ".d"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write(table, tmp_path / "in" / f"{name}.parquet")
    (tmp_path / "in" / "_SUCCESS").touch()
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "--quiet", "--part-rows", "60"]) == 0
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.parquet"))
    assert made == [f"{name}-0000{part}.parquet" for name in ("a", "day=1/b", "day=2/b") for part in (0, 1)]
    assert pq.read_table(tmp_path / "out").num_rows == 300
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_text()) == {"answered": 300, "rejected": 0, "faults": {}}


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


@pytest.fixture
def _odd_files(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to be in, of tables of which something can be said."""
    monkeypatch.chdir(tmp_path)
    table = animals(model)
    write(table, Path("t.csv"))
    write(table.append_column("label", pa.array(["cat"] * 100)), Path("labelled.csv"))
    for folder in ("mixed", "empty"):
        Path(folder).mkdir()
    write(table, Path("mixed/a.csv"))
    write(table, Path("mixed/b.parquet"))
    Path("t.txt").touch()
    for name in ("torn.arrow", "torn.parquet"):
        content = write(table, Path(name)).read_bytes()
        Path(name).write_bytes(content[: len(content) // 2])
    Path("latin.csv").write_bytes(Path("t.csv").read_bytes() + "é".encode("latin-1") + b",1,2,3,4,5,6,7,8\n")


@pytest.mark.usefixtures("_odd_files")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere.csv o.csv", "nowhere.csv is neither a file nor a folder"),
        ("t.txt o.csv", "its name says no format: end it in .csv,"),
        ("t.csv -", "say where rejected rows go, --rejects FILE"),
        ("t.csv - --to parquet --rejects r.csv", "Parquet does not go to the standard output"),
        ("- o.csv --from parquet", "Parquet has its index at its end"),
        ("t.csv o.csv --map mass=id", "--map mass: no such feature; did you mean body_mass_kg?"),
        ("t.csv o.csv --map body_mass_kg=idd", "no column idd: did you mean id?"),
        ("t.csv o.csv --keep idd", "--keep idd: no such column; did you mean id?"),
        ("labelled.csv o.csv", "two columns would be called label: give the answers' another --prefix than ''"),
        ("mixed o", "holds files of csv, parquet: choose with --from"),
        ("mixed o.csv --from csv", "mixed is a folder: OUTPUT must be one too"),
        ("mixed mixed/o --from csv", "lies in"),
        ("t.csv mixed", "holds other things already"),
        ("empty o", "holds no file of a format that is read"),
        ("torn.arrow o.csv", "torn.arrow is not what arrow should be"),
        ("torn.parquet o.csv", "torn.parquet is not what parquet should be"),
        ("latin.csv o.csv", "latin.csv is not what csv should be"),
        ("t.csv nowhere/o.csv", "nowhere/.o.csv.writing: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    """One line that names the fault and the remedy; exit code 2; nothing is left behind."""
    before = set(Path().rglob("*"))
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert {path.name for path in set(Path().rglob("*")) - before} <= {"o", "o.rejects", "_score.jsonl"}


def test_a_folder_is_of_one_job(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on with other options, another table or another run still at it would mix two jobs: it is refused."""
    monkeypatch.chdir(tmp_path)
    write(animals(model), Path("t.csv"))
    assert main(["t.csv", "out", "--quiet"]) == 0
    assert main(["t.csv", "out", "--only-answers"]) == 2
    assert "another job, whose keep was different" in capsys.readouterr().err
    write(animals(model, 99), Path("t.csv"))
    assert main(["t.csv", "out"]) == 2
    assert "another job, whose files was different" in capsys.readouterr().err
    with journal.kept(Path("other"), {}):
        assert main(["t.csv", "other"]) == 2
    assert "another run is writing to other" in capsys.readouterr().err


def test_a_journal_that_was_torn_is_mended(tmp_path: Path) -> None:
    """What was being written when the machine stopped does not count, and does not spoil what follows."""
    job = {"model": {"name": "m"}}
    with journal.kept(tmp_path, job) as kept:
        kept.add("a", Count(3, 1, Counter({"x missing": 1})), last=False)
    path = tmp_path / journal.NAME
    path.write_bytes(path.read_bytes() + b'{"file": "a", "answ')
    with journal.kept(tmp_path, job) as kept:
        assert (kept.next_part("a"), kept.total.rows) == (1, 4)
        kept.add("a", Count(2), last=True)
    with journal.kept(tmp_path, job) as kept:
        assert (kept.next_part("a"), kept.next_part("b")) == (None, 0)
        assert kept.total == Count(5, 1, Counter({"x missing": 1}))


def test_progress_says_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, rows a second and the time left, of what this run has to do."""
    clock = iter([0.0, 5.0, 10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0])
    monkeypatch.setattr("service.score.progress.time.monotonic", lambda: next(clock))
    progress = Progress(1000, quiet=False)
    progress.past(500)  # by an earlier run
    progress.at(500, 0.0, 0)
    progress.at(500, 0.5, 30_000)
    assert capsys.readouterr().err == "75%, 30,000 rows, 3,000 rows/s, 0:10 left\n"
    unknown = Progress(0, quiet=False)
    unknown.at(0, 0.0, 7)
    assert capsys.readouterr().err == "7 rows, 1 rows/s\n"
