"""The bytes of a CSV on their way to Arrow's parser."""

import codecs
from io import BufferedReader, RawIOBase

from service.score.csv_header import CsvHeader
from service.score.csv_rows import RowFinder
from service.score.errors import ContentError


class CsvSource(RawIOBase):
    """What follows the header of a CSV, as a file whose `read` returns whole rows and counts them.

    Arrow's parser loses track if a block ends in a row: between two quotes, or between CR and LF.

    Raises:
        ContentError: the bytes are not UTF-8, or a row does not end; also from `read`.
    """

    def __init__(self, source: BufferedReader, header: CsvHeader) -> None:
        super().__init__()
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._find_rows = RowFinder(header.delimiter).find
        # The header is one row, which is counted as well: then no byte of the file goes unseen.
        self.rows = self._find_rows(header.line + b"\n").rows - 1
        if self.rows < 0:
            raise ContentError("the first line has a quote that is never closed: close or remove it")
        self._pending = b""
        self._pending = self._require_utf8(header.rest)

    def is_empty(self) -> bool:
        """Whether no row is left."""
        self._fill(1)
        return not self._pending

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next rows, in at most ``size`` bytes; none at the end."""
        self._fill(size)
        if len(self._pending) < size:
            block = self._pending
            complete = self._find_rows(block + b"\n")
            if complete.size <= len(block):
                row = self.rows + complete.rows + 1
                raise ContentError(f"row {row} has a quote that is never closed: close or remove it")
        else:
            complete = self._find_rows(self._pending[:size])
            block = self._pending[: complete.size]
            if not block:
                raise ContentError(
                    f"row {self.rows + 1} is longer than {size:,} bytes: is a quote not closed, or a line end missing?"
                )
        if not self.rows and block.startswith(codecs.BOM_UTF8):  # Arrow would drop it
            raise ContentError("row 1 begins with a byte order mark, as if files were joined: remove it")
        self.rows += complete.rows
        self._pending = self._pending[len(block) :]
        return block

    def _fill(self, size: int) -> None:
        """Read until ``size`` bytes are pending, or to the end."""
        # Blank lines go, because to Arrow a block of nothing else can be the end of the file.
        self._pending = self._pending.lstrip(b"\r\n")
        while len(self._pending) < size and (block := self._source.read(size - len(self._pending))):
            self._pending = (self._pending + self._require_utf8(block)).lstrip(b"\r\n")
        if len(self._pending) < size:
            self._require_utf8(b"", is_last=True)

    def _require_utf8(self, block: bytes, *, is_last: bool = False) -> bytes:
        try:
            self._decoder.decode(block, is_last)
        except UnicodeDecodeError as error:
            row = self.rows + self._find_rows(self._pending + block[: error.start] + b"?\n").rows
            raise ContentError(f"row {row} is not UTF-8 ({error.reason}): convert the file, as with iconv") from None
        return block
