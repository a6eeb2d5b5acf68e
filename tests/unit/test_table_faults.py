"""What is found in a table: columns left out, gaps, labels, and faults, each in its own words and all at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.tables import read, read_noted, refuse, write

from models.errors import DataError
from models.tables.dataset import check_groups


def make(header: str, *cells: str, label: str = "kind", count: int = 40) -> str:
    """A table whose columns before the label begin with given cells, one string with commas for each row."""
    width = header.count(",") + 1
    rest = [",".join(str((i * i + 3 * k) % 37) for k in range(width)) for i in range(len(cells), count)]
    lines = [f"{row},{'ab'[i % 2]}\n" for i, row in enumerate([*cells, *rest])]
    return f"{header},{label}\n" + "".join(lines)


def names(table: Any) -> list[str]:
    return [feature.name for feature in table.features]


@pytest.mark.parametrize("first", ["", "Unnamed: 0", "id", "row", "index"])
@pytest.mark.parametrize("order", ["0", "1", "reversed", "shuffled", "in groups", "decimals"])
def test_a_column_that_counts_the_rows_is_left_out(tmp_path: Path, first: str, order: str) -> None:
    """With a note; it would give the labels of a sorted table away."""
    counts = list(range(40))
    if order == "1":
        counts = list(range(1, 41))
    elif order == "reversed":
        counts.reverse()
    elif order == "shuffled":
        counts = np.random.default_rng(0).permutation(40).tolist()
    elif order == "in groups":
        counts = [*range(1, 21), *range(1, 21)]
    numbers = [f"{count}.0" if order == "decimals" else str(count) for count in counts]
    rows = [f"{number},{(i * i) % 37},{'ab'[i // 20]}\n" for i, number in enumerate(numbers)]
    table, noted = read_noted(write(tmp_path, f"{first},x,kind\n" + "".join(rows)))
    assert names(table) == ["x"]
    assert len(noted) == 1
    assert noted[0].startswith("left out: column ")
    if first in {"id", "row", "index"}:
        assert f"--keep {first!r}" in noted[0]
        assert names(read(tmp_path / "my.csv", keep=[first])) == [first, "x"]


def test_the_index_in_parquet_is_left_out(tmp_path: Path) -> None:
    """Even if it is only a part of the counts, as after taking a sample."""
    frame = pd.DataFrame({"x": [(i * i) % 37 for i in range(80)], "kind": ["a", "b"] * 40})
    frame.groupby("kind").sample(20, random_state=1).to_parquet(tmp_path / "t.parquet")
    table, noted = read_noted(tmp_path / "t.parquet")
    assert names(table) == ["x"]
    assert noted == ["left out: column 3, which has no name, has the names or numbers of the rows"]


@pytest.mark.parametrize("numbers", [[2 * i for i in range(40)], [1, 2] * 20, [*range(39), 99], [5, 4, 3, 2] * 10])
def test_other_whole_numbers_are_features(tmp_path: Path, numbers: list[int]) -> None:
    """Even numbers, for example, or counts that start again after two rows."""
    rows = [f"{number},{(i * i) % 37},{'ab'[i % 2]}\n" for i, number in enumerate(numbers)]
    assert names(read(write(tmp_path, "n,x,kind\n" + "".join(rows)))) == ["n", "x"]


def test_columns_are_left_out_and_counted(tmp_path: Path) -> None:
    """By name, several with commas between them, also one with a comma in its name."""
    text = make('a,b,"c, d",e')
    assert names(read(write(tmp_path, text), drop=["a,b", "c, d"])) == ["e"]
    assert names(read(write(tmp_path, text), drop=["a", "b"])) == ["c, d", "e"]
    assert "no column 'z': set --drop to one of a, b, c, d, e, kind" in refuse(write(tmp_path, text), drop=["a,z"])
    assert "has a role" in refuse(write(tmp_path, text), drop=["kind"])


def test_constant_and_empty_columns_are_left_out_with_a_note(tmp_path: Path) -> None:
    """The values are named."""
    rows = [f"5,{i * i},,7.5,{'ab'[i % 2]}\n" for i in range(40)]
    table, noted = read_noted(write(tmp_path, "a,b,c,d,kind\n" + "".join(rows)))
    assert names(table) == ["b"]
    assert noted == [
        "left out: column 'c' is empty",
        "left out, because all rows have the same value: 'a' (5) and 'd' (7.5)",
    ]


GAPS = ["", " ", "NA", "NaN", "nan", "N/A", "#N/A", "null", "NULL", "None", "<NA>"]


@pytest.mark.parametrize("gap", GAPS)
def test_rows_with_gaps_are_a_fault_or_left_out(tmp_path: Path, gap: str) -> None:
    """In required features, labels and groups alike; the note counts them."""
    text = make("a,b,c", f"{gap},4,5", f"{gap},1,2", f"3,{gap},4", count=60) + f"3,4,5,{gap}\n"
    path = write(tmp_path, text)
    schema = write(tmp_path, "[features.a]\nrequired = true\n[features.b]\nmissing = false\n", "s.toml")
    message = refuse(path, schema=schema)
    assert "column 'a': 2 of 61 cells have no value (lines 2 and 3): fill them in" in message
    assert "column 'b', line 4: the cell has no value" in message
    assert "column 'kind', line 62: the cell has no value" in message
    assert message.splitlines()[-1].endswith("add: --drop-rows-with-gaps")
    table, noted = read_noted(path, drop_rows_with_gaps=True)
    assert len(table.individuals.rows) == 57
    assert "left out: 4 rows of 61 with gaps (by column: 'kind' 1, 'a' 2, 'b' 1)" in noted
    assert table.labels == ("a", "b")


def test_other_markers_of_gaps_are_an_option(tmp_path: Path) -> None:
    """A number is one however it is written; Parquet too."""
    path = write(tmp_path, make("a,b", "?,4", "-999.0,1", "-999,2"))
    table = read(path, na_values=["?", "-999"], drop_rows_with_gaps=True)
    assert len(table.individuals.rows) == 37
    frame = pd.DataFrame({"a": [-999.0, *(i * i for i in range(40))], "kind": ["a", "b"] * 20 + ["a"]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert len(read(tmp_path / "t.parquet", na_values=["-999"], drop_rows_with_gaps=True).individuals.rows) == 40


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("12 %", "a percentage"),
        ("12.5%", "a percentage"),
        ("$5", "an amount of money"),
        ("5.00 €", "an amount of money"),
        ("2024-01-31", "a date"),
        ("31.01.2024", "a date"),
        ("1/31/24", "a date"),
        ("2024-01-31 12:00:00", "a date"),
        ("12:30", "a time"),
        ("0x1F", "a hexadecimal number"),
        ("1_000", "underscores"),
        ("inf", "an infinite number"),
        ("-Infinity", "an infinite number"),
        ("True", "a truth value"),
        ("no", "a truth value"),
        ("\u22125", "a minus sign other than '-'"),
        ("\u0663", "other digits than 0 to 9"),
        ("<0.5", "a bound"),
        ("1/2", "a fraction or a range"),
        ("5 cm", "a number with a unit"),
        ("7kg", "a number with a unit"),
        ("#DIV/0!", "an error of a spreadsheet"),
        ("1.2.3", "other separators than the rest"),
        ("tall", "not a number"),
        ("?", "perhaps a missing value: if so, add --na-values='?'"),
        ("-", "perhaps a missing value: if so, add --na-values=-"),
        ("1e999", "too large"),
        ("2e30", "too large"),
    ],
)
def test_what_is_no_number_is_named(tmp_path: Path, cell: str, message: str) -> None:
    """With the column, the line and a remedy."""
    refused = refuse(write(tmp_path, make("x,y", "1,2", f"{cell},3")))
    assert message in refused
    assert "column 'x', line 3" in refused
    assert "leave the column out" in refused or "leave out the column" in refused


def test_all_kinds_in_a_column_are_named_at_once(tmp_path: Path) -> None:
    """Each with its remedy."""
    refused = refuse(write(tmp_path, make("x,y", "?,1", "5 cm,2", "6 cm,3", "12 %,4", "tall,5")))
    assert "column 'x': 5 values are no numbers (lines 2, 3, 4 and 2 more): '?' (perhaps a missing value" in refused
    assert "; '5 cm' and '6 cm' (a number with a unit: remove the unit); '12 %' (a percentage" in refused


@pytest.mark.parametrize("other", ["192.168.100.{}", "1.{}.0", "1,2,{}", "12.30 {},5"])
def test_a_column_of_something_else_does_not_confuse_the_decimal_sign(tmp_path: Path, other: str) -> None:
    """Its values look like numbers with other separators; it is the only fault."""
    rows = [f'{i * i}.5,"{other.format(100 + i if i % 3 == 0 else i)}",{"ab"[i % 2]}\n' for i in range(40)]
    refused = refuse(write(tmp_path, "x,other,kind\n" + "".join(rows)))
    assert "\n" not in refused
    assert "column 'other'" in refused


def test_an_open_quote_is_found_where_it_begins(tmp_path: Path) -> None:
    """Not at the end of the file."""
    assert "lines 4 to 41: not valid CSV" in refuse(write(tmp_path, make("x,y", "1,2", "3,4", '"5,6')))


@pytest.mark.parametrize("count", [5, 9])
def test_a_table_of_rare_labels_is_refused(tmp_path: Path, count: int) -> None:
    """Also with the option that leaves them out."""
    path = write(tmp_path, make("x,y", count=count))
    assert "fewer than 10 rows with the labels" in refuse(path)
    assert "every label is rare" in refuse(path, drop_rare_labels=True)


def test_all_faults_are_named_at_once_by_column(tmp_path: Path) -> None:
    """With options that leave them all out, which work."""
    cells = ["male,12 %,,5", "female,13 %,1,", "male,1,2,3", "male,4,5,3"]
    text = make("sex,share,c,d", *cells, count=60).splitlines()
    text[5:] = ["male" + line[line.index(",") :] for line in text[5:]]
    path = write(tmp_path, "\n".join([*text, "x,1,2,3,C"]))
    sections = '[features.sex]\nkind = "number"\n[features.c]\nrequired = true\n[features.d]\nrequired = true\n'
    lines = refuse(path, schema=write(tmp_path, sections, "s.toml")).splitlines()
    assert lines[0].endswith("has 5 faults:")
    assert [line.split("'")[1] for line in lines[1:-1]] == ["sex", "share", "c", "d", "kind"]
    assert "is text ('male', 'female' and 'x')" in lines[1]
    assert lines[-1].endswith("add: --drop-rows-with-gaps --drop-rare-labels --drop sex,share")
    table = read(path, drop_rows_with_gaps=True, drop_rare_labels=True, drop=["sex,share"])
    assert table.individuals.rows.shape == (58, 2)


def test_a_column_with_many_gaps_is_better_left_out(tmp_path: Path) -> None:
    """The rows would be too few."""
    schema = write(tmp_path, "[features.a]\nrequired = true\n[features.b]\nrequired = true\n", "s.toml")
    message = refuse(write(tmp_path, make("a,b", *[f",{i * i}" for i in range(20)]) + "1,,a\n"), schema=schema)
    assert message.splitlines()[-1].endswith("add: --drop-rows-with-gaps --drop a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Measurements of 2024\n" + make("x,y"), "'Measurements of 2024', is a title and not the column names"),
        ("Lab,7,,\n\n" + make("x,y"), "is a title and not the column names"),
        (make("x,y").split("\n", 1)[1], "looks like a row of data"),
        ("5.1,3.5,setosa\n" * 20, "looks like a row of data"),
        (make("x,y").replace(",", " "), "the columns are separated by spaces"),
        (make("x,y").replace(",", ";").replace("x", "sep=,\nx"), "the columns are separated by semicolons: add"),
        ('"x,y,kind"\n' + '"1,2,a"\n"3,4,b"\n' * 20, "a pair of quotes is around each whole line"),
        (make("x,y").replace(",3", ",3,5").replace("\n1,", "\n1,0,", 1), "more cells than the header, which has 3"),
        ("x,y,kind\n" + "1,5,2,5,a\n3,5,4,5,b\n" * 20, "if the numbers have decimal commas"),
        ("x,y,kind\n1,2\n" + "1,5,a\n3,4,b\n" * 20, "line 2 has fewer cells than the header, which has 3"),
        (b"PK\x03\x04....", "is an Excel workbook or another ZIP archive: save it as CSV"),
        (b"\xd0\xcf\x11\xe0....", "is an Excel workbook of the old kind"),
        (b"BZh91AY", "is compressed with bzip2"),
        (b"\x1f\x8b\x08\x00damaged", "is compressed with gzip but damaged"),
        (b'[{"x": 1}]', "seems to be JSON"),
        (b"<!DOCTYPE html><html>", "seems to be HTML"),
        ("x,kind\n".encode("utf-16-le") * 9, "may be UTF-16"),
        (b"PAR1 and no more", "is not a valid Parquet file"),
        (make("x,x"), "two columns are named 'x'"),
        (make("x,\u200by\u202e"), "U+202E RIGHT-TO-LEFT OVERRIDE"),
        (make("x,a\u200bb"), "U+200B ZERO WIDTH SPACE"),
        (make("x," + "y" * 201), "has more than 200 characters"),
        (make("x,y").replace(",a\n", ",a\u2066\n"), "the label 'a\\u2066' has an invisible character"),
        (make("x,y").replace(",a\n", ",Setosa\n", 9).replace(",a\n", ",SETOSA\n"), "differ only in spelling"),
        (make("x,y").replace(",a\n", ",1\n", 9).replace(",a\n", ",1.0\n"), "differ only in spelling"),
        (make("x,y").replace(",a\n", ",red wine\n", 9).replace(",a\n", ",redwine\n"), "differ only in spelling"),
        (
            "t,kind\n" + "".join(f"{1700000000 + i % 9},{'ab'[i % 2]}\n" for i in range(40)),
            "single precision has steps of",
        ),
        (
            "t,kind\n" + "".join(f"{1 + i % 9 / 1e9},{'ab'[i % 2]}\n" for i in range(40)),
            "single precision has steps of",
        ),
    ],
)
def test_a_file_is_refused_for_what_it_is(tmp_path: Path, content: str | bytes, message: str) -> None:
    """Not for the first symptom."""
    assert message in refuse(write(tmp_path, content))


PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # with a joiner of width zero within the word


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (" x ", "x"),
        ("\u00a0x\u00a0", "x"),
        ("petal\u00a0length (cm)", "petal length (cm)"),
        ('"petal\r\nlength"', "petal length"),
        ("\u200bx\ufeff", "x"),
        ("gro\u0308\u00dfe", "gr\u00f6\u00dfe"),
        (PERSIAN, PERSIAN),
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("class", "class"),
        ("features", "features"),
        ("0", "0"),
        ("n" * 150, "n" * 150),
    ],
)
def test_names_and_labels_are_read_as_they_look(tmp_path: Path, written: str, read_as: str) -> None:
    """Spaces around them go; joiners within words stay."""
    text = make(f"{written},y").replace(",a\n", f",{written}\n")
    table = read(write(tmp_path, text))
    assert names(table) == [read_as, "y"]
    assert read_as in table.labels


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "2", "0", "1"], ("0", "1", "2", "10")),
        (["-1", "1"], ("-1", "1")),
        (["1.0", "10.0", "9.5"], ("1.0", "9.5", "10.0")),
        (["grade 10", "grade 2"], ("grade 10", "grade 2")),
        (["b", "a", "10"], ("10", "a", "b")),
    ],
)
def test_labels_that_are_numbers_are_sorted_as_numbers(tmp_path: Path, labels: list[str], expected: tuple[str]) -> None:
    """All others alphabetically; in Parquet, integers and decimals too."""
    rows = [f"{(i * i) % 37},{labels[i % len(labels)]}\n" for i in range(60)]
    assert read(write(tmp_path, "x,kind\n" + "".join(rows))).labels == expected


@pytest.mark.parametrize("dtype", ["int8", "float64", "category", "string", "bool"])
def test_labels_of_parquet_are_named_as_in_csv(tmp_path: Path, dtype: str) -> None:
    """A whole number has no decimals."""
    frame = pd.DataFrame(
        {"x": [(i * i) % 37 for i in range(40)], "kind": pd.Series([i % 2 for i in range(40)], dtype=dtype)}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").labels == (("False", "True") if dtype == "bool" else ("0", "1"))


@pytest.mark.parametrize("label", ["NA", "None", "nan"])
def test_na_is_a_label_only_on_request(tmp_path: Path, label: str) -> None:
    """Without the option its rows are gaps, and the message names the option."""
    path = write(tmp_path, make("x,y").replace(",a\n", f",{label}\n"))
    assert f"add --keep-na-labels if {label!r} is a label" in refuse(path)
    assert read(path, keep_na_labels=True).labels == tuple(sorted([label, "b"]))


def test_labels_that_differ_in_case_may_be_listed_in_a_schema(tmp_path: Path) -> None:
    """Then they are meant: Co is an element, CO a gas."""
    schema = write(tmp_path, 'labels = ["Co", "CO"]', "s.toml")
    text = make("x,y").replace(",a\n", ",Co\n").replace(",b\n", ",CO\n")
    assert read(write(tmp_path, text), schema=schema).labels == ("Co", "CO")


def test_types_of_parquet_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    """Decimals and text with numbers are numbers; truth values are categories."""
    numbers = [(i * i) % 37 for i in range(40)]
    table = pa.table(
        {
            "time": pa.array(numbers, pa.timestamp("s")),
            "flag": pa.array([number > 5 for number in numbers]),
            "list": pa.array([[number] for number in numbers]),
            "decimal": pa.array(numbers).cast(pa.decimal128(30, 2)),
            "text": pa.array(list(map(str, numbers))),
            "infinite": pa.array([float("inf"), *map(float, numbers[1:])]),
            "kind": ["a", "b"] * 20,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    lines = refuse(tmp_path / "t.parquet").splitlines()
    assert [line.split("'")[1] for line in lines[1:-1]] == ["time", "list", "infinite"]
    assert names(read(tmp_path / "t.parquet", drop=["time,list,infinite"])) == ["flag", "decimal", "text"]


@pytest.mark.parametrize(
    ("group", "folds", "message"),
    [
        (None, 12, "for each label, --folds 12 needs at least 24 rows, but 'a' has 20"),
        (None, 12, "add rows or lower --folds to 10"),
        ("box", 5, "add groups or leave out --group"),
        ("box", 0, "training needs at least 4 groups of 'box'"),
    ],
)
def test_too_few_rows_or_groups_for_the_folds(tmp_path: Path, group: str | None, folds: int, message: str) -> None:
    """The remedies are only those that exist."""
    rows = [f"{(i * i) % 37},{i // 20},{'ab'[i // 20]}\n" for i in range(40)]
    table = read(write(tmp_path, "x,box,kind\n" + "".join(rows)), group=group)
    with pytest.raises(DataError) as refused:
        check_groups(table, folds, group)
    assert message in str(refused.value)
