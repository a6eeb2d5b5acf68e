"""Generates tables for tests, and writes and reads them in every format."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from service.inference.model import Model
from support.known_animals import KNOWN, NAMES

FORMATS = ["table.csv", "table.csv.gz", "table.parquet", "table.arrow", "table.arrows"]


def animals(model: Model, count: int = 100) -> pa.Table:
    """Animals with an ``id``: the known ones, then background rows of the model with each value varied by 10 %."""
    rng = np.random.default_rng(3)
    rows = np.array(model.manifest.background)[rng.integers(0, len(model.manifest.background), count)]
    rows = np.concatenate([list(KNOWN.values()), rows * rng.uniform(0.9, 1.1, rows.shape)])[:count]
    rows = rows.clip([f.lowest for f in model.features], [f.highest for f in model.features])
    return pa.table({"id": range(count)} | dict(zip(NAMES, rows.T, strict=True)))


def write(table: pa.Table, path: Path) -> Path:
    """Write the table in the format that the suffix states; return the path."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=37)
    elif path.suffix in {".arrow", ".arrows"}:
        open_writer = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
        with open_writer(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=23)
    else:
        buffer = io.BytesIO()
        csv.write_csv(table, buffer)
        path.write_bytes(gzip.compress(buffer.getvalue()) if path.suffix == ".gz" else buffer.getvalue())
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, or of all files in a folder in the order of their names."""
    if path.is_dir():
        return [row for part in sorted(path.rglob("[!._]*.*")) for row in read(part)]
    if path.suffix == ".parquet":
        table = pq.read_table(path)
    elif path.name.endswith((".csv", ".csv.gz")):
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={"model_version": pa.string()}))
        return [_parse_json(row) for row in table.to_pylist()]
    else:
        open_reader = pa.ipc.open_file if path.suffix == ".arrow" else pa.ipc.open_stream
        with open_reader(path.read_bytes()) as reader:
            table = reader.read_all()
    return list(table.to_pylist())


def _parse_json(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        name: json.loads(row[name]) for name in row if name == "faults" or name.endswith(("warnings", "labels"))
    }
