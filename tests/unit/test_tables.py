"""A user's table: what is read from it, and what is refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from support.tables import read, write

from models.errors import DataError
from models.tables import dataset, source_file
from models.tables.dataset import check_groups, check_size

HEADER = "kind,width_mm,depth_mm,box\n"
LINES = [f"{'ab'[i % 2]},{2 * i + 1},{(7 * i) % 11},{i // 4}\n" for i in range(40)]
GOOD = HEADER + "".join(LINES)


def test_every_column_but_label_and_group_is_a_feature(tmp_path: Path) -> None:
    """Features keep their order, labels are sorted, bounds lie one range beyond the data."""
    table = read(write(tmp_path, GOOD), group="box")
    assert [feature.name for feature in table.features] == ["width_mm", "depth_mm"]
    assert table.labels == ("a", "b")
    assert (table.features[0].minimum, table.features[0].maximum, table.features[0].unit) == (0, 157, "")
    assert len(table.groups) == 10
    assert table.individuals.rows.shape == (40, 2)
    assert table.is_grouped


def test_without_a_group_each_individual_is_a_group(tmp_path: Path) -> None:
    """The column is then a feature like the others."""
    table = read(write(tmp_path, GOOD))
    assert len(table.groups) == 40
    assert len(table.features) == 3
    assert not table.is_grouped


def test_negative_data_has_a_negative_minimum(tmp_path: Path) -> None:
    """Only a feature that is never negative is bounded by 0."""
    table = read(write(tmp_path, GOOD.replace("a,1,", "a,-1,")))
    assert table.features[0].minimum == -81


def test_a_schema_gives_units_bounds_how_and_the_order_of_labels(tmp_path: Path) -> None:
    """What the schema leaves out comes from the data."""
    schema = write(
        tmp_path,
        'labels = ["b", "a"]\n[features.width_mm]\nunit = "mm"\nminimum = 0.5\nmaximum = 90\nhow = "caliper"\n',
        "my.toml",
    )
    table = read(write(tmp_path, GOOD), schema=schema)
    width, depth = table.features[:2]
    assert table.labels == ("b", "a")
    assert (width.unit, width.minimum, width.maximum, width.how) == ("mm", 0.5, 90, "caliper")
    assert (depth.unit, depth.minimum, depth.maximum) == ("", 0, 20)
    assert table.source_hashes.keys() == {"my.csv", "my.toml"}


def test_measured_rows_are_neither_drawn_nor_repeated(tmp_path: Path) -> None:
    """For training as for evaluation, a sample has every individual of the groups once, however many are wanted."""
    table = read(write(tmp_path, GOOD), group="box")
    groups = np.array([0, 3])
    sample = table.sample_augmented(groups, 80, np.random.default_rng(0))
    assert not table.is_sampled
    assert np.bincount(sample.groups).tolist() == [4, 0, 0, 4]


def test_a_byte_order_mark_blank_lines_and_spaces_are_ignored(tmp_path: Path) -> None:
    """Spreadsheets export them."""
    table = read(write(tmp_path, "\ufeff" + GOOD.replace("\n", " \r\n\r\n")))
    assert table.labels == ("a", "b")
    assert len(table.individuals.rows) == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        (HEADER, "no rows"),
        (b"kind,a\n\xff\xfe", "not UTF-8"),
        (GOOD.replace("kind,width_mm", "kind,kind"), "two columns"),
        (GOOD.replace("width_mm", ""), "column 2 has no name"),
        (GOOD.replace("a,1,", "a,inf,"), "column 'width_mm', line 2: 'inf' is an infinite number"),
        (GOOD.replace("a,1,", "a,tall,"), "column 'width_mm', line 2: 'tall' is not a number"),
        (GOOD.replace("a,1,", "a,1_0,"), "column 'width_mm', line 2: '1_0' is a number with underscores"),
        (GOOD.replace("a,1,", "a,1e999,"), "column 'width_mm', line 2: 1e999 is too large"),
        (GOOD.replace("a,1,", ",1,"), "column 'kind', line 2: the cell has no value"),
        (GOOD.replace("a,1,", "a,1,2,"), "line 2 has more cells than the header, which has 4"),
        (GOOD.replace("a,1,", '"a,1,'), "not valid CSV"),
        (GOOD.replace("b,", "a,"), "only the label 'a'"),
        (GOOD.replace("a,1,", "c,1,"), "fewer than 10 rows with the label 'c' \\(1\\)"),
        (HEADER + "".join(f"{'ab'[i % 2]},5,{i},0\n" for i in range(40)), "no feature column is left"),
        ("kind\n" + "a\nb\n" * 20, "no feature column"),
    ],
)
def test_a_table_unfit_for_training_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    """The error names the location and the fault in one line."""
    with pytest.raises(DataError, match=message) as refused:
        read(write(tmp_path, text))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("label", "group"), [("species", None), ("kind", "herd"), ("kind", "kind")])
def test_an_unknown_column_is_refused(tmp_path: Path, label: str, group: str | None) -> None:
    """The error names the column, be it the label or the group."""
    with pytest.raises(DataError, match="column"):
        read(write(tmp_path, GOOD), label, group=group)


def test_a_missing_or_oversized_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is checked before the file is read."""
    with pytest.raises(DataError, match="cannot read"):
        read(tmp_path / "none.csv")
    monkeypatch.setattr(source_file, "MAX_FILE_BYTES", 10)
    with pytest.raises(DataError, match="larger than"):
        read(write(tmp_path, GOOD))
    monkeypatch.setattr(source_file, "MAX_FILE_BYTES", 1000)
    packed = gzip.compress((HEADER + 10 * LINES[0]).encode() + 10_000 * b"\n")
    assert len(packed) < 1000
    with pytest.raises(DataError, match="larger than"):
        read(write(tmp_path, packed))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("labels = ", "not valid TOML"),
        ('colour = "red"', "unknown key 'colour'"),
        ('labels = ["a", "c"]', "list each of a, b once"),
        ("labels = [1, 2]", "labels must be strings"),
        ("[features.length]", "'length', which is not a feature"),
        ('[features.kind]\nunit = "mm"', "'kind', which is not a feature"),
        ("[features]\nwidth_mm = 3", "is not a section"),
        ('[features.width_mm]\nunits = "mm"', "unknown key 'units'"),
        ('[features.width_mm]\nminimum = "0"', "'minimum' of 'width_mm' must be a finite number"),
        ("[features.width_mm]\nmaximum = nan", "'maximum' of 'width_mm' must be a finite number"),
        ("[features.width_mm]\nminimum = true", "'minimum' of 'width_mm' must be a finite number"),
        ("[features.width_mm]\nminimum = 2", "widen the bounds"),
        ('[features.width_mm]\nkind = "text"', "'kind' of 'width_mm' is 'text': use number, integer, category"),
        ("[features.width_mm]\nkind = 1", "'kind' of 'width_mm' must be a string"),
        ("[features.width_mm]\nmissing = 1", "'missing' of 'width_mm' must be true or false"),
        ('[features.width_mm]\nother = "yes"', "'other' of 'width_mm' must be true or false"),
        ("[features.width_mm]\nrequired = []", "'required' of 'width_mm' must be true or false"),
        ("[features.width_mm]\ncategories = 3", "'categories' of 'width_mm' must be a list"),
        ("[features.width_mm]\ndefault = []", "'default' of 'width_mm' must be a text, a finite number, or true or"),
        ("[features.width_mm]\ndefault = inf", "'default' of 'width_mm' must be a text, a finite number, or true or"),
        ("[features.width_mm]\ndefault = 1979-05-27", "'default' of 'width_mm' must be a text, a finite number"),
        ("[features.width_mm]\ncategories = []", "all texts, all whole numbers or all truth values"),
        ('[features.width_mm]\ncategories = [1, "a"]', "all texts, all whole numbers or all truth values"),
        ("[features.width_mm]\ncategories = [1, true]", "all texts, all whole numbers or all truth values"),
        ("[features.width_mm]\ncategories = [1.5, 2.5]", "all texts, all whole numbers or all truth values"),
        ("[features.width_mm]\ncategories = [[1], [2]]", "all texts, all whole numbers or all truth values"),
        ('[features.width_mm]\ncategories = ["a", " a "]', "has the category 'a' twice"),
        ('[features.width_mm]\ncategories = ["a", " "]', "has an empty text in its 'categories'"),
        (f"[features.width_mm]\ncategories = {list(range(1001))}", "has 1,001 categories, but there may be 1,000"),
        ("[features.width_mm]\ncategories = [true, false]\nother = true", "truth values, which have no 'other'"),
        ('[features.width_mm]\nkind = "number"\ncategories = [1]', "has the kind 'number', but only a category has"),
        ('[features.width_mm]\nkind = "integer"\nother = true', "has the kind 'integer', but only a category has"),
        ('[features.width_mm]\nkind = "category"\nminimum = 0', "a category, which has no 'minimum' and 'maximum'"),
        ("[features.width_mm]\nother = true\nmaximum = 0", "a category, which has no 'minimum' and 'maximum'"),
        ('[features.width_mm]\nkind = "integer"\nminimum = 0.5', "its bounds must be whole numbers up to"),
        ('[features.width_mm]\nkind = "integer"\nmaximum = 1e9', "its bounds must be whole numbers up to"),
        ('[features.width_mm]\nkind = "integer"\ndefault = 1.5', "the default 1.5, which is not a whole number"),
        ('[features.width_mm]\nkind = "integer"\ndefault = 99999999', "an integer is at most ±16,777,216"),
        ('[features.width_mm]\nkind = "integer"\ndefault = -99999999', "an integer is at most ±16,777,216"),
        ("[features.width_mm]\ncategories = [1, 9007199254740992]", "whole numbers beyond ±9,007,199,254,740,991"),
        ("[features.width_mm]\ncategories = [-10000000000000000000]", "whole numbers beyond ±9,007,199,254,740,991"),
        ('[features.width_mm]\nkind = "number"\ndefault = "a"', "the default 'a', which is not a number"),
        ("[features.width_mm]\nmaximum = 100\ndefault = true", "the default True, which is not a number"),
        ("[features.width_mm]\nmaximum = 100\ndefault = 101", "the default 101, which is out of its bounds"),
        ("[features.width_mm]\ncategories = [1, 2]\ndefault = 3", "the default 3, which is not in its 'categories'"),
        ("[features.width_mm]\ncategories = [1, 2]\ndefault = true", "default True, which is not in its 'categories'"),
        ('[features.width_mm]\nkind = "category"\ndefault = " "', "has an empty text as its default"),
        ("[features.width_mm]\nrequired = true\nmissing = true", "has both 'required' and 'missing'"),
        ("[features.width_mm]\nrequired = true\ndefault = 1", "neither required nor missing"),
        ("[features.width_mm]\nmissing = true\ndefault = 1", "neither required nor missing"),
    ],
)
def test_an_invalid_schema_is_refused(tmp_path: Path, schema: str, message: str) -> None:
    """The error names the key."""
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, GOOD), schema=write(tmp_path, schema, "my.toml"))


@pytest.mark.parametrize(
    ("offset", "spread"),
    [(1.7e9, 60), (52.5, 1e-6), (-1e6, 0.1), (1e20, 1e12), (1e-3, 1e-11)],
)
def test_a_spread_that_single_precision_cannot_hold_is_refused(tmp_path: Path, offset: float, spread: float) -> None:
    """The error has the figures and what to subtract; the column is fit for training after that."""
    values = [offset + spread * i / 40 for i in range(40)]
    lines = [f"{'ab'[i % 2]},{value!r},{i}\n" for i, value in enumerate(values)]
    path = write(tmp_path, "kind,when,other\n" + "".join(lines))
    with pytest.raises(DataError, match=r"'when' varies by .* single precision has steps of .*: subtract ") as refused:
        read(path)
    center = float(str(refused.value).split("subtract ")[1].split()[0])
    lines = [f"{'ab'[i % 2]},{value - center!r},{i}\n" for i, value in enumerate(values)]
    assert read(write(tmp_path, "kind,when,other\n" + "".join(lines))).features[0].name == "when"


@pytest.mark.parametrize(("offset", "spread"), [(1.7e9, 1e7), (52.5, 0.05), (0, 1e-12), (1e20, 1e20), (1e29, 1e29)])
def test_a_spread_that_single_precision_can_hold_is_read(tmp_path: Path, offset: float, spread: float) -> None:
    """Unix seconds over months, latitudes in one town, any scale around 0."""
    lines = [f"{'ab'[i % 2]},{offset + spread * i / 40!r}\n" for i in range(40)]
    assert read(write(tmp_path, "kind,x\n" + "".join(lines))).features[0].name == "x"


def test_more_ranges_than_a_manifest_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before training, not after it."""
    table = read(write(tmp_path, GOOD))
    check_size(table, 6)
    monkeypatch.setattr(dataset, "MAX_RANGES", 5)
    with pytest.raises(DataError, match="2 labels and 3 features"):
        check_size(table, 6)


def test_too_few_groups_for_the_folds_are_refused(tmp_path: Path) -> None:
    """Every fold needs a holdout split with groups of each label."""
    table = read(write(tmp_path, GOOD), group="box")
    with pytest.raises(DataError, match="--folds 5 needs at least 10 groups of 'box'"):
        check_groups(table, 5, "box")
