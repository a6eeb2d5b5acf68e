"""The file formats of tables, and how a file name states its format."""

from enum import StrEnum
from pathlib import Path

from service.score.errors import TableError


class FileFormat(StrEnum):
    """A format under its name for `--from` and `--to`; ``arrow`` is both the Arrow file and the Arrow stream format."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


_SUFFIXES = {
    ".csv": FileFormat.CSV,
    ".csv.gz": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".arrow": FileFormat.ARROW,
    ".arrows": FileFormat.ARROW,
    ".feather": FileFormat.ARROW,
    ".ipc": FileFormat.ARROW,
}


def detect_format(path: Path) -> FileFormat | None:
    """The format that a file name's suffix stands for, or None."""
    return next((value for suffix, value in _SUFFIXES.items() if path.name.lower().endswith(suffix)), None)


def require_format(path: Path, chosen: FileFormat | None, option: str) -> FileFormat:
    """The format chosen with the command-line ``option``, or else the one in the file name.

    Raises:
        TableError: neither states a format.
    """
    file_format = chosen or detect_format(path)
    if not file_format:
        raise TableError(f"{path} has no known suffix: use {', '.join(_SUFFIXES)}, or set the format with {option}")
    return file_format


def split_suffix(path: Path) -> tuple[str, str]:
    """A file's name without the suffix of its format, and that suffix, `.csv.gz` as one."""
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    return stem, path.name[len(stem) :]


def is_gzip(path: Path) -> bool:
    """Whether a file's name says that it is compressed."""
    return path.name.lower().endswith(".gz")
