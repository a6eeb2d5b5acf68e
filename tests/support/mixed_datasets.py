"""Datasets of codes, without reading files: the tables of `mixed_tables` with a kind of feature for each column."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.dataset import Floats, Sample
from models.feature import Feature, to_codes
from models.tables.dataset import Table
from support import mixed_tables

MIN_ROWS = 5  # a text with fewer rows is "other"


def penguins(rows: int = 344) -> Table:
    """Text of two kinds, gaps in numbers and in text, and whole years."""
    return build(mixed_tables.penguins(rows))


def titanic(rows: int = 891) -> Table:
    """Codes, truth values, and columns with few or many gaps; ``alive`` would tell the label."""
    return build(mixed_tables.titanic(rows), drop=("alive",), codes=("pclass",))


def adult(rows: int = 2000) -> Table:
    """Many categories, a question mark for a gap."""
    return build(mixed_tables.adult(rows))


def heart(rows: int = 303) -> Table:
    """Codes as whole numbers."""
    return build(mixed_tables.heart(rows), codes=("sex", "cp", "fbs", "restecg", "exang", "slope"))


def pets(rows: int = 1500) -> Table:
    """Breeds of which many are rare."""
    return build(mixed_tables.pets(rows), drop=("Description",))


def build(table: mixed_tables.Table, drop: Sequence[str] = (), codes: Sequence[str] = ()) -> Table:
    """Build the dataset of a table; columns of ``codes`` are categories although they are whole numbers."""
    names = [name for name in table.header if name not in (table.label, *drop)]
    columns = [_read_column(name, table.column(name), table.gap, is_code=name in codes) for name in names]
    features = [feature for feature, _ in columns]
    labels = sorted(set(table.column(table.label)))
    targets = np.array([labels.index(each) for each in table.column(table.label)])
    rows = to_codes(features, list(zip(*(values for _, values in columns), strict=True)))
    return build_dataset(features, labels, rows, targets)


def build_dataset(features: Sequence[Feature], labels: Sequence[str], rows: Floats, targets: Any) -> Table:
    """A dataset of rows of codes [n, features] with the index of each one's label, [n]."""
    everyone = np.arange(len(rows))
    groups = tuple(map(str, everyone))
    return Table("made", tuple(features), tuple(labels), groups, targets, Sample(rows, targets, everyone), {})


def _read_column(name: str, cells: Sequence[str], gap: str, *, is_code: bool) -> tuple[Feature, list[Any]]:
    """A column as a feature and its raw values: numbers, codes, truth values or text."""
    present = [cell for cell in cells if cell not in {gap, ""}]
    missing = len(present) < len(cells)
    convert: Any = str
    if set(present) <= {"True", "False"}:
        convert = "True".__eq__
    elif all(cell.lstrip("-").isdigit() for cell in present):
        convert = int
    elif all(cell.lstrip("-").replace(".", "", 1).isdigit() for cell in present):
        convert = float
    values = [None if cell in {gap, ""} else convert(cell) for cell in cells]
    known = [value for value in values if value is not None]
    if convert in (int, float) and not is_code:
        kind: Any = "integer" if convert is int else "number"
        return Feature(name=name, kind=kind, minimum=min(known), maximum=max(known), allow_missing=missing), values
    categories = tuple(sorted({value for value in known if known.count(value) >= MIN_ROWS}))
    other = convert is str and len(categories) < len(set(known))
    category: Any = {"kind": "category", "minimum": None, "maximum": None, "categories": categories}
    return Feature(name=name, allow_missing=missing, allow_other=other, **category), values
