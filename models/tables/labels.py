"""The labels of a table's rows."""

import re
import unicodedata
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.dataset import Integers
from models.names import MAX_NAME_LENGTH, normalize_name
from models.tables.cells import find_gaps, strip
from models.tables.columns import Flags
from models.tables.findings import Findings, count, list_some

MIN_ROWS_PER_LABEL = 10
MAX_LABELS = 1000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_JOINERS = "\u200c\u200d"  # visible within Persian and Hindi words and in emoji
_EMOJI_TAGS = range(0xE0020, 0xE0080)  # of flags


class NamedRows:
    """The values of a column of names: ``codes`` [rows] are indices into ``names``, -1 in a gap."""

    def __init__(self, column: pa.ChunkedArray, gap_markers: tuple[str, ...]) -> None:
        text = strip(_to_text(column))
        self.is_gap: Flags = find_gaps(text, gap_markers)
        self._text = text
        encoded = pc.if_else(pa.array(self.is_gap), None, text).dictionary_encode()
        raw_names = [normalize_name(name) for name in encoded.dictionary.to_pylist()]
        self.names = list(dict.fromkeys(raw_names))
        positions = {name: index for index, name in enumerate(self.names)}
        mapping = np.array([positions[name] for name in raw_names] or [0], np.intp)
        codes = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
        self.codes: Integers = np.where(self.is_gap, -1, mapping[codes])

    def find_markers(self) -> list[str]:
        """What stands in the gaps that are not empty, such as NA."""
        markers = self._text.filter(pa.array(self.is_gap)).unique().to_pylist()
        return [marker for marker in markers if marker]

    def count(self, is_used: Flags) -> dict[str, int]:
        """How many of the used rows have each name, in the order of their first appearance in the table."""
        codes = self.codes[is_used & ~self.is_gap]
        sizes = np.bincount(codes, minlength=len(self.names)).tolist()
        return {name: size for name, size in zip(self.names, sizes, strict=True) if size}

    def find(self, names: Collection[str]) -> Flags:
        """The rows that have one of the names."""
        return np.isin(self.codes, [index for index, name in enumerate(self.names) if name in names])

    def index_into(self, names: Sequence[str], is_used: Flags) -> Integers:
        """The used rows' names as indices into another list of ``names``, which has them all."""
        positions = {name: index for index, name in enumerate(names)}
        mapping = np.array([positions.get(name, -1) for name in self.names], np.intp)
        return mapping[self.codes[is_used]]


def list_labels(
    column: str, counts: dict[str, int], order: Sequence[str] | None, findings: Findings, position: int
) -> tuple[str, ...]:
    """The labels in the order of the schema, or else by size if all are numbers, or else in alphabetical order.

    ``counts`` says how many rows have each label.
    """
    check_names(column, list(counts), findings, position)
    if len(counts) == 1:
        findings.add_fault(
            f"column {column!r} has only the label {next(iter(counts))!r}: add rows with another label",
            position=position,
        )
    if order is None:
        _check_spellings(column, counts, findings, position)
    if len(counts) > MAX_LABELS or _is_quantity(counts):
        kind = "different numbers" if all(map(_NUMBER.fullmatch, counts)) else "labels"
        findings.add_fault(
            f"column {column!r} has {count(len(counts), kind, kind)} in {count(sum(counts.values()), 'row')}: the "
            f"network can predict one of at most {MAX_LABELS} labels but no quantity: choose another --label, or "
            "group the values in a few classes",
            position=position,
        )
        return tuple(counts)
    if rare := find_rare(counts):
        which = list_some([f"{name!r} ({number})" for name, number in rare.items()], 10)
        findings.add_fault(
            f"column {column!r} has fewer than {MIN_ROWS_PER_LABEL} rows with the label{'s' if len(rare) > 1 else ''} "
            f"{which}: add rows, or leave these out: --drop-rare-labels",
            position=position,
            option="--drop-rare-labels",
        )
    return tuple(order) if order is not None else sort_labels(counts)


def find_rare(counts: dict[str, int]) -> dict[str, int]:
    """The labels that too few rows have."""
    return {name: number for name, number in counts.items() if number < MIN_ROWS_PER_LABEL}


def sort_labels(names: Sequence[str] | dict[str, int]) -> tuple[str, ...]:
    """Numbers by size, so that 2 comes before 10; other names alphabetically."""
    if all(map(_NUMBER.fullmatch, names)):
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    return tuple(sorted(names))


def find_invisible(name: str) -> str | None:
    """The first character that cannot be seen, so that two names could look the same: its code and name."""
    for character in name:
        if character in _JOINERS or ord(character) in _EMOJI_TAGS or character.isprintable():
            continue
        return f"U+{ord(character):04X} {unicodedata.name(character, 'a control character')}"
    return None


def check_names(column: str, names: Sequence[str], findings: Findings, position: int, noun: str = "label") -> None:
    """Add a fault for each label, or other ``noun``, that cannot be told from another or is too long."""
    for name in names:
        if invisible := find_invisible(name):
            findings.add_fault(
                f"column {column!r}: the {noun} {name!a} has an invisible character ({invisible}): remove it",
                position=position,
            )
        elif len(name) > MAX_NAME_LENGTH:
            findings.add_fault(
                f"column {column!r}: the {noun} {name[:40]!r}... has more than {MAX_NAME_LENGTH} characters: "
                "shorten it",
                position=position,
            )


def _check_spellings(column: str, counts: dict[str, int], findings: Findings, position: int) -> None:
    """Labels that differ only in case, spaces, or the form of a number are most likely meant to be the same."""
    for names in find_similar(list(counts)):
        which = " and ".join(f"{name!r} ({count(counts[name], 'row')})" for name in names)
        listed = ", ".join(f'"{name}"' for name in names)
        findings.add_fault(
            f"column {column!r} has labels that differ only in spelling: {which}: write them alike, or list them "
            f"in a --schema (labels = [{listed}, ...]) if they are different",
            position=position,
        )


def find_similar(names: Sequence[str]) -> list[list[str]]:
    """Groups of names that differ only in case, spaces, or the form of a number."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(_key(name), []).append(name)
    return [group for group in spellings.values() if len(group) > 1]


def _key(name: str) -> str:
    if _NUMBER.fullmatch(name):
        return repr(float(name))
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _is_quantity(counts: dict[str, int]) -> bool:
    """Whether there are so many different numbers that they seem to be measured."""
    rows = sum(counts.values())
    return len(counts) > max(30, rows / MIN_ROWS_PER_LABEL) and all(map(_NUMBER.fullmatch, counts))


def _to_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any type as text, as pandas would write it: a whole number without decimals."""
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy()
        finite = numbers[np.isfinite(numbers)]
        if (finite == np.round(finite)).all() and (np.abs(finite) < 2**53).all():
            column = pc.if_else(pc.is_finite(column), column, None).cast(pa.int64())
    return column.cast(pa.string())
