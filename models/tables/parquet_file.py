"""A Parquet file as columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import DataError
from models.names import normalize_name
from models.tables.columns import Columns


def read_parquet(path: Path) -> Columns:
    """Read all columns of a Parquet file; the index that pandas stores with a table is a column without a name.

    Raises:
        DataError: the file is damaged or has no rows.
    """
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is not a valid Parquet file ({reason}): write it again") from None
    if not table.num_rows:
        raise DataError(f"{path} has no rows: add a row for each individual")
    arrays = [_decode(column) for column in table.columns]
    names = ["" if name.startswith("__index_level_") else normalize_name(name) for name in table.column_names]
    dictionaries = {at: _find_order(column) for at, column in enumerate(table.columns) if _has_categories(column.type)}
    return Columns(names, arrays, np.arange(1, table.num_rows + 1), "row", dictionaries=dictionaries)


def _has_categories(dtype: pa.DataType) -> bool:
    """Whether a column has texts as categories, as in pandas; Parquet does not keep a dictionary of numbers."""
    types = pa.types
    if not types.is_dictionary(dtype):
        return False
    values = dtype.value_type
    return bool(types.is_string(values) or types.is_large_string(values) or types.is_string_view(values))


def _find_order(column: pa.ChunkedArray) -> list[str] | None:
    if not column.type.ordered:
        return None
    return [value for value in column.unify_dictionaries().chunk(0).dictionary.to_pylist() if value is not None]


def _decode(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):  # pandas' categories
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column
