"""A table's file: which kind of file it is, its text, and its hash."""

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import DataError

MAX_FILE_BYTES = 200_000_000
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_SAVE_AS_CSV = "save it as CSV (in Excel: 'CSV UTF-8')"
_OTHER_CONTENT = {
    b"PK\x03\x04": f"is an Excel workbook or another ZIP archive: {_SAVE_AS_CSV}, or extract the table from it",
    b"\xd0\xcf\x11\xe0": f"is an Excel workbook of the old kind: {_SAVE_AS_CSV}",
    b"ARROW1": "is an Arrow or Feather file: save it as Parquet or CSV",
    b"BZh": "is compressed with bzip2: decompress it, or compress it with gzip",
    b"\xfd7zXZ": "is compressed with xz: decompress it, or compress it with gzip",
    b"\x28\xb5\x2f\xfd": "is compressed with Zstandard: decompress it, or compress it with gzip",
    b"SQLite format 3": "is an SQLite database: export the table as CSV",
    codecs.BOM_UTF16_LE: "is UTF-16 text: save it as UTF-8, or add --encoding utf-16",
    codecs.BOM_UTF16_BE: "is UTF-16 text: save it as UTF-8, or add --encoding utf-16",
    b"{": "seems to be JSON: save it as CSV or Parquet",
    b"[": "seems to be JSON: save it as CSV or Parquet",
    b"<": f"seems to be HTML or XML, perhaps a page instead of the file itself: {_SAVE_AS_CSV}",
}


def read_bytes(path: Path) -> bytes:
    """Read a file of at most `MAX_FILE_BYTES`.

    Raises:
        DataError: it is larger or cannot be read.
    """
    with _refuse_unreadable(path):
        _check_size(path, path.stat().st_size)
        return path.read_bytes()


def hash_file(path: Path) -> str:
    """The SHA-256 of a file in hex.

    Raises:
        DataError: it cannot be read.
    """
    with _refuse_unreadable(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_parquet(path: Path) -> bool:
    """Whether the content of a file is Parquet.

    Raises:
        DataError: it cannot be read.
    """
    with _refuse_unreadable(path), path.open("rb") as file:
        _check_size(path, path.stat().st_size)
        return file.read(len(_PARQUET)) == _PARQUET


@contextmanager
def open_text(path: Path, encoding: str | None) -> Iterator[io.TextIOWrapper]:
    """The text of a CSV file with its own line ends, decompressed if it is gzip; a byte order mark is no part of it.

    Raises:
        DataError: the content is no text in this encoding (default: UTF-8); also while it is read.
    """
    with _refuse_unreadable(path), path.open("rb") as file:
        _check_size(path, path.stat().st_size)
        is_gzip = file.peek(len(_GZIP)).startswith(_GZIP)
        source = io.BufferedReader(_Limited(path, gzip.GzipFile(fileobj=file))) if is_gzip else file
        try:
            _refuse_other_content(path, source.peek(64), encoding)
            with io.TextIOWrapper(source, encoding or "utf-8-sig", newline="") as text:
                yield text
        except UnicodeDecodeError as error:
            remedy = (
                f"choose another --encoding than {encoding}"
                if encoding
                else "save it as UTF-8 (in Excel: 'CSV UTF-8'), or name its encoding, such as --encoding cp1252"
            )
            name = encoding or "UTF-8"
            raise DataError(f"{path} is not {name} ({error.reason} {error.object[error.start]:#x}): {remedy}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise DataError(f"{path} is compressed with gzip but damaged or incomplete: copy it again") from None


def _refuse_other_content(path: Path, start: bytes, encoding: str | None) -> None:
    if encoding:
        return
    for magic, description in _OTHER_CONTENT.items():
        if start.startswith(magic):
            raise DataError(f"{path} {description}")
    if b"\0" in start:
        raise DataError(f"{path} has NUL bytes, so it may be UTF-16 text: save it as UTF-8, or add --encoding utf-16")


@contextmanager
def _refuse_unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise DataError(f"cannot read {path} ({error.strerror}): check the path and its permissions") from None


def _check_size(path: Path, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise DataError(f"{path} is larger than {MAX_FILE_BYTES // 10**6} MB: train on a sample of it")


class _Limited(io.RawIOBase):
    """Decompressed bytes, of which there may be no more than `MAX_FILE_BYTES`."""

    def __init__(self, path: Path, source: gzip.GzipFile) -> None:
        super().__init__()
        self._path = path
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        content = self._source.read1(len(buffer))
        buffer[: len(content)] = content
        _check_size(self._path, self._source.tell())
        return len(content)
