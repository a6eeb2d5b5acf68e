"""Which delimiter a CSV file has, and whether its first line has the column names."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DataError
from models.names import normalize_name

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLE_CHARACTERS = 1 << 18
_SAMPLE_ROWS = 100
_TITLE_ROWS = 10  # among which the line with the column names is looked for
_EXCEL_LINE = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n|$)')  # Excel reads and writes such a line above the names
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is to be read: after ``skipped_lines``, cells are separated by ``delimiter``.

    With ``has_row_names``, the rows have one cell more than the line of names, in front, as R writes row names.
    """

    delimiter: str
    skipped_lines: int = 0
    has_row_names: bool = False


def detect_dialect(path: Path, text: io.TextIOBase, expected: Sequence[str], delimiter: str | None) -> CsvDialect:
    """Detect the dialect from the beginning of the text; the right delimiter leads to the ``expected`` columns.

    Raises:
        DataError: the file is empty, or its first line does not have the column names.
    """
    start = text.read(_SAMPLE_CHARACTERS)
    skipped = 0
    if excel := _EXCEL_LINE.match(start):
        delimiter, start, skipped = delimiter or excel[1], start[excel.end() :], 1
    if not start.strip():
        raise DataError(f"{path} is empty: add a header and a line for each individual")
    is_cut = len(start) > _SAMPLE_CHARACTERS // 2
    samples = {each: _parse_sample(start, each, is_cut) for each in ([delimiter] if delimiter else DELIMITERS)}
    chosen = max(samples, key=lambda each: _rate(samples[each], expected))
    rows = samples[chosen]
    missing = [name for name in expected if name not in _names(rows[0])]
    if missing:
        _refuse_title(path, rows, missing[0])
        _refuse_data_as_names(path, rows, f"has no column {missing[0]!r}, and its first line")
        _refuse_other_delimiter(path, rows[0], chosen, missing[0])
        _refuse_spaces(path, start, missing[0])
    elif not expected:
        _refuse_data_as_names(path, rows, "has no column names: its first line")
    return CsvDialect(chosen, skipped, _has_row_names(rows))


def _parse_sample(start: str, delimiter: str, is_cut: bool) -> list[list[str]]:  # noqa: FBT001
    """The first rows; the last one may be incomplete, so it goes if the text is cut."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(start, newline=""), delimiter=delimiter):
            if any(cell.strip() for cell in row):
                rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                return rows
    except csv.Error:  # an open quote; the error comes again, with its line, when all is read
        return rows or [[""]]
    return rows[:-1] if is_cut and len(rows) > 1 else rows


def _rate(rows: list[list[str]], expected: Sequence[str]) -> tuple[int, bool, bool, float]:
    """A larger result is more plausible: expected columns are there, and rows are as long as the header."""
    width = len(rows[0])
    same = sum(len(row) == width for row in rows) / len(rows)
    found = len(set(expected).intersection(_names(rows[0])))
    is_below = any(not set(expected).isdisjoint(_names(row)) for row in rows[1:_TITLE_ROWS])
    return found, is_below, width > 1, same


def _names(row: Sequence[str]) -> list[str]:
    return [normalize_name(cell) for cell in row]


def _refuse_title(path: Path, rows: list[list[str]], label: str) -> None:
    for row in rows[1:_TITLE_ROWS]:
        if label in _names(row):
            raise DataError(
                f"{path}: the first line, {_quote(rows[0])}, is a title and not the column names, which are in a line "
                "below: remove the lines above the column names"
            )


def _refuse_data_as_names(path: Path, rows: list[list[str]], what: str) -> None:
    """Refuse a first line that is a row of data; ``what`` says what is wrong with it."""
    numeric = sum(bool(_NUMBER.fullmatch(cell)) for cell in rows[0])
    if numeric > len(rows[0]) // 2 or (numeric and _have_same_kinds(rows[0], rows[1:])):
        raise DataError(
            f"{path} {what}, {_quote(rows[0])}, looks like a row of data: add a line with the column names above it"
        )


def _have_same_kinds(first: list[str], others: list[list[str]]) -> bool:
    """Whether the first row has its numbers where most of the others have them."""
    kinds = Counter(tuple(bool(_NUMBER.fullmatch(cell)) for cell in row) for row in others)
    return bool(kinds) and kinds.most_common(1)[0][0] == tuple(bool(_NUMBER.fullmatch(cell)) for cell in first)


def _refuse_other_delimiter(path: Path, header: list[str], delimiter: str, label: str) -> None:
    if len(header) > 1:
        return
    for other, name in DELIMITERS.items():
        if label in _names(header[0].split(other)):
            if other == delimiter:
                raise DataError(f"{path}: a pair of quotes is around each whole line: remove these quotes")
            raise DataError(f"{path}: the columns are separated by {name}: add --delimiter {other!r}")


def _refuse_spaces(path: Path, start: str, label: str) -> None:
    first_line = start.splitlines()[0].split()
    if len(first_line) > 1 and label in _names([cell.strip('"') for cell in first_line]):
        raise DataError(f"{path}: the columns are separated by spaces: save the table with commas between them")


def _has_row_names(rows: list[list[str]]) -> bool:
    width = len(rows[0])
    others = rows[1:]
    return bool(others) and all(len(row) == width + 1 for row in others) and any(row[-1].strip() for row in others)


def _quote(row: Sequence[str]) -> str:
    text = " | ".join(cell.strip() for cell in row if cell.strip())
    return repr(text if len(text) <= 60 else f"{text[:60]}...")  # noqa: PLR2004 (fits a line)
