"""A user's own table of individuals: a CSV file and, if wanted, a TOML file that describes its columns."""

import csv
import hashlib
import io
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.dataset import Floats, Integers, Sample
from models.errors import DataError
from models.manifest import Feature

LARGEST_FILE = 200_000_000  # bytes
FEWEST_INDIVIDUALS = 10  # of a label
LONGEST_NAME = 200
MOST_LABELS = 1000
LARGEST_NUMBER = 1e30  # beyond it float32 has no room for a square


@dataclass(frozen=True)
class Table:
    """Individuals as they were measured: ``rows`` [n, features] in file order, with each one's label and group."""

    about: str
    features: tuple[Feature, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    group_labels: Integers
    sample: Sample
    facts: dict[str, str]

    @property
    def label_weights(self) -> tuple[float, ...]:
        return (1.0,) * len(self.labels)

    @property
    def grouped(self) -> bool:
        return len(self.groups) < len(self.sample.rows)

    def individuals(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:  # noqa: ARG002 (it draws none)
        """All individuals of the groups."""
        return self._take(np.flatnonzero(np.isin(self.sample.groups, groups)))

    def varied(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """All individuals of the groups in random order, over and over until there are ``count``."""
        members = np.flatnonzero(np.isin(self.sample.groups, groups))
        turns = max(1, round(count / len(members)))
        return self._take(np.concatenate([rng.permutation(members) for _ in range(turns)]))

    def stressed(self, groups: Integers, count: int, rng: np.random.Generator) -> None:
        """None: measurements are no facts derived from others."""

    def _take(self, chosen: Integers) -> Sample:
        return Sample(self.sample.rows[chosen], self.sample.labels[chosen], self.sample.groups[chosen])


def read(path: Path, label: str, schema: Path | None = None, group: str | None = None) -> Table:
    """The individuals in a CSV file: every column but ``label`` and ``group`` is a numeric feature.

    Raises:
        DataError: the table or its schema cannot be trained on.
    """
    content = _content(path)
    header, lines = _lines(path, content)
    for what, column in (("--label", label), ("--group", group)):
        if column is not None and column not in header:
            raise DataError(f"{path} has no column {column!r}: give {what} one of {', '.join(header)}")
    if label == group:
        raise DataError(f"--group is the label's own column {label!r}: name another, or leave it out")
    names = [name for name in header if name not in (label, group)]
    if not names:
        raise DataError(f"{path} has no column beside {label!r}: add at least one numeric feature")
    rows = _numbers(path, header, lines, names)
    given = _schema(schema, names) if schema else {}
    said = [_text(path, number, label, line[header.index(label)]) for number, line in lines]
    labels = _labels(path, said, given.get("labels"), schema)
    features = tuple(
        _feature(path, name, rows[:, i], given.get("features", {}).get(name, {}), schema)
        for i, name in enumerate(names)
    )
    indices = np.array([labels.index(value) for value in said])
    groups = [line[header.index(group)].strip() for _, line in lines] if group else [str(number) for number, _ in lines]
    known = sorted(set(groups)) if group else groups
    place = {name: index for index, name in enumerate(known)}
    members = np.array([place[name] for name in groups])
    facts = {file.name: hashlib.sha256(_content(file)).hexdigest() for file in (path, schema) if file}
    about = f"{len(rows)} individuals measured by the owner of {path.name}, held apart " + (
        f"by {group} ({len(known)} of them)" if group else "one by one"
    )
    group_labels = np.zeros((len(known), len(labels)), int)
    np.add.at(group_labels, (members, indices), 1)
    sample = Sample(rows.astype(np.float32), indices, members)
    return Table(about, features, labels, tuple(known), group_labels.argmax(axis=1), sample, facts)


def check_groups(table: Table, folds: int) -> None:
    """That every label has groups enough to hold some apart from training, again in every fold.

    Raises:
        DataError: it has not.
    """
    needed = 2 * max(folds, 2)
    for index, name in enumerate(table.labels):
        found = int((table.group_labels == index).sum())
        if found < needed:
            raise DataError(
                f"label {name!r} is the commonest in only {found} groups, where {folds} folds need {needed}: "
                "add groups, or lower --folds, or leave out --group"
            )


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(f"{path} is larger than {LARGEST_FILE // 10**6} MB: train on a sample of it")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): check the path and its permissions") from None


def _lines(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and, with their line numbers, the lines below it; blank lines are none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        numbered = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}, is no CSV ({error}): correct it") from None
    if not numbered:
        raise DataError(f"{path} is empty: it needs a header and a line for each individual")
    header = [name.strip() for name in numbered[0][1]]
    for position, name in enumerate(header, 1):
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise DataError(f"{path}: column {position} has no name that can be used: name it in the first line")
        if header.index(name) != position - 1:
            raise DataError(f"{path}: two columns are called {name!r}: rename one")
    for number, line in numbered[1:]:
        if len(line) != len(header):
            raise DataError(f"{path}, line {number}, has {len(line)} cells instead of {len(header)}: correct it")
    if len(numbered) == 1:
        raise DataError(f"{path} has a header but no individual: add a line for each")
    return header, numbered[1:]


def _numbers(path: Path, header: list[str], lines: list[tuple[int, list[str]]], names: list[str]) -> Floats:
    columns = [(name, header.index(name)) for name in names]
    return np.array([[_number(path, number, name, line[i]) for name, i in columns] for number, line in lines])


def _number(path: Path, number: int, name: str, cell: str) -> float:
    where = f"{path}, line {number}, column {name!r}"
    if not cell.strip():
        raise DataError(f"{where}: the cell is empty: fill it in or remove the line")
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", cell, re.ASCII):
        raise DataError(f"{where}: {cell[:40]!r} is not a finite number: correct it or remove the column")
    value = float(cell)
    if not abs(value) < LARGEST_NUMBER:
        raise DataError(f"{where}: {cell[:40]} is beyond {LARGEST_NUMBER:g}: give it in a larger unit")
    return value


def _text(path: Path, number: int, name: str, cell: str) -> str:
    value = cell.strip()
    if not value or len(value) > LONGEST_NAME or not value.isprintable():
        raise DataError(
            f"{path}, line {number}, column {name!r}: the cell holds no label: fill it in or remove the line"
        )
    return value


def _labels(path: Path, said: list[str], order: list[str] | None, schema: Path | None) -> tuple[str, ...]:
    found = {value: said.count(value) for value in dict.fromkeys(said)} if len(set(said)) <= MOST_LABELS else {}
    if not found:
        raise DataError(f"{path} has more than {MOST_LABELS} labels: is --label the right column?")
    if len(found) == 1:
        raise DataError(f"{path} has only the label {said[0]!r}: it takes two labels to tell apart")
    for value, count in found.items():
        if count < FEWEST_INDIVIDUALS:
            raise DataError(f"{path} has {count} individuals of {value!r}: it takes {FEWEST_INDIVIDUALS} of each label")
    if order is not None and sorted(order) != sorted(found):
        raise DataError(f"labels in {schema} are not those of {path}: list each of {', '.join(sorted(found))} once")
    return tuple(order if order is not None else sorted(found))


def _feature(path: Path, name: str, values: Floats, given: dict[str, Any], schema: Path | None) -> Feature:
    """A feature as the schema describes it; bounds not given lie one range beyond the data."""
    least, most = float(values.min()), float(values.max())
    if np.float32(least) == np.float32(most):
        raise DataError(f"{path}: column {name!r} is {least:g} throughout and tells nothing: remove it")
    floor = 0.0 if least >= 0 else -math.inf
    minimum = given.get("minimum", max(floor, least - (most - least)))
    maximum = given.get("maximum", most + (most - least))
    if not minimum <= least < most <= maximum:
        raise DataError(
            f"{schema}: {name!r} is {least:g} to {most:g} in {path}, outside {minimum:g} to {maximum:g}: widen it"
        )
    return Feature(name=name, unit=given.get("unit", ""), minimum=minimum, maximum=maximum, how=given.get("how", ""))


def _schema(path: Path, names: list[str]) -> dict[str, Any]:
    """The schema file: ``labels = [...]`` and, for any feature, ``[features.<name>]`` with the keys below."""
    try:
        found = tomllib.loads(_content(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no TOML ({error}): correct it") from None
    _keys(path, "the schema", found, {"labels": list, "features": dict})
    if not all(isinstance(label, str) for label in found.get("labels", [])):
        raise DataError(f"{path}: labels must be strings: put them in quotes")
    for name, described in found.get("features", {}).items():
        if name not in names:
            raise DataError(f"{path} describes {name!r}, which is no feature of the table: use {', '.join(names)}")
        if not isinstance(described, dict):
            raise DataError(f"{path}: {name!r} is no section: write [features.{name}] and its keys below")
        _keys(path, repr(name), described, {"unit": str, "minimum": (int, float), "maximum": (int, float), "how": str})
    return found


def _keys(path: Path, where: str, found: dict[str, Any], kinds: dict[str, Any]) -> None:
    for key, value in found.items():
        if key not in kinds:
            raise DataError(f"{path}: {where} has an unknown key {key!r}: use {', '.join(kinds)}")
        bound = key in ("minimum", "maximum")
        if not isinstance(value, kinds[key]) or isinstance(value, bool) or (bound and not abs(value) < LARGEST_NUMBER):
            kind = {str: "a string", list: "a list", dict: "a section"}.get(kinds[key], "a finite number")
            raise DataError(f"{path}: {key!r} of {where} must be {kind}: correct it")
