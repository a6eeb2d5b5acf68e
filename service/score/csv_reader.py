"""CSV as a stream of Arrow batches, and of the lines that are not rows."""

from collections.abc import Callable, Iterator
from io import BufferedReader

import pyarrow as pa
from pyarrow import csv

from service.score.csv_header import read_header
from service.score.csv_source import CsvSource
from service.score.table_reader import Chunk, MalformedLine

_BLOCK_BYTES = 1 << 20
_MAX_QUOTED_LENGTH = 1000  # characters of a malformed line in its fault


class CsvReader:
    """Reads CSV with a header line; all values stay strings, so that kept columns are copied unchanged.

    A row must be shorter than ``block_bytes``.
    """

    def __init__(
        self,
        source: BufferedReader,
        fraction_read: Callable[[], float],
        delimiter: str,
        block_bytes: int = _BLOCK_BYTES,
    ) -> None:
        self.fraction_read = fraction_read
        self._header = read_header(source, delimiter)
        self._source = CsvSource(source, self._header)
        self._block_bytes = block_bytes
        self.schema = pa.schema([(name, pa.string()) for name in self._header.names])
        self._invalid_rows: list[csv.InvalidRow] = []  # lines with too few values or too many

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        first_row, reported = 0, 0
        for batch in self._batches(columns):
            malformed = []
            end = first_row + len(batch)
            # Arrow reads ahead: a line's number less the invalid lines before it is the number of the row after it.
            while reported < len(self._invalid_rows):
                line = self._invalid_rows[reported]
                row = line.number - 1 - reported
                if row >= end:
                    break
                if row >= start:
                    malformed.append(MalformedLine(row - max(start, first_row), _describe_invalid(line)))
                reported += 1
            if end > start:
                yield Chunk(batch.slice(max(0, start - first_row)), malformed)
            first_row = end
        if trailing := [MalformedLine(0, _describe_invalid(line)) for line in self._invalid_rows[reported:]]:
            schema = pa.schema([field for field in self.schema if field.name in columns])
            yield Chunk(pa.RecordBatch.from_pylist([], schema), trailing)

    def total_rows(self) -> int:
        return self._source.rows

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        if self._source.is_empty():  # which Arrow does not read
            return iter(())

        def skip_invalid(line: csv.InvalidRow) -> str:
            self._invalid_rows.append(line)
            return "skip"

        names = self._header.names
        parser = csv.open_csv(
            self._source,
            csv.ReadOptions(use_threads=False, block_size=self._block_bytes, column_names=names),
            csv.ParseOptions(
                delimiter=self._header.delimiter, invalid_row_handler=skip_invalid, newlines_in_values=True
            ),
            csv.ConvertOptions(column_types=self.schema, include_columns=columns if columns != names else None),
        )
        return iter(parser)


def _describe_invalid(line: csv.InvalidRow) -> str:
    text = line.text if len(line.text) <= _MAX_QUOTED_LENGTH else f"{line.text[:_MAX_QUOTED_LENGTH]} [...]"
    return f"the line has {line.actual_columns} values for {line.expected_columns} columns: {text}"
