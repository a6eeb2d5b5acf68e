"""Tables as pandas, Excel, R and others write them: each reads as the same numbers."""

import csv
import gzip
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from support.tables import read_noted, refuse, write

from models.tables.cells import MAX_MAGNITUDE

VALUES = [[round(np.sin(i) * 100, 3), (7 * i) % 23 - 5] for i in range(40)]
LABELS = ["ab"[i % 2] for i in range(40)]


def make(delimiter: str = ",", decimal: str = ".", end: str = "\n", mark: str = "", quote: str = "") -> str:
    """The table of `VALUES` in a dialect."""
    rows = [["x", "y", "kind"]] + [
        [*(str(value).replace(".", decimal) for value in row), label] for row, label in zip(VALUES, LABELS, strict=True)
    ]
    return mark + "".join(delimiter.join(f"{quote}{cell}{quote}" for cell in row) + end for row in rows)


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (make(), []),
        (make(mark="\ufeff"), []),
        (make(end="\r\n"), []),
        (make(end="\r"), []),
        (make(end="\r\n").replace("\r\n", "\n", 7).replace("\n", "\r", 3), []),
        (make(quote='"'), []),
        (make(";", ","), ["delimiter: semicolons", "decimal sign: comma"]),
        (make(";", "."), ["delimiter: semicolons"]),
        (make("\t"), ["delimiter: tabs"]),
        (make("\t", ","), ["delimiter: tabs", "decimal sign: comma"]),
        (make("|"), ["delimiter: vertical bars"]),
        (make(",", ",", quote='"'), ["decimal sign: comma"]),
        ("sep=;\r\n" + make(";", ",", "\r\n"), ["delimiter: semicolons", "decimal sign: comma"]),
        (make(mark='\ufeff"sep=,"\r\n'), []),
        (make(end=",,\n"), ["left out: column 4, which has no name, is empty", "left out: column 5"]),
        (make(end=",,\n").replace("kind,,", "kind"), []),
        (make().replace("\n", "\n\n") + ",,\n,,\n", []),
        (make().replace(",", " , "), []),
        (make().replace(",", ",\u00a0"), []),
        (gzip.compress(make().encode()), []),
    ],
)
def test_a_dialect_is_recognised(tmp_path: Path, content: str | bytes, notes: list[str]) -> None:
    """By the content, not by the file's name; what is guessed is noted."""
    table, noted = read_noted(write(tmp_path, content))
    assert [feature.name for feature in table.features] == ["x", "y"]
    np.testing.assert_array_equal(table.individuals.rows, np.array(VALUES, np.float32))
    assert [table.labels[index] for index in table.individuals.labels] == LABELS
    assert len(noted) == len(notes)
    assert all(line.startswith(start) for line, start in zip(noted, notes, strict=True))


def test_row_names_of_r_have_no_header(tmp_path: Path) -> None:
    """`write.table` writes one name less than there are columns."""
    rows = "".join(f'"r{i}" {x} {y} {label}\n' for i, ((x, y), label) in enumerate(zip(VALUES, LABELS, strict=True)))
    table, noted = read_noted(write(tmp_path, ("x y kind\n" + rows).replace(" ", ";")))
    assert [feature.name for feature in table.features] == ["x", "y"]
    assert noted[1].startswith("left out: column 1, which has no name")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_is_an_option(tmp_path: Path, encoding: str) -> None:
    """Without it, the table is refused, with the option in the message."""
    path = write(tmp_path, make().replace("x,y", "größe,y").encode(encoding))
    assert f"--encoding {encoding}" in refuse(path)
    table, _ = read_noted(path, encoding=encoding)
    assert table.features[0].name == "größe"


def column(*cells: str, delimiter: str = ";") -> str:
    """A table whose column x begins with the cells and goes on with whole numbers."""
    rest = [str((i * i) % 37) for i in range(40 - len(cells))]
    rows = [f"{x}{delimiter}{(i * 7) % 11}{delimiter}{'ab'[i % 2]}\n" for i, x in enumerate([*cells, *rest])]
    return f"x{delimiter}y{delimiter}kind\n" + "".join(rows)


@pytest.mark.parametrize(
    ("cells", "options", "expected"),
    [
        (["1,5", "2.000", "1.234.567,5"], {}, [1.5, 2000, 1234567.5]),
        (["1.5", "2,000", "1,234,567"], {}, [1.5, 2000, 1234567]),
        (["1,234,567", "1,000"], {}, [1234567, 1000]),
        (["1.234.567", "1.000"], {}, [1234567, 1000]),
        (["0,125", "1,234"], {}, [0.125, 1.234]),
        (["1 234", "1\u00a0234,5", "1\u202f000"], {}, [1234, 1234.5, 1000]),
        (["1'234", "1\u2019234.5"], {}, [1234, 1234.5]),
        (["1,5e3", "-,5", "+2,"], {}, [1500, -0.5, 2]),
        (["1.5e3", "-.5", "+2."], {}, [1500, -0.5, 2]),
        (["1,234"], {"thousands": ","}, [1234]),
        (["1,234"], {"decimal": ","}, [1.234]),
        (["1.234"], {"decimal": "."}, [1.234]),
        (["1.234"], {"thousands": "."}, [1234]),
    ],
)
def test_decimals_and_thousands(
    tmp_path: Path, cells: list[str], options: dict[str, Any], expected: list[float]
) -> None:
    """They are told apart where any cell of the table shows which is which."""
    table, _ = read_noted(write(tmp_path, column(*cells)), **options)
    assert table.individuals.rows[: len(cells), 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1,234"], "'1,234' in column 'x' can be a number with decimals or one with thousands"),
        (["1.234"], "add --decimal . or --thousands ."),
        (["1,5", "1.5"], "some numbers have decimal commas"),
    ],
)
def test_what_is_ambiguous_is_asked(tmp_path: Path, cells: list[str], message: str) -> None:
    """The message has the example and the options, and nothing else that follows from it."""
    refused = refuse(write(tmp_path, column(*cells)))
    assert message in refused
    assert "\n" not in refused
    assert refuse(write(tmp_path, column(*cells, "tall"))).count("\n  ") == 2


def test_three_decimals_in_a_table_with_commas_are_decimals(tmp_path: Path) -> None:
    """Between commas, nobody writes points for thousands."""
    table, noted = read_noted(write(tmp_path, column("1.234", "2.500", delimiter=",")))
    assert table.individuals.rows[0, 0] == np.float32(1.234)
    assert noted == []


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
@pytest.mark.parametrize("index", [True, False])
def test_the_tables_of_scikit_learn_are_read_as_pandas_writes_them(tmp_path: Path, name: str, index: bool) -> None:
    """Without an option; the index is left out."""
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.to_csv(tmp_path / "t.csv", index=index)
    frame.to_parquet(tmp_path / "t.parquet", index=index)
    for file in ("t.csv", "t.parquet"):
        table, _ = read_noted(tmp_path / file, "target")
        names = [feature.name for feature in table.features]
        varying = [name for name in frame.columns.drop("target") if len(set(frame[name])) > 1]
        assert names == varying
        np.testing.assert_array_equal(table.individuals.rows, frame[varying].to_numpy(np.float32))
        assert table.labels == tuple(map(str, sorted(frame.target.unique())))


def test_a_quantity_is_not_a_label(tmp_path: Path) -> None:
    """scikit-learn's diabetes has a measure of progression as its target; above or below the median is a label."""
    frame = datasets.load_diabetes(as_frame=True).frame
    frame.to_csv(tmp_path / "t.csv")
    assert "has 214 different numbers in 442 rows" in refuse(tmp_path / "t.csv", "target")
    frame["target"] = frame["target"] > frame["target"].median()
    frame.to_csv(tmp_path / "t.csv")
    assert read_noted(tmp_path / "t.csv", "target")[0].labels == ("False", "True")


numbers = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6) | st.integers(-(10**9), 10**9)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """At least 20 rows with two labels; neither column is constant or counts the rows."""
    count = draw(st.integers(20, 30))
    columns = {name: draw(st.lists(numbers, min_size=count - 2, max_size=count - 2)) for name in ("x", "größe (m²)")}
    frame = pd.DataFrame({name: np.array([0.25, -17.5, *values]) for name, values in columns.items()})
    return frame.assign(kind=["ab"[i % 2] for i in range(count)])


@given(tables(), st.data())
@settings(deadline=None, max_examples=60)
def test_a_table_reads_back_equal(frame: pd.DataFrame, data: st.DataObject) -> None:
    """In any dialect that pandas or Python's csv module can write."""
    delimiter, decimal = data.draw(st.sampled_from([(",", "."), (";", ","), (";", "."), ("\t", "."), ("\t", ",")]))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoting: Any = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    if data.draw(st.booleans()):
        text = frame.to_csv(sep=delimiter, decimal=decimal, lineterminator=end, index=data.draw(st.booleans()))
    else:
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=quoting)
        writer.writerow(frame.columns)
        writer.writerows(
            [*(repr(float(value)).replace(".", decimal) for value in row[:2]), row[2]]
            for row in frame.itertuples(index=False)
        )
        text = buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), data.draw(st.sampled_from(["", "\ufeff"])) + text)
        table, _ = read_noted(path)
    np.testing.assert_array_equal(table.individuals.rows, frame.iloc[:, :2].to_numpy(np.float32))
    assert [feature.name for feature in table.features] == ["x", "größe (m²)"]
    assert table.features[0].highest < MAX_MAGNITUDE
