"""Tables that cannot be scored, and what is said of them."""

from pathlib import Path

import pyarrow as pa
import pytest
from support.arrow_tables import animals, write

from service.inference import sandbox
from service.inference.model import Model
from service.score.__main__ import main


@pytest.fixture(autouse=True)
def _no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new Python takes longer than all the rest; real runs have it."""
    monkeypatch.setattr(sandbox, "stand", sandbox.pass_over)


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
