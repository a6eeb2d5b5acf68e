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

from service.http.errors import TableError
from service.score.formats import Format

STANDARD = Path("-")  # input or output
ROWS = 16_384  # in a batch of Parquet or Arrow
_BUFFER = 1 << 20  # bytes
_MOST_OF_HEADER = 1 << 20
_MOST_OF_LINE = 1000
_FILE_MAGIC = b"ARROW1"


class Chunk(NamedTuple):
    """Rows, and lines of a CSV that are none: before which of the rows each stands, and what to say of it."""

    rows: pa.RecordBatch
    malformed: Sequence[tuple[int, str]] = ()


class Table(Protocol):
    """An open table, to be read once. ``text``: all its values are strings, numbers too."""

    schema: pa.Schema
    text: bool

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        """The rows from number ``start`` on, with these columns, which come in the table's order."""

    def portion(self) -> float:
        """How much of the table has been read, 0 to 1; 0 if nobody knows how much there is."""


@contextmanager
def opened(path: Path, kind: Format, delimiter: str) -> Iterator[Table]:
    """A table in a file, or on the standard input.

    Raises:
        TableError: it cannot be read, now or later.
    """
    try:
        with ExitStack() as stack:
            if kind is not Format.PARQUET:
                source, portion = _bytes(path, stack)
                yield CsvTable(source, portion, delimiter) if kind is Format.CSV else ArrowTable(source, portion)
            elif path == STANDARD:
                raise TableError("Parquet has its index at its end and cannot come on the standard input: name a file")
            else:
                yield ParquetTable(stack.enter_context(pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise TableError(f"{path} is not what {kind} should be: {' '.join(str(error).split())[:300]}") from None
    except python_csv.Error as error:
        raise TableError(f"{path}: its first line holds no names ({error})") from None


def _bytes(path: Path, stack: ExitStack) -> tuple[BufferedReader, Callable[[], float]]:
    """What a file holds, and what to call for how much of it has been read."""
    if path == STANDARD:
        return cast("BufferedReader", sys.stdin.buffer), lambda: 0
    file = stack.enter_context(path.open("rb"))
    size = max(1, path.stat().st_size)
    source = stack.enter_context(gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
    return cast("BufferedReader", source), lambda: file.tell() / size


class ParquetTable:
    """Rows are taken page by page, so that a file of one row group needs no more memory than any other."""

    text = False

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.schema = file.schema_arrow
        self._read = 0

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        groups, self._read = self._groups(start)
        batches = self._file.iter_batches(ROWS, row_groups=groups, columns=columns, use_threads=False)
        for batch in _from(batches, start - self._read):
            self._read += len(batch)
            yield Chunk(batch)

    def portion(self) -> float:
        return self._read / max(1, int(self._file.metadata.num_rows))

    def _groups(self, start: int) -> tuple[list[int], int]:
        """The row groups from the one that holds row ``start`` on, and the number of its first row."""
        first, metadata = 0, self._file.metadata
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if start < first + rows:
                return list(range(group, metadata.num_row_groups)), first
            first += rows
        return [], first


class ArrowTable:
    """Arrow's own format, as a file or as a stream."""

    text = False

    def __init__(self, source: BufferedReader, portion: Callable[[], float]) -> None:
        self.portion = portion
        if source.peek(len(_FILE_MAGIC)).startswith(_FILE_MAGIC):
            if not source.seekable():
                raise TableError("an Arrow file has its index at its end: send Arrow's stream format, or name the file")
            file = pa.ipc.open_file(source)
            self.schema: pa.Schema = file.schema
            self._batches: Iterable[pa.RecordBatch] = map(file.get_batch, range(file.num_record_batches))
        else:
            self._batches = stream = pa.ipc.open_stream(source)
            self.schema = stream.schema

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        for whole in _from(self._batches, start):
            batch = whole if columns == whole.schema.names else whole.select(columns)
            for first in range(0, len(batch), ROWS):
                yield Chunk(batch.slice(first, ROWS))


class CsvTable:
    """Values between delimiters under a line of names, all of them strings, so that none goes through changed."""

    text = True

    def __init__(self, source: BufferedReader, portion: Callable[[], float], delimiter: str) -> None:
        self.portion = portion
        self._source, self._delimiter = source, delimiter
        self._names = _header(source, delimiter)
        self.schema = pa.schema([(name, pa.string()) for name in self._names])
        self._lines: list[csv.InvalidRow] = []  # with too few values or too many

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        first, told = 0, 0
        for batch in self._batches(columns):
            malformed = []
            # Arrow reads ahead; a line's number, less the lines before it that were no rows, says where it belongs.
            while told < len(self._lines) and (place := self._lines[told].number - 1 - told) < first + len(batch):
                if place >= start:
                    malformed.append((place - max(start, first), _said(self._lines[told])))
                told += 1
            if first + len(batch) > start:
                yield Chunk(batch.slice(max(0, start - first)), malformed)
            first += len(batch)
        if self._lines[told:]:
            yield Chunk(_nothing(self.schema, columns), [(0, _said(line)) for line in self._lines[told:]])

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        if not self._source.peek(1):
            return iter(())

        def note(line: csv.InvalidRow) -> str:
            self._lines.append(line)
            return "skip"

        return iter(
            csv.open_csv(
                self._source,
                csv.ReadOptions(use_threads=False, block_size=_BUFFER, column_names=self._names),
                csv.ParseOptions(delimiter=self._delimiter, invalid_row_handler=note, newlines_in_values=True),
                csv.ConvertOptions(
                    column_types=self.schema, include_columns=columns if columns != self._names else None
                ),
            )
        )


def _from(batches: Iterable[pa.RecordBatch], start: int) -> Iterator[pa.RecordBatch]:
    """The batches without their first ``start`` rows."""
    for batch in batches:
        if start < len(batch):
            yield batch.slice(start)
        start = max(0, start - len(batch))


def _header(source: BufferedReader, delimiter: str) -> list[str]:
    """The names in a CSV's first line, which may be several if there are quotes."""
    text = ""
    while len(text) < _MOST_OF_HEADER and (line := source.readline(_MOST_OF_HEADER).decode("utf-8-sig")):
        text += line
        if text.count('"') % 2 == 0:
            break
    names = next(python_csv.reader(StringIO(text, newline=""), delimiter=delimiter), [])
    if not names:
        raise TableError("a CSV must begin with a line of names, and this one is empty")
    return names


def _said(line: csv.InvalidRow) -> str:
    return f"{line.actual_columns} values in a line under {line.expected_columns} names: {line.text[:_MOST_OF_LINE]}"


def _nothing(schema: pa.Schema, columns: list[str]) -> pa.RecordBatch:
    fields = [field for field in schema if field.name in columns]
    return pa.RecordBatch.from_pylist([], pa.schema(fields))
