"""Writers of tables, each of which appears at its path complete or not at all."""

import gzip
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from service.score.errors import TableError
from service.score.formats import FileFormat, is_gzip
from service.score.options import STANDARD_STREAM
from service.score.scorer import WITHOUT_VIEW, decode_dictionaries, decode_schema

Convert = Callable[[pa.RecordBatch], pa.RecordBatch]

_ROW_GROUP_ROWS = 131_072
_GZIP_LEVEL = 6  # gzip's own default
_SAMPLED_ROWS = 10_000  # of the first row group, to find columns with repeated values


class TableWriter:
    """Writes one table to a temporary file beside ``path``, or directly to standard output."""

    def __init__(self, path: Path, file_format: FileFormat, schema: pa.Schema) -> None:
        self._path = path
        self._temporary_path = path.with_name(f".{path.name}.writing")
        self._is_stdout = path == STANDARD_STREAM
        if self._is_stdout and file_format is FileFormat.PARQUET:
            raise TableError("cannot write Parquet to standard output: use --to csv or --to arrow, or name a file")
        self._file: Any = sys.stdout.buffer if self._is_stdout else self._temporary_path.open("wb")
        # Without a time in its header, the same table is the same bytes.
        self._gzip = gzip.GzipFile("", "wb", _GZIP_LEVEL, self._file, mtime=0) if is_gzip(path) else None
        as_stream = self._is_stdout or path.suffix.lower() == ".arrows"
        self._writer, self._convert = _open_writer(self._gzip or self._file, file_format, schema, as_stream=as_stream)

    def write(self, batch: pa.RecordBatch) -> None:
        if len(batch):
            self._writer.write(self._convert(batch))

    def publish(self) -> None:
        """Complete the table and rename it into place."""
        self._writer.close()
        if self._gzip:
            self._gzip.close()
        self._file.flush()
        if not self._is_stdout:
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary_path.replace(self._path)

    def discard(self) -> None:
        """Remove the temporary file; a published table stays."""
        if not self._is_stdout:
            with suppress(OSError, pa.ArrowException):  # closing writes a footer, which may fail and is not needed
                self._writer.close()
                if self._gzip:
                    self._gzip.close()
            self._file.close()
            self._temporary_path.unlink(missing_ok=True)


def _open_writer(file: Any, file_format: FileFormat, schema: pa.Schema, *, as_stream: bool) -> tuple[Any, Convert]:
    """A writer of batches, and the conversion to what its format can hold."""
    if file_format is FileFormat.PARQUET:
        return _ParquetWriter(file, schema), lambda batch: batch
    if file_format is FileFormat.CSV:
        return csv.CSVWriter(file, _csv_schema(schema)), _encode_nested
    # In an Arrow file a dictionary must not change between batches, so that dictionary columns are written as strings.
    open_arrow = pa.ipc.new_stream if as_stream else pa.ipc.new_file
    return open_arrow(file, decode_schema(schema)), decode_dictionaries


class _ParquetWriter:
    """Gathers batches of any size into row groups of even size."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += len(batch)
        if self._rows >= _ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer:
            self._writer.close()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._batches, self._schema)
        if not self._writer:
            self._writer = pq.ParquetWriter(self._file, self._schema, use_dictionary=_repetitive_columns(table))
        self._writer.write_table(table, row_group_size=2 * _ROW_GROUP_ROWS)
        self._batches, self._rows = [], 0


def _repetitive_columns(table: pa.Table) -> list[str]:
    """The columns worth a dictionary; to build one for distinct values costs as much time as all the rest."""
    columns = zip(table.schema.names, table.slice(0, _SAMPLED_ROWS).columns, strict=True)
    return [name for name, column in columns if _is_repetitive(column)]


def _is_repetitive(column: pa.ChunkedArray) -> bool:
    """Whether at least half of the values occur more than once."""
    try:
        return bool(2 * pc.count_distinct(column, mode="all").as_py() <= len(column))
    except pa.ArrowNotImplementedError:  # a dictionary column, or a rare type
        return True


def _csv_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with string columns in place of lists and structs, and of what Arrow does not write as CSV."""
    return pa.schema([field.with_type(_csv_type(field.type)) for field in schema])


def _csv_type(dtype: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_nested(dtype) else WITHOUT_VIEW.get(dtype, dtype)


def _encode_nested(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch in its `_csv_schema`, with lists and structs as JSON."""
    columns = [
        _to_json(column) if pa.types.is_nested(column.type) else column.cast(_csv_type(column.type))
        for column in batch.columns
    ]
    return pa.record_batch(columns, schema=_csv_schema(batch.schema))


def _to_json(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type) and not len(column.flatten()):  # the usual case: no row has a warning
        return pa.array(["[]"] * len(column))
    return pa.array([orjson.dumps(value, default=str).decode() for value in column.to_pylist()])
