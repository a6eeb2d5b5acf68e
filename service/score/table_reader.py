"""What the readers of all formats have in common."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa


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

    def total_rows(self) -> int:
        """How many rows the whole table has, malformed lines included, counted in another way than `chunks` reads it.

        Known when `chunks` has come to its end.
        """

    def fraction_read(self) -> float:
        """How much of the table has been read, 0 to 1; always 0 if its size is unknown."""
