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

_LIST = ", ".join(_SUFFIXES)
_FOREIGN_TABLES = {".avro", ".json", ".jsonl", ".ndjson", ".orc", ".tab", ".tsv", ".txt", ".xls", ".xlsx", ".xml"}
_FOREIGN_COMPRESSIONS = {".br", ".bz2", ".gz", ".lz4", ".snappy", ".xz", ".zip", ".zst"}


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
        raise TableError(f"{path} has no known suffix: use {_LIST}, or set the format with {option}")
    return file_format


def require_writable(path: Path, file_format: FileFormat) -> None:
    """Check that a file's name promises what will be in the file.

    Raises:
        TableError: it promises another format, or a compression.
    """
    named = detect_format(path)
    if named not in {None, file_format}:
        raise TableError(f"{path} would contain {file_format}: change its suffix, or the format with --to {named}")
    if not named and path.suffix.lower() in _FOREIGN_TABLES | _FOREIGN_COMPRESSIONS:
        raise TableError(f"{path}: cannot write files with the suffix {path.suffix}: use {_LIST}")


def split_suffix(path: Path) -> tuple[str, str]:
    """A file's name without the suffix of its format, and that suffix, `.csv.gz` as one."""
    uncompressed_name = path.name[: -len(".gz")] if is_gzip(path) else path.name
    stem = uncompressed_name.rpartition(".")[0] or path.name
    return stem, path.name[len(stem) :]


def is_gzip(path: Path) -> bool:
    """Whether a file's name says that it is compressed."""
    return path.name.lower().endswith(".gz")
