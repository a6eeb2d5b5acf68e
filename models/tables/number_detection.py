"""Detects how the numbers of a table are written: which sign separates decimals, and which one thousands."""

from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from models.number_format import EXPONENT, SIGN_CLASSES, NumberFormat
from models.tables.findings import Findings

_NAMES = {" ": "space", "'": "apostrophe", ".": "point", ",": "comma"}
_FORMATS = [NumberFormat(decimal, thousands) for decimal in ".," for thousands in ",. '" if thousands != decimal]
_SAMPLE_ROWS = 10_000


class _Evidence(NamedTuple):
    """One cell in which a sign, a comma or a point, can have only one meaning, and one in which it can have two."""

    decimal: str | None
    thousands: str | None
    either: str | None


@dataclass
class NumberFormatDetector:
    """Detects the number format of a table from all columns of numbers together, which are added one by one."""

    _decimal: dict[str, str] = field(default_factory=dict)  # sign -> example
    _thousands: dict[str, str] = field(default_factory=dict)
    _either: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: pa.Array) -> None:
        """Look for evidence in the column ``name``, whose ``text`` has no spaces around it, and no gaps.

        A column of something else, such as words, IP addresses or versions, shows nothing.
        """
        if not _has_mostly_numbers(text[:_SAMPLE_ROWS]):
            return
        for sign in (",", "."):
            found = _find_evidence(text, sign, "." if sign == "," else ",")
            for examples, example in zip((self._decimal, self._thousands, self._either), found, strict=True):
                if example is not None:
                    examples.setdefault(sign, f"{example!r} in column {name!r}")
        for sign in (" ", "'"):
            pattern = f"^[+-]?[0-9]{{1,3}}(?:{SIGN_CLASSES[sign]}[0-9]{{3}})+(?:[.,][0-9]*)?$"
            if sign not in self._thousands and (example := _find(text, pattern)) is not None:
                self._thousands[sign] = f"{example!r} in column {name!r}"

    def decide(
        self, findings: Findings, delimiter: str, decimal: str | None, thousands: str | None
    ) -> NumberFormat | None:
        """The format, of which ``decimal`` and ``thousands`` may be given; None, with a fault, if it is unclear."""
        chosen = decimal or self._decide_decimal(findings, delimiter, thousands)
        if chosen is None:
            return None
        if thousands is None:
            other = "," if chosen == "." else "."
            candidates = [sign for sign in (other, " ", "'") if sign in self._thousands or sign in self._either]
            separator = next((sign for sign in candidates if sign != chosen), "")
        else:
            separator = thousands
        if decimal is None and chosen == ",":
            example = self._decimal.get(",") or self._either.get(",") or self._thousands.get(".")
            findings.note(f"decimal sign: comma, as in {example}" if example else "decimal sign: comma")
        if separator and thousands is None:
            example = self._thousands.get(separator) or self._either[separator]
            findings.note(f"thousands separator: {_NAMES[separator]}, as in {example}")
        return NumberFormat(chosen, separator)

    def _decide_decimal(self, findings: Findings, delimiter: str, thousands: str | None) -> str | None:
        if thousands in {",", "."}:
            return "." if thousands == "," else ","
        comma = self._decimal.get(",") or self._thousands.get(".")
        point = self._decimal.get(".") or self._thousands.get(",")
        if comma and point:
            findings.add_fault(
                f"some numbers have decimal commas ({comma}) and some decimal points ({point}): write all alike, or "
                "choose one with --decimal , or --decimal ."
            )
            return None
        if comma or point:
            return "," if comma else "."
        is_ambiguous = "," in self._either or ("." in self._either and delimiter == ";")
        if is_ambiguous:
            sign = "," if "," in self._either else "."
            findings.add_fault(
                f"{self._either[sign]} can be a number with decimals or one with thousands, and no other value shows "
                f"which: add --decimal {sign} or --thousands {sign}"
            )
            return None
        return "."


def _has_mostly_numbers(text: pa.Array) -> bool:
    number = pc.match_substring_regex(text, "|".join(f"(?:{number_format.pattern})" for number_format in _FORMATS))
    return bool(2 * (pc.sum(number).as_py() or 0) > len(text))


def _find_evidence(text: pa.Array, sign: str, other: str) -> _Evidence:
    """Examples of what ``sign`` separates in a column; ``other`` is the other of comma and point."""
    if not pc.any(pc.match_substring(text, sign)).as_py():
        return _Evidence(None, None, None)
    s, o = SIGN_CLASSES[sign], SIGN_CLASSES[other]
    exponent, separator = EXPONENT, "|".join((o, SIGN_CLASSES[" "], SIGN_CLASSES["'"]))
    decimal = (
        f"^[+-]?(?:[0-9]+{s}(?:[0-9]{{0,2}}|[0-9]{{4,}})|[0-9]*{s}[0-9]+{exponent}|{s}[0-9]+"
        f"|0[0-9]*{s}[0-9]{{3}}|[0-9]{{4,}}{s}[0-9]{{3}}|[0-9]{{1,3}}(?:(?:{separator})[0-9]{{3}})+{s}[0-9]*){exponent}?$"
    )
    groups = f"(?:{s}[0-9]{{3}})"
    thousands = f"^[+-]?[0-9]{{1,3}}(?:{groups}{{2,}}|{groups}+{o}[0-9]*){exponent}?$"
    either = f"^[+-]?[1-9][0-9]{{0,2}}{s}[0-9]{{3}}$"
    return _Evidence(_find(text, decimal), _find(text, thousands), _find(text, either))


def _find(text: pa.Array, pattern: str) -> str | None:
    """The first value that matches; most columns show what they have in their first rows."""
    for part in (text[:_SAMPLE_ROWS], text[_SAMPLE_ROWS:]):
        matches = pc.match_substring_regex(part, pattern)
        if pc.any(matches).as_py():
            return str(part.filter(matches)[0].as_py())
    return None
