"""A user's own dataset: a CSV file of individuals and an optional TOML schema that describes its columns."""

import csv
import hashlib
import io
import math
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.dataset import Floats, Integers, Sample
from models.errors import DataError
from models.manifest import Feature

MAX_FILE_BYTES = 200_000_000
MIN_ROWS_PER_LABEL = 10
MAX_NAME_LENGTH = 200
MAX_LABELS = 1000
MAX_MAGNITUDE = 1e30  # the square of a larger number overflows float32
FLOAT = (int, float)
SCHEMA_KEYS = {"labels": list, "features": dict}
FEATURE_KEYS = {"unit": str, "minimum": FLOAT, "maximum": FLOAT, "how": str}


@dataclass(frozen=True)
class Table:
    """The dataset of a CSV file; ``individuals`` are its rows in file order."""

    description: str
    features: tuple[Feature, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    group_labels: Integers
    individuals: Sample
    source_hashes: dict[str, str]

    @classmethod
    def read(cls, path: Path, label: str, schema_path: Path | None = None, group: str | None = None) -> "Table":
        """Read a CSV file in which every column except ``label`` and ``group`` is a numeric feature.

        Raises:
            DataError: the table or its schema is unfit for training.
        """
        header, lines = _parse_csv(path, _read_bytes(path))
        feature_names = _select_features(path, header, label, group)
        columns = [(name, header.index(name)) for name in feature_names]
        rows = np.array([[_parse_number(path, number, name, line[i]) for name, i in columns] for number, line in lines])
        schema = _read_schema(schema_path, feature_names) if schema_path else {}
        row_labels = [_parse_label(path, number, label, line[header.index(label)]) for number, line in lines]
        labels = _list_labels(path, row_labels, schema.get("labels"), schema_path)
        features = tuple(
            _build_feature(path, name, rows[:, i], schema.get("features", {}).get(name, {}), schema_path)
            for i, name in enumerate(feature_names)
        )
        label_indices = np.array([labels.index(value) for value in row_labels])
        row_groups = [line[header.index(group)].strip() if group else str(number) for number, line in lines]
        groups = sorted(set(row_groups)) if group else row_groups
        positions = {name: index for index, name in enumerate(groups)}
        group_indices = np.array([positions[name] for name in row_groups])
        label_counts = np.zeros((len(groups), len(labels)), int)
        np.add.at(label_counts, (group_indices, label_indices), 1)
        sources = [path, schema_path] if schema_path else [path]
        grouping = f", grouped by {group} ({len(groups)} groups)" if group else ""
        return cls(
            description=f"{len(rows)} individuals from {path.name}{grouping}",
            features=features,
            labels=labels,
            groups=tuple(groups),
            group_labels=label_counts.argmax(axis=1),
            individuals=Sample(rows.astype(np.float32), label_indices, group_indices),
            source_hashes={source.name: hashlib.sha256(_read_bytes(source)).hexdigest() for source in sources},
        )

    @property
    def label_weights(self) -> tuple[float, ...]:
        return (1.0,) * len(self.labels)

    @property
    def is_grouped(self) -> bool:
        return len(self.groups) < len(self.individuals.rows)

    def sample(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:  # noqa: ARG002 (nothing is drawn)
        """All individuals of the groups."""
        return self._take(self._find_members(groups))

    def sample_augmented(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """All individuals of the groups in random order, repeated until there are about ``count``."""
        members = self._find_members(groups)
        repetitions = max(1, round(count / len(members)))
        return self._take(np.concatenate([rng.permutation(members) for _ in range(repetitions)]))

    def sample_stressed(self, groups: Integers, count: int, rng: np.random.Generator) -> None:
        """None: a measurement is not derived from other facts."""

    def split_extremes(self) -> None:
        """None: what is extreme in size or proportions is not known of a user's features."""

    def _find_members(self, groups: Integers) -> Integers:
        return np.flatnonzero(np.isin(self.individuals.groups, groups))

    def _take(self, indices: Integers) -> Sample:
        everyone = self.individuals
        return Sample(everyone.rows[indices], everyone.labels[indices], everyone.groups[indices])


def check_groups(table: Table, folds: int) -> None:
    """Check that every label has enough groups for a holdout split in every fold.

    Raises:
        DataError: a label has too few groups.
    """
    needed = 2 * max(folds, 2)
    for index, name in enumerate(table.labels):
        count = int((table.group_labels == index).sum())
        if count < needed:
            raise DataError(
                f"label {name!r} is the most frequent in only {count} groups, but --folds {folds} needs {needed}: "
                "add groups, lower --folds, or leave out --group"
            )


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{path} is larger than {MAX_FILE_BYTES // 10**6} MB: train on a sample of it")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): check the path and its permissions") from None


def _parse_csv(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and the other lines with their line numbers, without blank ones."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        numbered = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}, is not valid CSV ({error}): correct it") from None
    if not numbered:
        raise DataError(f"{path} is empty: add a header and a line for each individual")
    header = [name.strip() for name in numbered[0][1]]
    for position, name in enumerate(header, 1):
        if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise DataError(f"{path}: column {position} has no usable name: correct it in the header")
        if header.index(name) != position - 1:
            raise DataError(f"{path}: two columns are named {name!r}: rename one")
    for number, line in numbered[1:]:
        if len(line) != len(header):
            raise DataError(f"{path}, line {number}, has {len(line)} cells, the header {len(header)}: correct it")
    if len(numbered) == 1:
        raise DataError(f"{path} has a header but no rows: add a line for each individual")
    return header, numbered[1:]


def _select_features(path: Path, header: list[str], label: str, group: str | None) -> list[str]:
    for option, column in (("--label", label), ("--group", group)):
        if column is not None and column not in header:
            raise DataError(f"{path} has no column {column!r}: set {option} to one of {', '.join(header)}")
    if label == group:
        raise DataError(f"--group is the label column {label!r}: choose another column, or leave out --group")
    names = [name for name in header if name not in (label, group)]
    if not names:
        raise DataError(f"{path} has no feature column: add at least one numeric column")
    return names


def _parse_number(path: Path, number: int, name: str, cell: str) -> float:
    location = f"{path}, line {number}, column {name!r}"
    if not cell.strip():
        raise DataError(f"{location}: the cell is empty: fill it in or remove the line")
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", cell, re.ASCII):
        raise DataError(f"{location}: {cell[:40]!r} is not a finite number: correct it or remove the column")
    value = float(cell)
    if not abs(value) < MAX_MAGNITUDE:
        raise DataError(f"{location}: {cell[:40]} is too large (the limit is ±{MAX_MAGNITUDE:g}): use a larger unit")
    return value


def _parse_label(path: Path, number: int, name: str, cell: str) -> str:
    value = cell.strip()
    if not value or len(value) > MAX_NAME_LENGTH or not value.isprintable():
        raise DataError(
            f"{path}, line {number}, column {name!r}: the cell has no valid label: "
            f"enter 1 to {MAX_NAME_LENGTH} printable characters or remove the line"
        )
    return value


def _list_labels(path: Path, cells: list[str], order: list[str] | None, schema_path: Path | None) -> tuple[str, ...]:
    """List the labels in the order of the schema, or else in alphabetical order."""
    counts = Counter(cells)
    if len(counts) > MAX_LABELS:
        raise DataError(f"{path} has more than {MAX_LABELS} labels: check that --label is the right column")
    if len(counts) == 1:
        raise DataError(f"{path} has only the label {cells[0]!r}: add rows with another label")
    for value, count in counts.items():
        if count < MIN_ROWS_PER_LABEL:
            raise DataError(f"{path} has {count} of at least {MIN_ROWS_PER_LABEL} rows with label {value!r}: add rows")
    labels = sorted(counts)
    if order is not None and sorted(order) != labels:
        raise DataError(f"labels in {schema_path} differ from those in {path}: list each of {', '.join(labels)} once")
    return tuple(labels if order is None else order)


def _build_feature(path: Path, name: str, values: Floats, section: dict[str, Any], schema_path: Path | None) -> Feature:
    """Build a feature from its section of the schema; a bound that is not given lies one range beyond the data."""
    low, high = float(values.min()), float(values.max())
    if np.float32(low) == np.float32(high):
        raise DataError(f"{path}: column {name!r} is {low:g} in every row: remove it")
    floor = 0.0 if low >= 0 else -math.inf
    minimum = section.get("minimum", max(floor, low - (high - low)))
    maximum = section.get("maximum", high + (high - low))
    if not minimum <= low < high <= maximum:
        raise DataError(
            f"{schema_path}: {minimum:g} to {maximum:g} for {name!r} excludes values in {path}, "
            f"which run from {low:g} to {high:g}: widen the bounds"
        )
    unit, how = section.get("unit", ""), section.get("how", "")
    return Feature(name=name, unit=unit, minimum=minimum, maximum=maximum, how=how)


def _read_schema(path: Path, names: list[str]) -> dict[str, Any]:
    """Read a schema: ``labels = [...]`` and, for any feature, ``[features.<name>]`` with `FEATURE_KEYS`."""
    try:
        schema = tomllib.loads(_read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML ({error}): correct it") from None
    _check_keys(path, "the schema", schema, SCHEMA_KEYS)
    if not all(isinstance(label, str) for label in schema.get("labels", [])):
        raise DataError(f"{path}: labels must be strings: put them in quotes")
    for name, section in schema.get("features", {}).items():
        if name not in names:
            raise DataError(f"{path} describes {name!r}, which is not a feature of the table: use {', '.join(names)}")
        if not isinstance(section, dict):
            raise DataError(f"{path}: {name!r} is not a section: write [features.{name}] and its keys below")
        _check_keys(path, repr(name), section, FEATURE_KEYS)
    return schema


def _check_keys(path: Path, location: str, section: dict[str, Any], types: dict[str, Any]) -> None:
    for key, value in section.items():
        if key not in types:
            raise DataError(f"{path}: {location} has an unknown key {key!r}: use {', '.join(types)}")
        has_type = isinstance(value, types[key]) and not isinstance(value, bool)
        if not has_type or (types[key] is FLOAT and not abs(value) < MAX_MAGNITUDE):
            expected = {str: "a string", list: "a list", dict: "a section"}.get(types[key], "a finite number")
            raise DataError(f"{path}: {key!r} of {location} must be {expected}: correct it")
