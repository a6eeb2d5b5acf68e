"""The formats that tables come in: which one a name says, and its first rows and its last."""

from enum import StrEnum
from pathlib import Path

from service.http.errors import TableError


class Format(StrEnum):
    """A format, by the names that `--from` and `--to` know; ``arrow`` is both of its forms, file and stream."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"

    @property
    def suffix(self) -> str:
        return f".{self.value}"


_SUFFIXES = {
    ".csv": Format.CSV,
    ".csv.gz": Format.CSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".arrows": Format.ARROW,
    ".feather": Format.ARROW,
    ".ipc": Format.ARROW,
}


def of(path: Path) -> Format | None:
    """The format that a file's name says; None if it says none."""
    return next((found for suffix, found in _SUFFIXES.items() if path.name.lower().endswith(suffix)), None)


def required(path: Path, said: str | None, option: str) -> Format:
    """The same, or what an ``option`` said.

    Raises:
        TableError: neither says any.
    """
    found = Format(said) if said else of(path)
    if not found:
        raise TableError(f"{path}: its name says no format: end it in {', '.join(_SUFFIXES)}, or say it with {option}")
    return found
