"""Kinds of text that is no number: what they are called, and whether their column seems to be one of numbers."""

import re
import shlex
from typing import Literal, NamedTuple


class TextKind(NamedTuple):
    """A kind of text that is no number, what it is called, and what to do about it where numbers are expected.

    ``reading`` says what it shows of its column: that it has numbers, that it has text, perhaps one or the other, or
    nothing, as a marker for a gap.
    """

    pattern: str
    what: str
    remedy: str
    reading: Literal["numbers", "text", "either", "nothing"]

    def describe(self, text: str) -> tuple[str, str]:
        """What a text of this kind is called, and what to do about it."""
        return self.what, self.remedy.format(shlex.quote(text))


# The first that fits is named.
_KINDS = (
    TextKind(
        r"#(DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!|SPILL!|CALC!)",
        "an error of a spreadsheet",
        "correct the formula",
        "nothing",
    ),
    TextKind(
        r"[-\u2010-\u2015.?*]+|missing|unknown|n\.?d\.?|n\.a\.?|nil",
        "perhaps a missing value",
        "if so, add --na-values={}",
        "nothing",
    ),
    TextKind(r"[+-]?(inf|infinity|∞)", "an infinite number", "replace it", "numbers"),
    TextKind(r"true|false|yes|no", "a truth value", "write 1 and 0", "text"),
    TextKind(r"[+-]?[0-9.,\s]+\s*%", "a percentage", "remove the percent sign", "numbers"),
    TextKind(
        r"[+-]?\s*[$€£¥₹₽₩]\s*[0-9.,\s]+|[+-]?[0-9.,\s]+\s*[$€£¥₹₽₩]",
        "an amount of money",
        "remove the currency sign",
        "numbers",
    ),
    TextKind(
        r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([T ].*)?|[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2})( .*)?",
        "a date",
        "write a number, such as the days since a fixed day",
        "numbers",
    ),
    TextKind(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]*)?)?", "a time", "write a number, such as the seconds", "numbers"),
    TextKind(r"[+-]?0x[0-9a-f]+", "a hexadecimal number", "write it with decimal digits", "numbers"),
    TextKind(r"[+-]?[0-9]+(_[0-9]+)+(\.[0-9]*)?", "a number with underscores", "remove them", "numbers"),
    TextKind(
        r"[\u2010-\u2015\u2212]\s*[0-9.,]+(e.*)?",
        "a number with a minus sign other than '-'",
        "replace the sign",
        "numbers",
    ),
    TextKind(r"[<>≤≥~≈]=?\s*[0-9.,]+.*", "a bound and not a value", "replace it by a number", "either"),
    TextKind(r"[+-]?[0-9]+\s*[/-]\s*[0-9]+", "a fraction or a range", "replace it by a number", "either"),
    TextKind(r"[+-]?[0-9.,]*[0-9][.,]?\s*[^\W\d_]{1,6}[²³]?", "a number with a unit", "remove the unit", "either"),
    TextKind(
        r"[+-]?[0-9][0-9.,' \u00a0\u202f\u2019]*",
        "a number with other separators than the rest",
        "write it like the others",
        "numbers",
    ),
    TextKind(r"[+-]?[\d.,]+", "a number with other digits than 0 to 9", "replace them", "numbers"),
)
TEXT = TextKind("", "not a number", "correct it", "text")


def find_kind(text: str) -> TextKind:
    """What a text that is no number is."""
    return next((kind for kind in _KINDS if re.fullmatch(kind.pattern, text, re.IGNORECASE)), TEXT)


def shorten(text: str) -> str:
    """The beginning of a text, for a glance."""
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004
