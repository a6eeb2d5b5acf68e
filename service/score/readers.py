"""Tables as streams of Arrow batches, from any row on, in memory that does not grow with the file."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from service.score.csv_reader import CsvReader
from service.score.errors import ContentError, TableError
from service.score.formats import FileFormat, is_gzip
from service.score.options import STANDARD_STREAM
from service.score.table_reader import Chunk, TableReader

BATCH_ROWS = 16_384  # of Parquet and Arrow; CSV is read in blocks of bytes
_BUFFER_BYTES = 1 << 20
_ARROW_FILE_MAGIC = b"ARROW1"


@contextmanager
def open_table(path: Path, file_format: FileFormat, delimiter: str) -> Iterator[TableReader]:
    """A reader of the table in a file or on standard input, for use in a ``with`` statement.

    Raises:
        TableError: the content does not have the format; also for errors that occur while the table is read.
    """
    name = "standard input" if path == STANDARD_STREAM else path
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
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # not about the content
            raise
        reason = " ".join(str(error).split())[:300]
        raise TableError(f"{name} is not a valid {file_format} file: {reason}") from None
    except ContentError as error:
        raise TableError(f"{name}: {error}") from None


def _open_bytes(path: Path, stack: ExitStack) -> tuple[BufferedReader, Callable[[], float]]:
    """The uncompressed bytes of a file or of standard input, and a function for the fraction read so far."""
    if path == STANDARD_STREAM:
        return cast("BufferedReader", sys.stdin.buffer), lambda: 0
    file = stack.enter_context(path.open("rb"))
    size = max(1, path.stat().st_size)
    source = stack.enter_context(gzip.GzipFile(fileobj=file)) if is_gzip(path) else file
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

    def total_rows(self) -> int:
        return int(self._file.metadata.num_rows)

    def fraction_read(self) -> float:
        return self._rows_read / max(1, self.total_rows())

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
        self._rows_read = 0
        self._stream: _ArrowStream | None = None
        if source.peek(len(_ARROW_FILE_MAGIC)).startswith(_ARROW_FILE_MAGIC):
            if not source.seekable():
                raise ContentError(
                    "cannot read Arrow's file format from a stream: send the stream format, or name the file"
                )
            file = pa.ipc.open_file(source)
            self.schema: pa.Schema = file.schema
            self._batches: Iterable[pa.RecordBatch] = map(file.get_batch, range(file.num_record_batches))
        else:
            self._stream = _ArrowStream(source)
            self._batches = reader = pa.ipc.open_stream(self._stream)
            self.schema = reader.schema

    def chunks(self, start: int, columns: list[str]) -> Iterator[Chunk]:
        for batch in _skip_rows(self._counted_batches(), start):
            selected = batch if columns == batch.schema.names else batch.select(columns)
            for first_row in range(0, len(batch), BATCH_ROWS):
                yield Chunk(selected.slice(first_row, BATCH_ROWS))
        if self._stream:
            self._stream.require_end()

    def total_rows(self) -> int:
        return self._rows_read

    def _counted_batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self._rows_read += len(batch)
            yield batch


class _ArrowStream(RawIOBase):
    """The bytes of an Arrow stream. Arrow takes the end of the bytes for the end of the stream, even if it comes early.

    The format allows this, but every writer ends a stream with a marker, and without it rows may be missing.
    """

    def __init__(self, source: BufferedReader) -> None:
        super().__init__()
        self._source = source
        self._is_cut_off = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._source.read(size)
        self._is_cut_off = len(content) < size
        return content

    def require_end(self) -> None:
        if self._is_cut_off:
            raise ContentError("the stream does not end with Arrow's end-of-stream marker, so rows may be missing")
        if self._source.read(1):
            raise ContentError(
                "more bytes follow the end of the stream: if it is several streams joined, use a file for each"
            )


def _skip_rows(batches: Iterable[pa.RecordBatch], count: int) -> Iterator[pa.RecordBatch]:
    """The batches without their first ``count`` rows."""
    for batch in batches:
        if count < len(batch):
            yield batch.slice(count)
        count = max(0, count - len(batch))
