"""Raw values in cells of text, such as those of CSV: what a request would have in their place, None for a missing one.

Scoring reads tables by the same rules, with Arrow: `service/score`.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from models.feature import Feature
from models.names import GAP_TEXTS, normalize_name

MISSING_NUMBERS = frozenset({"", "NA", "N/A", "NULL", "null"})  # of a number that every row must have
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_TRUTH_VALUES = {"true": True, "false": False}
_MAX_DIGITS = 40  # of an integer; Python refuses to parse very long ones

Reader = Callable[[str], Any]


def make_reader(feature: Feature) -> Reader:
    """What gives the raw value of a feature's cell; text that is no valid value stays text.

    A number is infinite for NaN, which validation would take for a missing value.
    """
    if feature.is_category:
        readers: dict[type, Reader] = {str: make_text_reader(feature), int: _read_whole_number, bool: _read_truth_value}
        return readers[feature.category_type]
    return _make_number_reader(MISSING_NUMBERS if feature.is_plain else GAP_TEXTS)


def make_text_reader(feature: Feature) -> Reader:
    """What reads the cells of a category of texts, before all else those of its vocabulary, which may have "NA"."""
    vocabulary = frozenset(feature.categories)

    def read(cell: str) -> str | None:
        name = normalize_name(cell)
        if cell in vocabulary or name in vocabulary:
            return cell if cell in vocabulary else name
        return None if name in GAP_TEXTS else name

    return read


def to_truth_value(text: str) -> Any:
    """True or false, in any case of letters; other text as it is."""
    return _TRUTH_VALUES.get(text.lower(), text)


def to_whole_number(number: str) -> float:
    """An integer, or a float if the text of a number has a point or an exponent, or very many digits."""
    return int(number) if number.lstrip("+-").isdecimal() and len(number) <= _MAX_DIGITS else float(number)


def _make_number_reader(missing_texts: frozenset[str]) -> Reader:
    def read(cell: str) -> Any:
        text = cell.strip()
        if text in missing_texts:
            return None
        return _without_nan(float(text)) if _NUMBER.fullmatch(text) else text

    return read


def _read_truth_value(cell: str) -> Any:
    text = cell.strip()
    return None if text in GAP_TEXTS else to_truth_value(text)


def _read_whole_number(cell: str) -> Any:
    text = cell.strip()
    is_number = text not in GAP_TEXTS and _NUMBER.fullmatch(text)
    return _without_nan(to_whole_number(text)) if is_number else _read_truth_value(text)


def _without_nan(number: float) -> float:
    return math.inf if math.isnan(number) else number
