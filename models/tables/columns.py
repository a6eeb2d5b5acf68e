"""The columns of a table file, before it is known what they mean."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tables.findings import list_some

Flags = NDArray[np.bool_]


@dataclass
class Columns:
    """A table's columns in file order: ``names``, empty for a column without one, and ``arrays``.

    The values of a CSV file are all text. ``numbers`` has the number of each row in the file: of its (last) line in a
    CSV file, of the row in Parquet; ``row_word`` says which.

    ``dictionaries`` has the columns of text, by position, that Parquet stores as categories: their values in order, or
    None if they have none.
    """

    names: list[str]
    arrays: list[pa.ChunkedArray]
    numbers: NDArray[np.int64]
    row_word: str
    delimiter: str = ""
    dictionaries: dict[int, list[str] | None] = field(default_factory=dict)

    def describe_rows(self, flags: Flags) -> str:
        """Where the rows with a flag are: ``line 3``, ``lines 3, 7, 12 and 5 more``."""
        numbers = self.numbers[flags].tolist()
        return f"{self.row_word}{'s' if len(numbers) > 1 else ''} {list_some(numbers)}"
