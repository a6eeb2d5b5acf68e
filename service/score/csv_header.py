"""The first line of a CSV, which has the column names."""

import codecs
import csv
import re
from io import BufferedReader, StringIO
from typing import NamedTuple

from service.score.errors import ContentError

_BLOCK_BYTES = 1 << 16
_MAX_BYTES = 1 << 20
_EXCEL_DELIMITER = re.compile(rb"sep=([\t\x20-\x7e])[\r\n]+")  # Excel reads and writes such a line above the names
_UTF_16 = "UTF-16 text: save it as UTF-8"
_OTHER_CONTENT = {
    codecs.BOM_UTF16_LE: _UTF_16,
    codecs.BOM_UTF16_BE: _UTF_16,
    b"\x1f\x8b": "compressed with gzip: decompress it, or give the file the suffix .csv.gz",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: extract or export a CSV file",
    b"PAR1": "Parquet: use --from parquet",
    b"ARROW1": "Arrow: use --from arrow",
}


class CsvHeader(NamedTuple):
    """The column names, the delimiter, and the bytes that were read: the ``line`` of names, and what follows."""

    names: list[str]
    delimiter: str
    line: bytes
    rest: bytes


def read_header(source: BufferedReader, delimiter: str) -> CsvHeader:
    """Read the column names; a line ``sep=;`` above them takes precedence over ``delimiter``.

    Raises:
        ContentError: the file does not begin with a line of column names in UTF-8.
    """
    content = b""
    while len(content) < max(map(len, _OTHER_CONTENT)) and (block := source.read1(_BLOCK_BYTES)):
        content += block
    for start, description in _OTHER_CONTENT.items():
        if content.startswith(start):
            raise ContentError(f"it is {description}")
    content, end = _read_line(source, content.removeprefix(codecs.BOM_UTF8), delimiter)
    if excel := _EXCEL_DELIMITER.match(content):
        delimiter = excel[1].decode()
        content, end = _read_line(source, content[excel.end() :], delimiter)
    return CsvHeader(_split_names(content[:end], delimiter), delimiter, content[:end], content[end:])


def _read_line(source: BufferedReader, content: bytes, delimiter: str) -> tuple[bytes, int]:
    """The ``content`` and what follows, as far as beyond the end of the first line, and where that end is."""
    while (end := _find_line_end(content, delimiter)) == len(content) and (block := source.read1(_BLOCK_BYTES)):
        content += block
        if len(content) > _MAX_BYTES + _BLOCK_BYTES:
            raise ContentError("the first line, which has the column names, is longer than 1 MiB")
    return content, end


def _find_line_end(content: bytes, delimiter: str) -> int:
    """The length of the first line, or of everything if the line does not end; a quoted name may have line breaks."""
    text = StringIO(content.decode("latin-1"), newline="")  # one character for each byte
    try:
        next(csv.reader(text, delimiter=delimiter), None)
    except csv.Error as error:
        raise ContentError(f"the first line does not contain column names ({error})") from None
    return text.tell()


def _split_names(line: bytes, delimiter: str) -> list[str]:
    """The names without spaces around them, unless two would then be the same."""
    if b"\0" in line:
        raise ContentError(f"the first line has NUL bytes, so it may be {_UTF_16}")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ContentError(f"the first line is not UTF-8 ({error.reason}): convert the file, as with iconv") from None
    names = next(csv.reader(StringIO(text, newline=""), delimiter=delimiter), [])
    if not names:
        raise ContentError("a CSV file must begin with a line of column names, but its first line is empty")
    stripped = [name.strip() for name in names]
    return stripped if len(set(stripped)) == len(set(names)) else names
