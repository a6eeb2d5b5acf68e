"""Tables that cannot be scored, and the error for each."""

from pathlib import Path

import pyarrow as pa
import pytest
from support.arrow_tables import animals, write

from service.inference import sandbox
from service.inference.model import Model
from service.score.__main__ import main


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_score_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


@pytest.fixture
def _invalid_files(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with tables that have something wrong."""
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
    Path("o.rejects.csv").write_bytes(Path("t.csv").read_bytes())


@pytest.mark.usefixtures("_invalid_files")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere.csv o.csv", "nowhere.csv is neither a file nor a folder"),
        ("t.txt o.csv", "t.txt has no known suffix: use .csv,"),
        ("t.csv -", "set a file for rejected rows with --rejects FILE"),
        ("t.csv - --to parquet --rejects r.csv", "cannot write Parquet to standard output"),
        ("- o.csv --from parquet", "cannot read Parquet from standard input"),
        ("t.csv o.csv --map mass=id", "--map mass: unknown feature; did you mean body_mass_kg?"),
        ("t.csv o.csv --map body_mass_kg=idd", "no column idd: did you mean id?"),
        ("t.csv o.csv --keep idd", "--keep idd: unknown column; did you mean id?"),
        ("labelled.csv o.csv", "two output columns would be named label: choose another --prefix than ''"),
        ("mixed o", "contains files of several formats, csv, parquet: choose one with --from"),
        ("mixed o.csv --from csv", "mixed is a folder: OUTPUT must be a folder too"),
        ("mixed mixed/o --from csv", "is inside INPUT"),
        ("t.csv mixed", "contains other files"),
        ("empty o", "contains no table file"),
        ("torn.arrow o.csv", "torn.arrow is not a valid arrow file"),
        ("torn.parquet o.csv", "torn.parquet is not a valid parquet file"),
        ("latin.csv o.csv", "latin.csv: row 101 is not UTF-8"),
        ("t.csv o.csv --to parquet", "o.csv would contain parquet: change its suffix, or the format with --to csv"),
        ("t.csv o.parquet --to arrow", "o.parquet would contain arrow: change its suffix"),
        ("t.csv o.csv.gz --to parquet", "o.csv.gz would contain parquet: change its suffix"),
        ("t.csv o.json", "o.json: cannot write files with the suffix .json: use .csv, .csv.gz, .parquet"),
        ("t.csv o.TSV --to csv", "o.TSV: cannot write files with the suffix .TSV"),
        ("t.csv o.csv.zip", "o.csv.zip: cannot write files with the suffix .zip"),
        ("t.csv o.parquet.gz", "o.parquet.gz: cannot write files with the suffix .gz"),
        ("t.csv o.csv --rejects r.json", "r.json: cannot write files with the suffix .json"),
        ("t.csv o --rejects r.csv", "o is a folder: --rejects must be a folder too, not r.csv"),
        ("t.csv o --rejects r.json", "r.json: cannot write files with the suffix .json"),
        ("t.csv o --rejects -", "o is a folder: --rejects must be a folder too, not -"),
        ("t.csv o.csv --rejects mixed", "o.csv is a file: rejected rows need a file too, and mixed is a folder"),
        ("t.csv o.csv --rejects o.csv", "predictions and rejected rows would both be written to o.csv"),
        ("t.csv - --rejects -", "predictions and rejected rows would both be written to -"),
        ("t.csv o --rejects o", "predictions and rejected rows would both be written to o"),
        ("t.csv ./t.csv", "t.csv, which would be written, is INPUT, t.csv: choose another path"),
        ("t.csv o.csv --rejects t.csv", "t.csv, which would be written, is INPUT"),
        ("o.rejects.csv o.csv", "o.rejects.csv, which would be written, is INPUT"),
        ("mixed o --from csv --rejects mixed/r", "mixed/r, which would be written, is inside INPUT, mixed"),
        ("t.csv nowhere/o.csv", "nowhere/.o.csv.writing: No such file or directory"),
    ],
)
def test_a_failed_job_prints_one_line(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    """The line names the problem and the remedy; the exit status is 2; no table is left behind."""
    before = set(Path().rglob("*"))
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert {path.name for path in set(Path().rglob("*")) - before} <= {"o", "o.rejects", "_score.jsonl"}
