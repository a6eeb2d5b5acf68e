"""Where the rows of a CSV end."""

import re
from typing import NamedTuple

import numpy as np

from service.arrays import Indices

_LF, _CR, _QUOTE = b'\n\r"'


class CompleteRows(NamedTuple):
    """The complete rows at the start of some bytes: their number, and their length in bytes."""

    rows: int
    size: int


class RowFinder:
    """Finds the same rows as Python's `csv` module, in bytes that begin with a row; blank lines are not rows."""

    def __init__(self, delimiter: str) -> None:
        # A quote begins a quoted value only at the start of a value. \Z: the bytes may end inside it.
        before = b"\r\n" + delimiter.encode()
        self._quoted_value = re.compile(rb'"(?<=[%b]")[^"]*+(?:""[^"]*+)*+(?:"|\Z)' % re.escape(before))
        self._before_opening_quote = list(before + b'"')

    def find(self, content: bytes) -> CompleteRows:
        """The complete rows: all up to the last line end that is not in a quoted value."""
        line_ends = self._find_row_ends(content) if b'"' in content else _find_line_ends(content)
        size = int(line_ends[-1]) + 1 if len(line_ends) else 0
        return CompleteRows(int(np.count_nonzero(np.diff(line_ends, prepend=-1) > 1)), size)

    def _find_row_ends(self, content: bytes) -> Indices:
        """The positions of the line ends that are not in a quoted value."""
        codes = np.frombuffer(content, np.uint8)
        quotes = np.flatnonzero(codes == _QUOTE)
        opening = quotes[::2]  # unless an ordinary character is among the quotes
        if np.isin(codes[opening[opening > 0] - 1], self._before_opening_quote).all():
            line_ends = _find_line_ends(content)
            return np.compress(np.searchsorted(quotes, line_ends) % 2 == 0, line_ends)
        return _find_line_ends(self._quoted_value.sub(_mask, b"\n" + content)[1:])


def _mask(quoted_value: re.Match[bytes]) -> bytes:
    return b"?" * len(quoted_value[0])


def _find_line_ends(content: bytes) -> Indices:
    codes = np.frombuffer(content, np.uint8)
    return np.flatnonzero((codes == _LF) | (codes == _CR))
