"""Tables as streams of Arrow batches, from any row on, in memory that does not grow with the file."""

import csv as python_csv
import gzip
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BufferedReader, StringIO
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from service.score.errors import TableError
from service.score.formats import FileFormat
from service.score.options import STANDARD_STREAM

BATCH_ROWS = 16_384  # of Parquet and Arrow; CSV is read in blocks of bytes
_BUFFER_BYTES = 1 << 20
_MAX_HEADER_LENGTH = 1 << 20
_MAX_QUOTED_LENGTH = 1000  # characters of a malformed line in its fault
_ARROW_FILE_MAGIC = b"ARROW1"


class MalformedLine(NamedTuple):
    """A CSV line that is not a row: the index of the row in its chunk that follows it, and what is wrong with it."""

    position: int
    message: str


class Chunk(NamedTuple):
    """Consecutive rows of a table, and the malformed lines between them."""

    rows: pa.RecordBatch
    malformed: Sequence[MalformedLine] = ()


class TableReader(Protocol):
    """Reads an open table once."""

    schema: pa.Schema

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        """The rows from row number ``start`` on; ``columns`` are in the order of the schema."""

    def fraction_read(self) -> float:
        """How much of the table has been read, 0 to 1; always 0 if its size is unknown."""


@contextmanager
def open_table(path: Path, file_format: FileFormat, delimiter: str) -> Iterator[TableReader]:
    """A reader of the table in a file or on standard input, for use in a ``with`` statement.

    Raises:
        TableError: the content does not have the format; also for errors that occur while the table is read.
    """
    try:
        with ExitStack() as stack:
            if file_format is not FileFormat.PARQUET:
                source, fraction_read = _open_bytes(path, stack)
                if file_format is FileFormat.CSV:
                    yield CsvReader(source, fraction_read, delimiter)
                else:
                    yield ArrowReader(source, fraction_read)
            elif path == STANDARD_STREAM:
                raise TableError(
                    "cannot read Parquet from standard input, because its index is at its end: name a file"
                )
            else:
                file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
                yield ParquetReader(stack.enter_context(file))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, EOFError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TableError(f"{path} is not a valid {file_format} file: {reason}") from None
    except python_csv.Error as error:
        raise TableError(f"{path}: the first line does not contain column names ({error})") from None


def _open_bytes(path: Path, stack: ExitStack) -> tuple[BufferedReader, Callable[[], float]]:
    """The uncompressed bytes of a file or of standard input, and a function for the fraction read so far."""
    if path == STANDARD_STREAM:
        return cast("BufferedReader", sys.stdin.buffer), lambda: 0
    file = stack.enter_context(path.open("rb"))
    size = max(1, path.stat().st_size)
    source = stack.enter_context(gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
    return cast("BufferedReader", source), lambda: file.tell() / size


class ParquetReader:
    """Reads Parquet page by page, so that a single large row group needs no more memory than several small ones."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.schema = file.schema_arrow
        self._rows_read = 0

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        groups, self._rows_read = self._row_groups_from(start)
        batches = self._file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns, use_threads=False)
        for batch in _skip_rows(batches, start - self._rows_read):
            self._rows_read += len(batch)
            yield Chunk(batch)

    def fraction_read(self) -> float:
        return self._rows_read / max(1, int(self._file.metadata.num_rows))

    def _row_groups_from(self, start: int) -> tuple[list[int], int]:
        """The row groups from the one with row number ``start`` on, and the number of the first row in them."""
        first_row, metadata = 0, self._file.metadata
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if start < first_row + rows:
                return list(range(group, metadata.num_row_groups)), first_row
            first_row += rows
        return [], first_row


class ArrowReader:
    """Reads the Arrow file format and the Arrow stream format."""

    def __init__(self, source: BufferedReader, fraction_read: Callable[[], float]) -> None:
        self.fraction_read = fraction_read
        if source.peek(len(_ARROW_FILE_MAGIC)).startswith(_ARROW_FILE_MAGIC):
            if not source.seekable():
                raise TableError(
                    "cannot read Arrow's file format from a stream: send the stream format, or name the file"
                )
            file = pa.ipc.open_file(source)
            self.schema: pa.Schema = file.schema
            self._batches: Iterable[pa.RecordBatch] = map(file.get_batch, range(file.num_record_batches))
        else:
            self._batches = stream = pa.ipc.open_stream(source)
            self.schema = stream.schema

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        for batch in _skip_rows(self._batches, start):
            selected = batch if columns == batch.schema.names else batch.select(columns)
            for first_row in range(0, len(batch), BATCH_ROWS):
                yield Chunk(selected.slice(first_row, BATCH_ROWS))


class CsvReader:
    """Reads CSV with a header line; all values stay strings, so that kept columns are copied unchanged."""

    def __init__(self, source: BufferedReader, fraction_read: Callable[[], float], delimiter: str) -> None:
        self.fraction_read = fraction_read
        self._source, self._delimiter = source, delimiter
        self._names = _read_header(source, delimiter)
        self.schema = pa.schema([(name, pa.string()) for name in self._names])
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

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        if not self._source.peek(1):
            return iter(())

        def skip_invalid(line: csv.InvalidRow) -> str:
            self._invalid_rows.append(line)
            return "skip"

        return iter(
            csv.open_csv(
                self._source,
                csv.ReadOptions(use_threads=False, block_size=_BUFFER_BYTES, column_names=self._names),
                csv.ParseOptions(delimiter=self._delimiter, invalid_row_handler=skip_invalid, newlines_in_values=True),
                csv.ConvertOptions(
                    column_types=self.schema, include_columns=columns if columns != self._names else None
                ),
            )
        )


def _skip_rows(batches: Iterable[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    """The batches without their first ``count`` rows."""
    for batch in batches:
        if count < len(batch):
            yield batch.slice(count)
        count = max(0, count - len(batch))


def _read_header(source: BufferedReader, delimiter: str) -> list[str]:
    """The column names of a CSV; a quoted name may contain line breaks."""
    text = ""
    while len(text) < _MAX_HEADER_LENGTH and (line := source.readline(_MAX_HEADER_LENGTH).decode("utf-8-sig")):
        text += line
        if text.count('"') % 2 == 0:
            break
    names = next(python_csv.reader(StringIO(text, newline=""), delimiter=delimiter), [])
    if not names:
        raise TableError("a CSV file must begin with a line of column names, but its first line is empty")
    return names


def _describe_invalid(line: csv.InvalidRow) -> str:
    text = line.text[:_MAX_QUOTED_LENGTH]
    return f"the line has {line.actual_columns} values for {line.expected_columns} columns: {text}"
