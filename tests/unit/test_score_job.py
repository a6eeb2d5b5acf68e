"""Jobs: their parts, resuming, folders, the journal and progress."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arrow_tables import FORMATS, animals, write

from service.inference import sandbox
from service.inference.model import Model
from service.score.__main__ import main
from service.score.journal import JOURNAL_NAME, RowCounts, open_journal
from service.score.parts import split_into_parts
from service.score.progress import Progress
from service.score.scorer import Scorer
from service.score.table_reader import Chunk, MalformedLine


@pytest.fixture(autouse=True)
def _skip_sandbox_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts a new Python, which takes longer than the test; test_score_processes.py includes it."""
    monkeypatch.setattr(sandbox, "check_in_subprocess", sandbox.no_check)


@given(st.lists(st.integers(1, 9), max_size=8), st.integers(1, 7), st.data())
def test_splitting_into_parts_loses_nothing(lengths: list[int], size: int, data: st.DataObject) -> None:
    """For chunks of any length, each row and each malformed line is in exactly one part, the right one."""
    total = sum(lengths)
    positions = sorted(data.draw(st.lists(st.integers(0, max(0, total - 1)), max_size=5))) if total else []
    chunks, first = [], 0
    for length in lengths:
        inside = [position for position in positions if first <= position < first + length]
        malformed = [MalformedLine(position - first, str(position)) for position in inside]
        chunks.append(Chunk(pa.record_batch({"n": range(first, first + length)}), malformed))
        first += length
    split = list(split_into_parts(chunks, 0, size))
    assert [n for chunk in split for n in chunk.rows.column("n").to_pylist()] == list(range(total))
    assert all(n // size == chunk.part for chunk in split for n in chunk.rows.column("n").to_pylist())
    assert sorted(int(message) for chunk in split for message in chunk.malformed) == positions
    assert all(int(message) // size == chunk.part for chunk in split for message in chunk.malformed)


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_command_resumes_an_interrupted_job(
    model: Model, tmp_path: Path, name: str, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before any batch, it writes the same files and scores no finished part again."""
    table = write(animals(model), tmp_path / name)
    if name == "table.csv":  # with a malformed line in each part
        lines = table.read_text().splitlines()
        table.write_text("\n".join(f"{line}\n?" if number % 20 == 7 else line for number, line in enumerate(lines)))
    command = [str(table), "OUT", "--part-rows", "30", "--quiet", "--prefix", "its_", "--threads", threads]
    whole, resumed = str(tmp_path / "whole"), tmp_path / "resumed"
    assert main([argument.replace("OUT", whole) for argument in command]) == 0

    command[1] = str(resumed)
    batch_sizes: list[int] = []
    original = Scorer.score

    def score(self: Scorer, batch: pa.RecordBatch) -> Any:
        batch_sizes.append(len(batch))
        if len(batch_sizes) == attempt:
            raise KeyboardInterrupt
        return original(self, batch)

    monkeypatch.setattr(Scorer, "score", score)
    for attempt in range(1, 50):  # noqa: B007 (read by `score`) one batch further each time
        batch_sizes.clear()
        if main(command) == 0:
            break
    assert attempt > 2
    assert 0 < sum(batch_sizes) < 100
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
    batch_sizes.clear()
    assert main(command) == 0
    assert not batch_sizes


def test_a_folder_is_scored_into_a_folder(model: Model, tmp_path: Path) -> None:
    """Every file keeps its relative path and gets a part number; names that begin with _ or . are ignored."""
    table = animals(model)
    for name in ("a", "day=1/b", "day=2/b", "_hidden/c", ".d"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write(table, tmp_path / "in" / f"{name}.parquet")
    (tmp_path / "in" / "_SUCCESS").touch()
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "--quiet", "--part-rows", "60"]) == 0
    parts = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.parquet"))
    assert parts == [f"{name}-0000{part}.parquet" for name in ("a", "day=1/b", "day=2/b") for part in (0, 1)]
    assert pq.read_table(tmp_path / "out").num_rows == 300
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_text()) == {"answered": 300, "rejected": 0, "faults": {}}


def test_a_folder_belongs_to_one_job(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with other options or another input, or beside a running one, would mix two jobs and is refused."""
    monkeypatch.chdir(tmp_path)
    write(animals(model), Path("t.csv"))
    assert main(["t.csv", "out", "--quiet"]) == 0
    assert main(["t.csv", "out", "--only-answers"]) == 2
    assert "another job, which differs in keep" in capsys.readouterr().err
    write(animals(model, 99), Path("t.csv"))
    assert main(["t.csv", "out"]) == 2
    assert "another job, which differs in files" in capsys.readouterr().err
    with open_journal(Path("other"), {}):
        assert main(["t.csv", "other"]) == 2
    assert "another run is writing to other" in capsys.readouterr().err


def test_a_torn_journal_is_repaired(tmp_path: Path) -> None:
    """A line that was cut short when the machine stopped is dropped, and later lines are intact."""
    job = {"model": {"name": "m"}}
    with open_journal(tmp_path, job) as journal:
        journal.add_part("a", RowCounts(3, 1, Counter({"x missing": 1})), is_last=False)
    path = tmp_path / JOURNAL_NAME
    path.write_bytes(path.read_bytes() + b'{"file": "a", "answ')
    with open_journal(tmp_path, job) as journal:
        assert (journal.next_part("a"), journal.total.rows) == (1, 4)
        journal.add_part("a", RowCounts(2), is_last=True)
    with open_journal(tmp_path, job) as journal:
        assert (journal.next_part("a"), journal.next_part("b")) == (None, 0)
        assert journal.total == RowCounts(5, 1, Counter({"x missing": 1}))


def test_progress_shows_fraction_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rate and time left are of this run; the parts of an earlier run only count for the fraction."""
    clock = iter([0.0, 5.0, 10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0])
    monkeypatch.setattr("service.score.progress.time.monotonic", lambda: next(clock))
    progress = Progress(1000, quiet=False)
    progress.finish_file(500)  # by an earlier run
    progress.update(500, 0.0, 0)
    progress.update(500, 0.5, 30_000)
    assert capsys.readouterr().err == "75%, 30,000 rows, 3,000 rows/s, 0:10 left\n"
    unknown = Progress(0, quiet=False)
    unknown.update(0, 0.0, 7)
    assert capsys.readouterr().err == "7 rows, 1 rows/s\n"
