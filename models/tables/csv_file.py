"""A CSV file as columns of text."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.command_line import ReadingOptions
from models.errors import DataError
from models.names import normalize_name
from models.tables.columns import Columns
from models.tables.csv_dialect import DELIMITERS, CsvDialect, detect_dialect
from models.tables.findings import Findings, count, list_some
from models.tables.source_file import open_text

_CELLS_AT_ONCE = 100_000  # as Python's strings, before they become compact columns


def read_csv(options: ReadingOptions, expected: Sequence[str], findings: Findings) -> Columns:
    """Read a CSV file, also a compressed one; what is detected of its dialect is noted, and blank lines are skipped.

    The dialect leads to the columns that are ``expected``.

    Raises:
        DataError: it is not a CSV file with a line of column names and rows below.
    """
    path, encoding, delimiter = options.table, options.encoding, options.delimiter
    if path is None:
        raise ValueError("a table needs a path")
    with open_text(path, encoding) as text:
        dialect = detect_dialect(path, text, [*map(normalize_name, expected)], delimiter)
    if dialect.delimiter != (delimiter or ","):
        findings.note(f"delimiter: {DELIMITERS.get(dialect.delimiter, repr(dialect.delimiter))}")
    with open_text(path, encoding) as text:
        columns = _Rows(path, text, dialect, findings).read_columns()
    if not len(columns.numbers):
        raise DataError(f"{path} has a header but no rows: add a line for each individual")
    return columns


class _Rows:
    """The rows of an open CSV file, with the number of cells that its header has."""

    def __init__(self, path: Path, text: io.TextIOWrapper, dialect: CsvDialect, findings: Findings) -> None:
        self._path = path
        self._dialect = dialect
        self._findings = findings
        for _ in range(dialect.skipped_lines):
            text.readline()
        self._reader = csv.reader(text, delimiter=dialect.delimiter, strict=True)
        self._width = 0
        self._last_line = dialect.skipped_lines
        self._too_long: list[int] = []
        self._too_short: list[int] = []

    def read_columns(self) -> Columns:
        try:
            return self._read_columns()
        except csv.Error as error:
            first, last = self._last_line + 1, self._line_number()
            where = f"line {last}" if first >= last else f"lines {first} to {last}"
            remedy = "close the quote that begins there" if last > first else "correct it"
            raise DataError(f"{self._path}, {where}: not valid CSV ({error}): {remedy}") from None

    def _read_columns(self) -> Columns:
        header = next(row for row in self._reader if any(cell.strip() for cell in row))
        names = [normalize_name(name) for name in header]
        if self._dialect.has_row_names:
            names.insert(0, "")
        self._width = len(names)
        numbers: list[np.ndarray] = []
        chunks: list[list[pa.Array]] = [[] for _ in names]
        rows = self._complete_rows()
        while block := list(islice(rows, max(1, _CELLS_AT_ONCE // self._width))):
            numbers.append(np.array([number for number, _ in block], np.int64))
            for chunk, cells in zip(chunks, zip(*(row for _, row in block), strict=True), strict=True):
                chunk.append(pa.array(cells, pa.string()))
        self._report_widths(sum(map(len, numbers)))
        return Columns(
            names,
            [pa.chunked_array(chunk, pa.string()) for chunk in chunks],
            np.concatenate(numbers) if numbers else np.zeros(0, np.int64),
            "line",
            self._dialect.delimiter,
        )

    def _complete_rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows with the number of their last line; empty cells beyond the last name are dropped."""
        for row in self._reader:
            self._last_line = self._line_number()
            if len(row) != self._width:
                while len(row) > self._width and not row[-1].strip():
                    row.pop()
                if len(row) != self._width:
                    if any(cell.strip() for cell in row):
                        (self._too_long if len(row) > self._width else self._too_short).append(self._last_line)
                    continue
            if any(cell.strip() for cell in row):
                yield self._last_line, row

    def _report_widths(self, complete: int) -> None:
        wrong = sorted(self._too_long + self._too_short)
        if not wrong:
            return
        lines = f"line{'s' if len(wrong) > 1 else ''} {list_some(wrong)}"
        if self._too_long and not complete and self._dialect.delimiter == ",":
            raise DataError(
                f"{self._path}: every line has more cells than the header, which has {self._width}: if the numbers "
                "have decimal commas, save the table with semicolons between the cells"
            )
        verb = "has" if len(wrong) == 1 else "have"
        kind = "more" if not self._too_short else "fewer" if not self._too_long else "more or fewer"
        self._findings.add_fault(
            f"{lines} {verb} {kind} cells than the header, which has {count(self._width, 'cell')}: correct "
            f"{'it' if len(wrong) == 1 else 'them'}"
        )

    def _line_number(self) -> int:
        return self._reader.line_num + self._dialect.skipped_lines
