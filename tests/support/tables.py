"""Reads tables of a user in tests, with the notes or the error."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from models.options import TableOptions
from models.tables.dataset import Table
from models.tables.reader import read_table


def write(folder: Path, content: str | bytes, name: str = "my.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, label: str = "kind", **options: Any) -> Table:
    return read_table(TableOptions(table=path, label=label, **options))


def read_noted(path: Path, label: str = "kind", **options: Any) -> tuple[Table, list[str]]:
    """The table, and the notes on what was guessed or left out."""
    notes: list[str] = []
    return read_table(TableOptions(table=path, label=label, **options), notes.append), notes


def refuse(path: Path, label: str = "kind", **options: Any) -> str:
    """The message of the error that refuses the table."""
    with pytest.raises(DataError) as refused:
        read(path, label, **options)
    return str(refused.value)
