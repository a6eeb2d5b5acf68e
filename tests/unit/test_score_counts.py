"""Every row of the input is predicted or rejected, or the job fails: it never ends well with fewer rows."""

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.arrow_tables import FORMATS, animals, read, write

from service.inference import sandbox
from service.inference.model import Model
from service.score.__main__ import main
from service.score.csv_reader import CsvReader
from service.score.readers import ArrowReader, ParquetReader
from service.score.scorer import Scorer
from service.score.table_reader import Chunk


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_score_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


def lose_rows(monkeypatch: pytest.MonkeyPatch, reader: Any) -> None:
    """Make a reader lose the last row of its last chunk, as a faulty parser might."""
    original = reader.chunks

    def chunks(self: Any, start: int, columns: list[str]) -> Iterator[Chunk]:
        read_chunks = list(original(self, start, columns))
        yield from read_chunks[:-1]
        yield Chunk(read_chunks[-1].rows[:-1])

    monkeypatch.setattr(reader, "chunks", chunks)


@pytest.fixture(params=[("t.csv", CsvReader), ("t.parquet", ParquetReader), ("t.arrow", ArrowReader)])
def table_with_lossy_reader(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """A table of 100 rows whose reader loses the last one."""
    name, reader = request.param
    lose_rows(monkeypatch, reader)
    return write(animals(model), tmp_path / name)


@pytest.mark.parametrize("output", ["o.arrow", "o"])
def test_a_reader_that_loses_a_row_fails_the_job(
    table_with_lossy_reader: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """The last part of the output, or the whole file, is not written."""
    table = table_with_lossy_reader
    assert main([str(table), str(tmp_path / output), "--part-rows", "60"]) == 2
    assert "has 100 rows, but 99 were scored or rejected: this is an error in this program" in capsys.readouterr().err
    written = {path.name for path in tmp_path.rglob("[!._]*") if path.is_file()} - {table.name}
    assert written == ({f"t-00000{table.suffix}"} if output == "o" else set())


def test_a_resumed_job_counts_the_rows_of_all_its_runs(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal's count of an earlier part belongs to the sum."""
    command = [str(write(animals(model), tmp_path / "t.csv")), str(tmp_path / "o"), "--part-rows", "60"]
    with monkeypatch.context() as patch:
        lose_rows(patch, CsvReader)
        assert main(command) == 2
    journal = tmp_path / "o" / "_score.jsonl"
    journal.write_text(journal.read_text().replace('"answered":60', '"answered":59'))
    assert main(command) == 2
    assert "has 100 rows, but 99 were scored or rejected" in capsys.readouterr().err
    journal.write_text(journal.read_text().replace('"answered":59', '"answered":60'))
    assert main(command) == 0
    assert len(read(tmp_path / "o")) == 100


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_changes_while_it_is_read_fails_the_job(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Some of its rows may have been read before the change, and some after."""
    path = write(animals(model), tmp_path / name)
    original = Scorer.score

    def score(self: Scorer, batch: pa.RecordBatch) -> Any:
        os.utime(path, ns=(0, 0))  # as any write does
        return original(self, batch)

    monkeypatch.setattr(Scorer, "score", score)
    assert main([str(path), str(tmp_path / "o.csv")]) == 2
    assert f"{name} changed while it was read: start again when it is complete" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_summary_counts_malformed_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Model) -> None:
    """Also as rows of this run."""
    path = write(animals(model, 3), tmp_path / "t.csv")
    path.write_text(path.read_text() + "x\n")
    assert main([str(path), str(tmp_path / "o.csv")]) == 0
    assert "4 rows: 3 predicted, 1 rejected (at " in capsys.readouterr().err


def test_standard_input_is_not_taken_for_that_of_an_earlier_run(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have other rows, which would be skipped because the folder is complete."""
    write(animals(model), tmp_path / "t.csv")
    statuses = []
    for _ in range(2):
        with (tmp_path / "t.csv").open() as stdin, monkeypatch.context() as patch:
            patch.setattr("sys.stdin", stdin)
            statuses.append(main(["-", str(tmp_path / "o"), "--from", "csv"]))
    assert statuses == [0, 2]
    assert "o contains parts of another job, which differs in files" in capsys.readouterr().err


EMPTY_MEMBER = gzip.compress(b"")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plain.csv.gz", "plain.csv.gz is not a valid csv file: Not a gzipped file"),
        ("torn.csv.gz", "torn.csv.gz is not a valid csv file: Compressed file ended before the end-of-stream marker"),
        ("torn_header.csv.gz", "torn_header.csv.gz is not a valid csv file: Compressed file ended before"),
        ("corrupt.csv.gz", "corrupt.csv.gz is not a valid csv file: "),
        ("trailing.csv.gz", "trailing.csv.gz is not a valid csv file: Not a gzipped file"),
        ("cut.arrows", "cut.arrows: the stream does not end with Arrow's end-of-stream marker, so rows may be missing"),
        ("torn.arrows", "torn.arrows is not a valid arrow file"),
        ("joined.arrows", "joined.arrows: more bytes follow the end of the stream"),
    ],
)
def test_a_file_that_was_cut_off_or_joined_fails_the_job(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    """As by a writer that was killed, or by `cat`; nothing is written."""
    table = animals(model)
    plain = write(table, tmp_path / "t.csv").read_bytes()
    stream = write(table, tmp_path / "t.arrows").read_bytes()
    packed = gzip.compress(plain, mtime=0)
    contents = {
        "plain.csv.gz": plain,
        "torn.csv.gz": packed[:-9],
        "torn_header.csv.gz": packed[:40],
        "corrupt.csv.gz": packed[:1000] + b"\xff" * 100 + packed[1100:],
        "trailing.csv.gz": packed + b"x",
        "cut.arrows": stream[:-8],
        "torn.arrows": stream[:-100],
        "joined.arrows": stream + stream,
    }
    (tmp_path / name).write_bytes(contents[name])
    before = set(tmp_path.iterdir())
    assert main([str(tmp_path / name), str(tmp_path / "o.csv")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_joined_gzip_files_are_one_table(model: Model, tmp_path: Path) -> None:
    """All members are read, as by gunzip, and in a file whose suffix has capital letters."""
    first, _, rest = write(animals(model), tmp_path / "t.csv").read_bytes().partition(b"\n")
    (tmp_path / "T.CSV.GZ").write_bytes(gzip.compress(first + b"\n") + EMPTY_MEMBER + gzip.compress(rest))
    assert main([str(tmp_path / "T.CSV.GZ"), str(tmp_path / "o.arrow"), "--quiet"]) == 0
    assert len(read(tmp_path / "o.arrow")) == 100


def test_files_of_a_folder_that_are_not_read_are_named(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line of the summary says how many there are, and the names of the first five."""
    (tmp_path / "in").mkdir()
    write(animals(model), tmp_path / "in" / "t.csv")
    names = ["a.tsv", "b.csv.bz2", "c.json", "d", "e.parquet", "f.txt", ".g", "_h"]
    for name in names:
        (tmp_path / "in" / name).touch()
    assert main([str(tmp_path / "in"), str(tmp_path / "o"), "--from", "csv"]) == 0
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line == "6 other files in the input folder were not read: a.tsv, b.csv.bz2, c.json, d, e.parquet, ..."


@pytest.mark.parametrize(("link", "target"), [("day=2", "day=1"), ("t.parquet", "nowhere")])
def test_a_link_that_cannot_be_followed_fails_the_job(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str, target: str
) -> None:
    """The rows behind it would be missing."""
    (tmp_path / "in" / "day=1").mkdir(parents=True)
    write(animals(model), tmp_path / "in" / "day=1" / "t.parquet")
    (tmp_path / "in" / link).symlink_to(tmp_path / "in" / target)
    assert main([str(tmp_path / "in"), str(tmp_path / "o")]) == 2
    assert f"in/{link} is " in capsys.readouterr().err


def test_a_folder_that_cannot_be_listed_fails_the_job(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows in it would be missing. Root may list every folder, so the test is not root for a moment."""
    folder = tmp_path / "in" / "day=2"
    folder.mkdir(parents=True)
    write(animals(model), tmp_path / "in" / "t.parquet")
    folder.chmod(0)
    temporary = Path(tempfile.gettempdir()).resolve()
    for path in (tmp_path, *tmp_path.parents):  # pytest lets only its own user into its folders
        if temporary in path.parents:
            path.chmod(0o755)
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        assert main([str(tmp_path / "in"), str(tmp_path / "o")]) == 2
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
    assert "day=2: Permission denied" in capsys.readouterr().err
