"""Text in a table, as training, adoption and scoring read it: names of features, columns and labels, and gaps."""

import re
import unicodedata
from collections.abc import Iterable

# Invisible characters that are no part of a name at its ends: zero-width spaces and joiners, marks of direction.
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_NUMERIC_MARKER = re.compile(r"[+-]?[0-9]+\.?[0-9]*")

MAX_NAME_LENGTH = 200

# What pandas takes for a missing value, in any case.
GAP_MARKERS = (
    *("", "NA", "N/A", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "-NaN", "null", "None"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)


def spell_markers(markers: Iterable[str]) -> frozenset[str]:
    """The spellings that markers for a missing value have in a table."""
    return frozenset(form(marker) for form in (str, str.lower, str.upper, str.capitalize) for marker in markers)


GAP_TEXTS = spell_markers(GAP_MARKERS)


def find_numeric_markers(markers: Iterable[str]) -> list[float]:
    """The markers that are numbers, such as -999: they stand for a missing value however they are written."""
    return [float(marker) for marker in markers if _NUMERIC_MARKER.fullmatch(marker)]


def normalize_name(text: str) -> str:
    """The name of a feature, column or label as training reads it from a table, and as scoring looks for it.

    Spaces of all kinds become one ordinary space, and none is left at the ends. Characters are composed (Unicode's
    NFC). Zero-width joiners within words remain: Persian, Hindi and emoji need them.
    """
    return unicodedata.normalize("NFC", " ".join(text.split()).strip(_INVISIBLE + " "))
