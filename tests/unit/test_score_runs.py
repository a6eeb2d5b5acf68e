"""Runs over tables: in parts, gone on with, over folders, told of."""

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
from service.score import journal
from service.score.__main__ import main
from service.score.journal import Count
from service.score.parts import pieces
from service.score.progress import Progress
from service.score.reading import Chunk
from service.score.scorer import Scorer


@pytest.fixture(autouse=True)
def _no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new Python takes longer than all the rest; real runs have it."""
    monkeypatch.setattr(sandbox, "stand", sandbox.pass_over)


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


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_run_that_was_killed_goes_on_where_it_was(
    model: Model, tmp_path: Path, name: str, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two steps, the same command makes the same files, and does no part that is done again."""
    table = write(animals(model), tmp_path / name)
    if name == "table.csv":  # with a line that is no row in each part
        lines = table.read_text().splitlines()
        table.write_text(
            "\n".join(part for at, one in enumerate(lines) for part in ([one, "?"] if at % 20 == 7 else [one]))
        )
    line = [str(table), "OUT", "--part-rows", "30", "--quiet", "--prefix", "its_", "--threads", threads]
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
