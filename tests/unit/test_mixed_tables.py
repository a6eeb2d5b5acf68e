"""Text, codes, truth values and gaps in a user's table: which kinds of features they become."""

import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import mixed_tables
from support.tables import read, read_noted, refuse, write

from models.errors import DataError
from models.feature import Feature, to_codes
from models.names import GAP_MARKERS, normalize_name
from models.options import parse_options
from models.tables import dataset
from models.tables.dataset import Table, check_groups, check_size

COUNT = 60


def make(*cells: object, other: str = "y", count: int = COUNT) -> str:
    """A table whose column x repeats the cells, beside a column of numbers and the label."""
    rows = [f'"{cells[i % len(cells)]}",{(i * i) % 37},{"ab"[i * 7 // 3 % 2]}\n' for i in range(count)]
    return f"x,{other},kind\n" + "".join(rows)


def read_x(path: Path, **options: Any) -> tuple[Feature, list[Any], list[str]]:
    """The feature x, its raw values, and the notes on it."""
    table, notes = read_noted(path, **options)
    (at,) = [at for at, feature in enumerate(table.features) if feature.name == "x"]
    values = [table.features[at].from_code(code) for code in table.individuals.rows[:, at].tolist()]
    return table.features[at], values, [note for note in notes if "x" in note]


def schema(folder: Path, *lines: str) -> Path:
    return write(folder, "[features.x]\n" + "\n".join(lines), "s.toml")


@pytest.mark.parametrize(
    ("cells", "categories"),
    [
        (["yes", "no"], ("no", "yes")),
        (["Torgersen", " Dream ", "Dream", "Biscoe"], ("Biscoe", "Dream", "Torgersen")),
        (["New  York", "New York", "Los\u00a0Angeles"], ("Los Angeles", "New York")),
        (["10-20", "20-30", "<10", ">30"], ("10-20", "20-30", "<10", ">30")),
        (["1st", "2nd", "3rd"], ("1st", "2nd", "3rd")),
        (["grade 10", "grade 2"], ("grade 10", "grade 2")),
        (["1", "2", "3 or more"], ("1", "2", "3 or more")),
        (["true", "false", "perhaps"], ("false", "perhaps", "true")),
        (["mu\u0308de", "m\u00fcde", "wach"], ("m\u00fcde", "wach")),
        (["a,b", "c;d", "1,5 m"], ("1,5 m", "a,b", "c;d")),
    ],
)
def test_text_becomes_a_category(tmp_path: Path, cells: list[str], categories: tuple[str, ...]) -> None:
    """Of its distinct texts, sorted and without superfluous spaces, which a note lists."""
    feature, values, notes = read_x(write(tmp_path, make(*cells)))
    assert (feature.kind, feature.categories, feature.is_required) == ("category", categories, True)
    assert values[0] in categories
    assert f"x: category, {len(categories)} values: {', '.join(categories)}" in notes


@pytest.mark.parametrize(
    "written", [("True", "False"), ("true", "false"), ("TRUE", "FALSE", ""), ("NA", "False", "True")]
)
def test_truth_values_are_a_category_of_false_and_true(tmp_path: Path, written: tuple[str, ...]) -> None:
    feature, values, _ = read_x(write(tmp_path, make(*written)))
    assert feature.categories == (False, True)
    assert feature.allow_missing == (len(written) > 2)
    assert values[:3] == [{"true": True, "false": False}.get(written[i % len(written)].lower()) for i in range(3)]
    feature, numbers, _ = read_x(tmp_path / "my.csv", schema=schema(tmp_path, 'kind = "number"'))
    assert feature.kind == "number"
    assert numbers == values


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([*range(19), "tall"], "'tall' (not a number: correct it)"),
        ([f"{i} %" for i in range(30)], "a percentage"),
        ([f"2024-01-{i + 1:02}" for i in range(5)], "a date"),
        ([f"12:{i + 10}" for i in range(30)], "a time"),
        ([f"${i}" for i in range(5)], "an amount of money"),
        ([f"{i * 7} cm" for i in range(60)], "a number with a unit"),
        ([1, 2, 3, "5 cm"], "a number with a unit"),
        ([*range(30), "?", "?"], "perhaps a missing value"),
        ([f"192.168.0.{i}" for i in range(60)], "other separators"),
    ],
)
def test_text_that_is_meant_to_be_numbers_is_a_fault(tmp_path: Path, cells: list[Any], message: str) -> None:
    """It says how to read it as a category all the same."""
    path = write(tmp_path, make(*cells))
    refused = refuse(path)
    assert message in refused
    assert 'if its values are categories, add --category x, or kind = "category" in a schema' in refused
    assert "\n" not in refused
    assert read_x(path, category=["x"])[0].is_category


def test_a_number_column_names_its_own_option(tmp_path: Path) -> None:
    """Also if its name has a comma."""
    path = write(tmp_path, make(*range(19), "tall").replace("x,", '"x, in cm",', 1))
    assert "add --category 'x, in cm', or" in refuse(path)
    assert read(path, category=["x, in cm"]).features[0].is_category


def test_perhaps_codes_name_an_option_for_each_column(tmp_path: Path) -> None:
    """One for all, and one of its own for each name with a comma."""
    rows = [f"{i % 3},{i % 4},{i % 5},{i * i % 37},{'ab'[i % 2]}\n" for i in range(COUNT)]
    path = write(tmp_path, 'u,"v, w",x,y,kind\n' + "".join(rows))
    (note,) = [note for note in read_noted(path)[1] if note.startswith("few different")]
    assert note.endswith("or add --category u,x --category 'v, w'")
    assert [feature.kind for feature in read(path, category=["u,x", "v, w"]).features] == [*["category"] * 3, "number"]
    path = write(tmp_path, path.read_text().replace("u,", '"u, t",', 1).replace(",x,", ',"x, z",', 1))
    (note,) = [note for note in read_noted(path)[1] if note.startswith("few different")]
    assert note.endswith("or add --category 'u, t' --category 'v, w' --category 'x, z'")


@pytest.mark.parametrize(("distinct", "is_kept"), [(20, True), (30, True), (31, False), (60, False)])
def test_text_that_hardly_repeats_is_left_out(tmp_path: Path, distinct: int, is_kept: bool) -> None:
    """Names and remarks, for example; the note says how to keep it."""
    path = write(tmp_path, make(*[f"Mr. {chr(65 + i % 26)}{i}" for i in range(distinct)]))
    table, notes = read_noted(path)
    assert [feature.name for feature in table.features] == ["x", "y"] if is_kept else ["y"]
    if not is_kept:
        assert (
            f"left out: column 'x' has {distinct} different values in 60 rows; to train on it, add --keep 'x'" in notes
        )
        assert len(read_x(path, keep=["x"])[0].categories) == distinct
        assert len(read_x(path, schema=schema(tmp_path, 'kind = "category"'))[0].categories) == distinct


def test_whole_numbers_are_numbers_but_a_note_asks(tmp_path: Path) -> None:
    """Unless there are two, which are the same to a network, or many, or the schema says what they are."""
    path = write(tmp_path, make(1, 2, 3))
    feature, _, notes = read_x(path)
    assert feature.is_plain
    assert len(notes) == 1
    assert notes[0].startswith(
        "few different whole numbers: 'x' (3): if they are codes and no quantities, write kind = "
    )
    assert notes[0].endswith('"category" for them in a schema, or add --category x')
    assert read_x(write(tmp_path, make(0, 1)))[2] == []
    assert read_x(write(tmp_path, make(*range(11), 5)))[2] == []
    assert read_x(write(tmp_path, make(1, 2.5, 3)))[2] == []
    path = write(tmp_path, make(1, 2, 3))
    for kind in ("number", "integer", "category"):
        feature, values, notes = read_x(path, schema=schema(tmp_path, f'kind = "{kind}"'))
        assert feature.kind == kind
        assert values[:3] == [1, 2, 3]
        assert not any("few different" in note for note in notes)


def test_an_integer_has_whole_bounds(tmp_path: Path) -> None:
    """Up to those that single precision can hold."""
    feature, values, notes = read_x(write(tmp_path, make(3, 5, 9)), schema=schema(tmp_path, 'kind = "integer"'))
    assert (feature.kind, feature.minimum, feature.maximum) == ("integer", 0, 15)
    assert type(values[0]) is int
    assert notes == ["x: integer, 3 to 9"]
    path = write(tmp_path, make(0, 2**24))
    assert read_x(path, schema=schema(tmp_path, 'kind = "integer"'))[0].maximum == 2**24


@pytest.mark.parametrize(
    ("cells", "rules", "message"),
    [
        ([1, 2.5], 'kind = "integer"', "lines 3, 5, 7 and 27 more: not a whole number"),
        ([1, 2**24 + 1], 'kind = "integer"', "single precision has every whole number: write kind"),
        ([2**26, 2**26 + 3], 'kind = "integer"', "single precision has every whole number: write kind"),
        ([-(2**26), -(2**26) - 3, ""], 'kind = "integer"', "single precision has every whole number: write kind"),
        ([1, 2**53, 5], 'kind = "category"', "write it as text"),
        (
            ["a", "b", "c"],
            'categories = ["a", "b"]',
            "'c' (20) is not in the list 'categories': correct it, or write oth",
        ),
        (["a", "b"], "categories = [1, 2]", "column 'x' is text ('a' and 'b')"),
        ([1, 2], "categories = [true, false]", "has other values than true and false"),
        (["true", "false", ""], "categories = [true, false]\nother = true", "truth values, which have no 'other'"),
        (["true", "false", ""], 'kind = "category"\nother = true', "truth values have no 'other'"),
        ([f"v{i}" for i in range(30)], "other = true", "every value has fewer than 10 rows"),
        (["a", "b"], 'kind = "category"\ndefault = "c"', "the default 'c' is none of its values"),
        (["a", "b", ""], 'kind = "category"\ndefault = 3', "the default 3 of 'x' is none of its texts"),
        ([1, 2, ""], 'kind = "category"\ndefault = "a"', "the default 'a' of 'x' is none of its whole numbers"),
        ([1, 2, ""], 'default = "a"', "the default 'a' of 'x' is not a number"),
        (
            ["a", ""],
            "required = true",
            "column 'x': 30 of 60 cells have no value (lines 3, 5, 7 and 27 more): fill them in",
        ),
        ([1.5, 2, ""], "missing = false", "20 of 60 cells have no value"),
        (["a", "b"], "minimum = 1", "column 'x' is text"),
        (["a", "b\u200bc"], 'kind = "category"', "the value 'b\\u200bc' has an invisible character"),
        (["a", "b" * 201], 'kind = "category"', "has more than 200 characters"),
    ],
)
def test_values_that_contradict_the_schema_are_a_fault(
    tmp_path: Path, cells: list[Any], rules: str, message: str
) -> None:
    refused = refuse(write(tmp_path, make(*cells)), schema=schema(tmp_path, rules))
    assert message in refused
    assert "\n" not in refused


def test_a_category_has_a_thousand_values_at_most(tmp_path: Path) -> None:
    """Unless its rare ones count as one."""
    path = write(tmp_path, make(*[f"v{i}" for i in range(1001)], *["often"] * 20, count=3000))
    assert "1,002 different values, but a category has at most 1,000: join some of them" in refuse(path)
    assert read_x(path, schema=schema(tmp_path, "other = true"))[0].categories == ("often",)


@pytest.mark.parametrize("written", ["1", "1.0", "+1"])
def test_codes_are_whole_numbers(tmp_path: Path, written: str) -> None:
    """However they are written, as pandas adds decimals to a column with gaps."""
    feature, values, _ = read_x(write(tmp_path, make(written, 10, 2, "")), category=["x"])
    assert feature.categories == (1, 2, 10)
    assert values[:4] == [1, 10, 2, None]


@pytest.mark.parametrize("codes", [["01067", "80331"], ["1.5", "2.5"], ["1", "2", "2B"]])
def test_codes_that_are_no_whole_numbers_are_texts(tmp_path: Path, codes: list[str]) -> None:
    """Such as postal codes with leading zeros."""
    assert read_x(write(tmp_path, make(*codes)), category=["x"])[0].categories == tuple(codes)


def test_a_schema_lists_the_categories_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path, make("small", "large", "medium"))
    feature, values, notes = read_x(path, schema=schema(tmp_path, 'categories = ["small", "medium", "large", "huge"]'))
    assert feature.categories == ("small", "medium", "large", "huge")
    assert values[:3] == ["small", "large", "medium"]
    assert notes[0].endswith("; no row has 'huge', so the network learns nothing of it")
    path = write(tmp_path, make(3, 1, 2))
    assert read_x(path, schema=schema(tmp_path, "categories = [3, 2, 1]"))[0].categories == (3, 2, 1)
    assert read_x(path, schema=schema(tmp_path, 'categories = ["3", "2", "1"]'))[0].categories == ("3", "2", "1")
    path = write(tmp_path, make("true", "false"))
    assert read_x(path, schema=schema(tmp_path, "categories = [true, false]"))[0].categories == (True, False)


def test_rare_categories_count_as_other(tmp_path: Path) -> None:
    """So that the network learns what other values mean; a list of the schema stays as it is."""
    cells = [*["often"] * 14, *["seldom"] * 4, "rare", "once"]
    path = write(tmp_path, make(*cells))
    feature, values, notes = read_x(path, schema=schema(tmp_path, "other = true"))
    assert (feature.categories, feature.allow_other) == (("often", "seldom"), True)
    assert values[:20] == [*cells[:18], None, None]
    assert notes[0].endswith("; 2 values in 6 rows and all unknown ones count as other")
    feature, _, notes = read_x(path, schema=schema(tmp_path, 'categories = ["once", "rare"]', "other = true"))
    assert feature.categories == ("once", "rare")
    assert "2 values in 54 rows and all unknown ones count as other" in notes[0]
    path = write(tmp_path, make("a", "b"))
    notes = read_x(path, schema=schema(tmp_path, "other = true"))[2]
    assert notes[0].endswith("; unknown ones count as other, which no row has, so the network learns nothing of it")


@pytest.mark.parametrize(("cells", "kind"), [([1, 2.5, ""], "number"), (["a", "NA", "b"], "category")])
def test_a_feature_with_gaps_may_be_missing(tmp_path: Path, cells: list[Any], kind: str) -> None:
    """Its note counts them; rows with gaps can be left out as well."""
    path = write(tmp_path, make(*cells))
    feature, values, notes = read_x(path)
    assert (feature.kind, feature.allow_missing) == (kind, True)
    assert values.count(None) == 20
    assert notes[0].endswith("; 20 of 60 are missing")
    feature, values, notes = read_x(path, drop_rows_with_gaps=True)
    assert feature.is_required
    assert (len(values), values.count(None)) == (40, 0)
    assert "left out: 20 rows of 60 with gaps (by column: 'x' 20)" in notes


@pytest.mark.parametrize("cells", [[1, 2.5], ["a", "b"], ["true", "false"]])
def test_a_schema_allows_missing_values(tmp_path: Path, cells: list[Any]) -> None:
    """A note warns that the network never saw one."""
    path = write(tmp_path, make(*cells))
    assert read_x(path)[0].is_required
    feature, _, notes = read_x(path, schema=schema(tmp_path, "missing = true"))
    assert feature.allow_missing
    assert notes[0].endswith("; none is missing, so the network learns nothing of missing ones")


@pytest.mark.parametrize(
    ("cells", "default", "expected"),
    [
        ([1, 2.5, ""], "9.5", 9.5),
        ([1, 2, ""], "0", 0.0),
        (["a", "b", ""], '"a"', "a"),
        (["a", "b", ""], '"none"', "none"),
        (["true", "false", ""], "false", False),
    ],
)
def test_a_default_fills_gaps(tmp_path: Path, cells: list[Any], default: str, expected: Any) -> None:
    """In the table and in requests; then no row has a gap that could be left out."""
    path = write(tmp_path, make(*cells))
    for drop in (False, True):
        rules = schema(tmp_path, f"default = {default}")
        feature, values, notes = read_x(path, schema=rules, drop_rows_with_gaps=drop)
        assert (feature.default, feature.allow_missing, values[2], len(values)) == (expected, False, expected, COUNT)
        assert "; 20 of 60 were missing, the default is" in notes[0]
        assert to_codes([feature], [[None]])[0, 0] == feature.to_code(expected)


def test_a_column_of_almost_only_gaps_is_left_out(tmp_path: Path) -> None:
    """With a note; the rows that have a value could not show what it means."""
    path = write(tmp_path, make("a", "b", *[""] * 58))
    table, notes = read_noted(path)
    assert [feature.name for feature in table.features] == ["y"]
    assert "left out: column 'x' has a value in only 2 of 60 rows; to train on it, add --keep 'x'" in notes
    assert read_x(path, keep=["x"])[0].categories == ("a", "b")
    assert read_x(path, schema=schema(tmp_path, 'default = "c"'))[0].categories == ("a", "b", "c")
    assert len(read(path, drop_rows_with_gaps=True).individuals.rows) == COUNT


def test_a_constant_column_is_left_out_unless_it_has_gaps(tmp_path: Path) -> None:
    """Where a value is missing is something to learn from."""
    assert "left out, because all rows have the same value: 'x' (a)" in read_noted(write(tmp_path, make("a")))[1]
    assert "left out, because all rows have the same value: 'x' (true)" in read_noted(write(tmp_path, make("true")))[1]
    assert read_x(write(tmp_path, make("a", "")))[0].categories == ("a",)
    assert read_x(write(tmp_path, make(5, "")))[0].allow_missing


@pytest.mark.parametrize("states", [("0", "1"), ("3", "7.5"), ("alive", "dead"), ("true", "false")])
@pytest.mark.parametrize("gaps", [0, 5])
def test_a_column_that_tells_the_label_is_noted(tmp_path: Path, states: tuple[str, str], gaps: int) -> None:
    """Of any kind, also if values are missing; but not one of which each row has another value."""
    labels = ["ab"[i * 7 // 3 % 2] for i in range(COUNT)]
    cells = ["" if i < gaps else states[label == "b"] for i, label in enumerate(labels)]
    rows = [f"{cell},{i},{label}\n" for i, (cell, label) in enumerate(zip(cells, labels, strict=True))]
    _, notes = read_noted(write(tmp_path, "state,y,kind\n" + "".join(rows)), keep=["y"])
    (note,) = [note for note in notes if "tells the label" in note]
    assert note.startswith("column 'state' tells the label")
    assert note.endswith("add --drop state")


def test_a_column_without_a_value_in_the_used_rows_is_noted(tmp_path: Path) -> None:
    """Whether no row has one, or only rows that are left out."""
    path = write(tmp_path, make(""))
    assert "left out: column 'x' has no value in any used row" in read_noted(path, keep=["x"])[1]
    rows = [f"{i if i < 4 else ''},{i % 7},{'rare' if i < 4 else 'ab'[i % 2]}\n" for i in range(COUNT)]
    path = write(tmp_path, "x,y,kind\n" + "".join(rows))
    notes = read_noted(path, keep=["x"], drop_rare_labels=True)[1]
    assert "left out: column 'x' has no value in any used row" in notes


def test_texts_that_differ_in_case_are_noted(tmp_path: Path) -> None:
    """They may be the same; so may a text that stands for a missing value."""
    notes = read_x(write(tmp_path, make("Male", "male", "female", "?")))[2]
    assert "column 'x': '?' is perhaps a missing value: if so, add --na-values='?'" in notes
    assert any("'Male' (15 rows) and 'male' (15 rows): write them alike" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"category": ["z"]}, "no column 'z': set --category to one of"),
        ({"category": ["kind"]}, "column 'kind' is no feature: remove it from --category"),
        ({"category": ["y"], "group": "y"}, "column 'y' is no feature: remove it from --category"),
    ],
)
def test_only_features_are_made_categories(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    assert message in refuse(write(tmp_path, make("a", "b")), **options)


def test_the_command_line_names_categories() -> None:
    """Separated by commas, or repeated; only with a table."""
    options = parse_options(["--data", "t.csv", "--label", "kind", "--category", "x,y", "--category", "a, b"])
    assert options.category == ["x,y", "a, b"]
    with pytest.raises(SystemExit):
        parse_options(["--category", "x"])


def test_a_column_is_not_a_number_and_a_category(tmp_path: Path) -> None:
    path = write(tmp_path, make(1, 2, 3))
    for rules in ('kind = "integer"', "minimum = 0"):
        refused = refuse(path, category=["x"], schema=schema(tmp_path, rules))
        assert "describes 'x' as a number: correct it, or leave the column out of --category" in refused


@pytest.mark.parametrize("words", [["left", "right"], ["1,234", "Main St", "Elm St"], ["1,5 to 2", "a"]])
def test_text_does_not_confuse_the_decimal_sign(tmp_path: Path, words: list[str]) -> None:
    """Only columns of numbers show it."""
    rows = [f"{words[i % len(words)]};{i % 7},5;{'ab'[i % 2]}\n" for i in range(COUNT)]
    table, notes = read_noted(write(tmp_path, "x;y;kind\n" + "".join(rows)))
    assert table.features[1].name == "y"
    assert table.individuals.rows[1, 1] == 1.5
    assert "decimal sign: comma, as in '0,5' in column 'y'" in notes


@pytest.mark.parametrize("name", ["penguins", "titanic", "adult", "heart", "pets"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_tables_of_tutorials_are_the_same_in_csv_and_parquet(tmp_path: Path, name: str, dictionary: bool) -> None:
    """Features and rows; no option is needed."""
    source = getattr(mixed_tables, name)()
    options: dict[str, Any] = {"label": source.label, "na_values": ["?"]}
    text = read(source.write_csv(tmp_path / "t.csv"), **options)
    typed = read(source.write_parquet(tmp_path / "t.parquet", dictionary=dictionary), **options)
    assert typed.features == text.features
    assert typed.labels == text.labels
    np.testing.assert_array_equal(typed.individuals.rows, text.individuals.rows)
    check_groups(text, 5, None)
    check_size(text, 6)
    _check_values(text, source)


def _check_values(table: Table, source: mixed_tables.Table) -> None:
    """The raw values of categories are the cells of the table."""
    for at, feature in enumerate(table.features):
        if feature.is_category and feature.category_type is str:
            values = [feature.from_code(code) or source.gap for code in table.individuals.rows[:, at].tolist()]
            assert values == source.column(feature.name)


def test_categories_of_parquet_have_its_order(tmp_path: Path) -> None:
    """If they are ordered; those that no row has are left out."""
    sizes = pd.Categorical(["small", "large", None] * 20, ["small", "huge", "large"], ordered=True)
    flags = pd.array([True, False, None] * 20, "boolean")
    frame = pd.DataFrame({"size": sizes, "flag": flags, "kind": ["a", "b"] * 30})
    frame.to_parquet(tmp_path / "t.parquet")
    size, flag = read(tmp_path / "t.parquet").features
    assert (size.categories, size.allow_missing) == (("small", "large"), True)
    assert (flag.categories, flag.allow_missing) == ((False, True), True)
    rows = read(tmp_path / "t.parquet").individuals.rows
    np.testing.assert_array_equal(rows[:3], [[0, 1], [1, 0], [np.nan, np.nan]])


def test_labels_and_groups_that_are_null_in_parquet_are_gaps(tmp_path: Path) -> None:
    """They counted as the first label."""
    columns = {"x": [(i * i) % 37 for i in range(COUNT)], "kind": [None, *(["a", "b"] * 30)[1:]]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert "column 'kind', row 1: the cell has no value" in refuse(tmp_path / "t.parquet")
    assert len(read(tmp_path / "t.parquet", drop_rows_with_gaps=True).individuals.rows) == COUNT - 1


@pytest.mark.parametrize("categories", ['["true", "false"]', "[0, 1]"])
def test_truth_values_of_parquet_have_no_other_categories(tmp_path: Path, categories: str) -> None:
    columns = {"x": [True, False, None] * 20, "kind": ["a", "b"] * 30}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    refused = refuse(tmp_path / "t.parquet", schema=schema(tmp_path, f"categories = {categories}"))
    assert "'x' has truth values: write categories = [false, true], or leave them out" in refused


@pytest.mark.parametrize(
    "array",
    [
        pa.array([7, 3, None] * 20),
        pa.array([7.0, 3.0, None] * 20, pa.float32()),
        pa.array([7, 3, None] * 20, pa.uint8()),
        pa.array([7, 3, None] * 20).cast(pa.decimal128(22, 2)),
        pa.array([7, 3, None] * 20).dictionary_encode(),
        pa.array(["7", "3", None] * 20, pa.large_string()),
    ],
    ids=lambda array: str(array.type),
)
def test_codes_of_parquet_are_integers(tmp_path: Path, array: pa.Array) -> None:
    """Whatever type they have; the schema can make texts of them, as they are written."""
    pq.write_table(pa.table({"x": array, "kind": ["a", "b"] * 30}), tmp_path / "t.parquet")
    feature, values, _ = read_x(tmp_path / "t.parquet", category=["x"])
    assert (feature.categories, values[:3]) == ((3, 7), [7, 3, None])
    seven, three = ("7.00", "3.00") if pa.types.is_decimal(array.type) else ("7", "3")
    rules = schema(tmp_path, f'categories = ["{seven}", "{three}"]')
    feature, values, _ = read_x(tmp_path / "t.parquet", schema=rules)
    assert (feature.categories, values[:3]) == ((seven, three), [seven, three, None])


def test_dates_in_parquet_are_a_fault(tmp_path: Path) -> None:
    columns = {"x": pa.array(range(COUNT), pa.timestamp("s")), "y": ["u", "v"] * 30, "kind": ["a", "b"] * 30}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert "column 'x' has dates or times: leave it out" in refuse(tmp_path / "t.parquet", category=["x"])


def test_more_categories_than_a_manifest_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(write(tmp_path, make("a", "b", "c")))
    check_size(table, 6)
    monkeypatch.setattr(dataset, "MAX_SHARES", 5)
    with pytest.raises(DataError, match="2 labels and 3 categories"):
        check_size(table, 6)


def test_vectors_that_a_manifest_cannot_hold_are_refused(tmp_path: Path) -> None:
    """Before hours of training, and with the remedy."""
    table = read(write(tmp_path, make(*(f"k{i}" for i in range(600)), count=2400)))
    check_size(table, 800)
    with pytest.raises(DataError, match=r"600 categories, and the first hidden layer has 999 units.*: lower --hidden"):
        check_size(table, 999)


words = st.text(st.characters(categories=["L", "N"]) | st.sampled_from(" -_.,;\"'"), min_size=1, max_size=8)


@given(st.lists(words, min_size=2, max_size=6), st.data())
@settings(deadline=None, max_examples=60)
def test_a_vocabulary_is_the_distinct_texts(vocabulary: list[str], data: st.DataObject) -> None:
    """In CSV as in Parquet, whatever they are; the rows read back equal."""
    names = [normalize_name(f"w{word}") for word in vocabulary]
    cells = [data.draw(st.sampled_from(names)) for _ in range(10)] + names * 10
    gaps = data.draw(st.sets(st.integers(0, len(cells) - 1), max_size=5))
    cells = [data.draw(st.sampled_from(GAP_MARKERS)) if i in gaps else cell for i, cell in enumerate(cells)]
    rows = [(cell, i * i % 37, "ab"[i % 2]) for i, cell in enumerate(cells)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("x", "y", "kind"), *rows])
        columns: dict[str, list[Any]] = {name: [row[at] for row in rows] for at, name in enumerate(("x", "y", "kind"))}
        columns["x"] = [None if i in gaps else cell for i, cell in enumerate(cells)]
        pq.write_table(pa.table(columns), Path(folder) / "t.parquet")
        tables = [read(path), read(Path(folder) / "t.parquet")]
    for table in tables:
        feature = table.features[0]
        present = {cell for i, cell in enumerate(cells) if i not in gaps}
        if len(present) == 1 and not gaps:
            assert feature.name == "y"
            continue
        assert set(feature.categories) == present
        assert feature.allow_missing == bool(gaps)
        read_back = [feature.from_code(code) for code in table.individuals.rows[:, 0].tolist()]
        assert read_back == [None if i in gaps else cell for i, cell in enumerate(cells)]
