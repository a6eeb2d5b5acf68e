"""A user's table: what is read from it, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from models import table
from models.errors import DataError
from models.table import Table, check_groups, check_size

HEADER = "kind,width_mm,depth_mm,box\n"
LINES = [f"{'ab'[i % 2]},{i + 1},{(7 * i) % 11},{i // 4}\n" for i in range(40)]
GOOD = HEADER + "".join(LINES)


def write(folder: Path, text: str | bytes, name: str = "my.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_column_but_label_and_group_is_a_feature(tmp_path: Path) -> None:
    """Features keep their order, labels are sorted, bounds lie one range beyond the data."""
    read = Table.read(write(tmp_path, GOOD), "kind", group="box")
    assert [feature.name for feature in read.features] == ["width_mm", "depth_mm"]
    assert read.labels == ("a", "b")
    assert (read.features[0].minimum, read.features[0].maximum, read.features[0].unit) == (0, 79, "")
    assert len(read.groups) == 10
    assert read.individuals.rows.shape == (40, 2)
    assert read.is_grouped


def test_without_a_group_each_individual_is_a_group(tmp_path: Path) -> None:
    """The column is then a feature like the others."""
    read = Table.read(write(tmp_path, GOOD), "kind")
    assert len(read.groups) == 40
    assert len(read.features) == 3
    assert not read.is_grouped


def test_negative_data_has_a_negative_minimum(tmp_path: Path) -> None:
    """Only a feature that is never negative is bounded by 0."""
    read = Table.read(write(tmp_path, GOOD.replace("a,1,", "a,-1,")), "kind")
    assert read.features[0].minimum == -42


def test_a_schema_gives_units_bounds_how_and_the_order_of_labels(tmp_path: Path) -> None:
    """What the schema leaves out comes from the data."""
    schema = write(
        tmp_path,
        'labels = ["b", "a"]\n[features.width_mm]\nunit = "mm"\nminimum = 0.5\nmaximum = 50\nhow = "caliper"\n',
        "my.toml",
    )
    read = Table.read(write(tmp_path, GOOD), "kind", schema)
    width, depth = read.features[:2]
    assert read.labels == ("b", "a")
    assert (width.unit, width.minimum, width.maximum, width.how) == ("mm", 0.5, 50, "caliper")
    assert (depth.unit, depth.minimum, depth.maximum) == ("", 0, 20)
    assert read.source_hashes.keys() == {"my.csv", "my.toml"}


def test_measured_rows_are_neither_drawn_nor_repeated(tmp_path: Path) -> None:
    """For training as for evaluation, a sample has every individual of the groups once, however many are wanted."""
    read = Table.read(write(tmp_path, GOOD), "kind", group="box")
    groups = np.array([0, 3])
    sample = read.sample_augmented(groups, 80, np.random.default_rng(0))
    assert not read.is_sampled
    assert np.bincount(sample.groups).tolist() == [4, 0, 0, 4]


def test_a_byte_order_mark_blank_lines_and_spaces_are_ignored(tmp_path: Path) -> None:
    """Spreadsheets export them."""
    read = Table.read(write(tmp_path, "\ufeff" + GOOD.replace("\n", " \r\n\r\n")), "kind")
    assert read.labels == ("a", "b")
    assert len(read.individuals.rows) == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        (HEADER, "no rows"),
        (b"kind,a\n\xff\xfe", "not UTF-8"),
        (GOOD.replace("kind,width_mm", "kind,kind"), "two columns"),
        (GOOD.replace("width_mm", ""), "column 2 has no usable name"),
        (GOOD.replace("a,1,", "a,,"), "line 2, column 'width_mm': the cell is empty"),
        (GOOD.replace("a,1,", "a,inf,"), "line 2, column 'width_mm': 'inf'"),
        (GOOD.replace("a,1,", "a,nan,"), "line 2, column 'width_mm': 'nan'"),
        (GOOD.replace("a,1,", "a,tall,"), "line 2, column 'width_mm': 'tall'"),
        (GOOD.replace("a,1,", "a,1_0,"), "line 2, column 'width_mm': '1_0'"),
        (GOOD.replace("a,1,", "a,1e999,"), "line 2, column 'width_mm': 1e999 is too large"),
        (GOOD.replace("a,1,", ",1,"), "line 2, column 'kind': the cell has no valid label"),
        (GOOD.replace("a,1,", "a,1,2,"), "line 2, has 5 cells, the header 4"),
        (GOOD.replace("a,1,", '"a,1,'), "not valid CSV"),
        (GOOD.replace("b,", "a,"), "only the label 'a'"),
        (GOOD.replace("a,1,", "c,1,"), "has 1 of at least 10 rows with label 'c'"),
        (HEADER + "".join(f"{'ab'[i % 2]},5,{i},0\n" for i in range(40)), "'width_mm' is 5 in every row"),
        ("kind\n" + "a\nb\n" * 20, "no feature column"),
    ],
)
def test_a_table_unfit_for_training_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    """The error names the location and the fault in one line."""
    with pytest.raises(DataError, match=message) as refused:
        Table.read(write(tmp_path, text), "kind")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("label", "group"), [("species", None), ("kind", "herd"), ("kind", "kind")])
def test_an_unknown_column_is_refused(tmp_path: Path, label: str, group: str | None) -> None:
    """The error names the column, be it the label or the group."""
    with pytest.raises(DataError, match="column"):
        Table.read(write(tmp_path, GOOD), label, group=group)


def test_a_missing_or_oversized_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is checked before the file is read."""
    with pytest.raises(DataError, match="cannot read"):
        Table.read(tmp_path / "none.csv", "kind")
    monkeypatch.setattr(table, "MAX_FILE_BYTES", 10)
    with pytest.raises(DataError, match="larger than"):
        Table.read(write(tmp_path, GOOD), "kind")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("labels = ", "not valid TOML"),
        ('colour = "red"', "unknown key 'colour'"),
        ('labels = ["a", "c"]', "list each of a, b once"),
        ("labels = [1, 2]", "labels must be strings"),
        ("[features.length]", "'length', which is not a feature"),
        ("[features]\nwidth_mm = 3", "is not a section"),
        ('[features.width_mm]\nunits = "mm"', "unknown key 'units'"),
        ('[features.width_mm]\nminimum = "0"', "'minimum' of 'width_mm' must be a finite number"),
        ("[features.width_mm]\nmaximum = nan", "'maximum' of 'width_mm' must be a finite number"),
        ("[features.width_mm]\nminimum = true", "'minimum' of 'width_mm' must be a finite number"),
        ("[features.width_mm]\nminimum = 2", "widen the bounds"),
    ],
)
def test_an_invalid_schema_is_refused(tmp_path: Path, schema: str, message: str) -> None:
    """The error names the key."""
    with pytest.raises(DataError, match=message):
        Table.read(write(tmp_path, GOOD), "kind", write(tmp_path, schema, "my.toml"))


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
        Table.read(path, "kind")
    center = float(str(refused.value).split("subtract ")[1].split()[0])
    lines = [f"{'ab'[i % 2]},{value - center!r},{i}\n" for i, value in enumerate(values)]
    assert Table.read(write(tmp_path, "kind,when,other\n" + "".join(lines)), "kind").features[0].name == "when"


@pytest.mark.parametrize(("offset", "spread"), [(1.7e9, 1e7), (52.5, 0.05), (0, 1e-12), (1e20, 1e20), (1e29, 1e29)])
def test_a_spread_that_single_precision_can_hold_is_read(tmp_path: Path, offset: float, spread: float) -> None:
    """Unix seconds over months, latitudes in one town, any scale around 0."""
    lines = [f"{'ab'[i % 2]},{offset + spread * i / 40!r}\n" for i in range(40)]
    assert Table.read(write(tmp_path, "kind,x\n" + "".join(lines)), "kind").features[0].name == "x"


def test_more_ranges_than_a_manifest_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before training, not after it."""
    read = Table.read(write(tmp_path, GOOD), "kind")
    check_size(read)
    monkeypatch.setattr(table, "MAX_RANGES", 5)
    with pytest.raises(DataError, match="2 labels and 3 features"):
        check_size(read)


def test_too_few_groups_for_the_folds_are_refused(tmp_path: Path) -> None:
    """Every fold needs a holdout split with groups of each label."""
    read = Table.read(write(tmp_path, GOOD), "kind", group="box")
    with pytest.raises(DataError, match="--folds 5 needs 10"):
        check_groups(read, 5)
