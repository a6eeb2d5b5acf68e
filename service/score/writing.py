"""Tables that are there whole or not at all: written beside their place, then renamed into it."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from service.http.errors import TableError
from service.score.formats import Format
from service.score.reading import STANDARD
from service.score.scorer import plain, plain_schema

_ROWS = 131_072  # in a row group: what Parquet's readers are given at a time
_LOOKED_AT = 10_000  # rows, for whether values repeat


class Output:
    """A table of one schema that is to be at ``path``, or goes to the standard output."""

    def __init__(self, path: Path, kind: Format, schema: pa.Schema) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.writing")
        self._standard = path == STANDARD
        if self._standard and kind is Format.PARQUET:
            raise TableError("Parquet does not go to the standard output: --to csv or --to arrow, or name a file")
        self._file: Any = sys.stdout.buffer if self._standard else self._beside.open("wb")
        streamed = self._standard or path.suffix == ".arrows"
        self._writer = _writer(self._file, kind, schema, streamed=streamed)

    def write(self, batch: pa.RecordBatch) -> None:
        if len(batch):
            self._writer.write(batch)

    def publish(self) -> None:
        """All was written: now it is there."""
        self._writer.close()
        self._file.flush()
        if not self._standard:
            os.fsync(self._file.fileno())
            self._file.close()
            self._beside.replace(self._path)

    def discard(self) -> None:
        """Nothing is to be there, unless it was published."""
        if not self._standard:
            with suppress(OSError, pa.ArrowException):  # it has something to write at its end, which is not wanted
                self._writer.close()
            self._file.close()
            self._beside.unlink(missing_ok=True)


def _writer(file: Any, kind: Format, schema: pa.Schema, *, streamed: bool) -> Any:
    if kind is Format.PARQUET:
        return _Parquet(file, schema)
    if kind is Format.CSV:
        return _Csv(file, schema)
    return _Arrow(file, schema, streamed=streamed)


class _Parquet:
    """Row groups of a size, however the batches come."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += len(batch)
        if self._rows >= _ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer:
            self._writer.close()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        if not self._writer:
            self._writer = pq.ParquetWriter(self._file, self._schema, use_dictionary=_repeating(table))
        self._writer.write_table(table, row_group_size=2 * _ROWS)
        self._waiting, self._rows = [], 0


def _repeating(table: pa.Table) -> list[str]:
    """Columns of which half the values repeat: to look for such where there are none takes as long as all the rest."""
    columns = zip(table.schema.names, table.slice(0, _LOOKED_AT).columns, strict=True)
    return [name for name, column in columns if _repeats(column)]


def _repeats(column: pa.ChunkedArray) -> bool:
    try:
        return bool(2 * pc.count_distinct(column, mode="all").as_py() <= len(column))
    except pa.ArrowNotImplementedError:  # dictionaries, as names are, and what is rare
        return True


class _Arrow:
    """Strings in place of dictionaries, which a file of Arrow's must not change from batch to batch."""

    def __init__(self, file: Any, schema: pa.Schema, *, streamed: bool) -> None:
        self._writer = (pa.ipc.new_stream if streamed else pa.ipc.new_file)(file, plain_schema(schema))

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(plain(batch))

    def close(self) -> None:
        self._writer.close()


class _Csv:
    """Lists and objects are written as JSON."""

    def __init__(self, file: Any, schema: pa.Schema) -> None:
        self._schema = pa.schema([f.with_type(pa.string()) if pa.types.is_nested(f.type) else f for f in schema])
        self._writer = csv.CSVWriter(file, self._schema)

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [_json(column) if pa.types.is_nested(column.type) else column for column in batch.columns]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _json(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type) and not len(column.flatten()):  # as nearly all warnings are
        return pa.array(["[]"] * len(column))
    return pa.array([orjson.dumps(value, default=str).decode() for value in column.to_pylist()])
