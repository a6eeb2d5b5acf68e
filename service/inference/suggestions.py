"""The known name or category that a client may have meant: "did you mean …?"."""

import json
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from service.http import strict_json

_FEW = 100  # texts; with more, a client's text is not compared with all of them
_MAX_LENGTH = 300  # characters of texts that may look alike: Unicode's order of accents takes quadratic time
LOOK_ALIKE = " They look alike, but consist of different characters."
_LEAST = 0.3  # the similarity of a suggested category


def find_similar(name: str, known: Sequence[str], least: float) -> str | None:
    """The known name that is most like a name; None if the similarity of none, 0 to 1, is above ``least``."""
    nearest = max(known, key=lambda each: _similarity(name, each), default="")
    return nearest if _similarity(name, nearest) > least else None


class Suggestions:
    """Finds the most similar of many texts in less than a millisecond, also of 100,000.

    A typing error leaves the start or the end of a text as it was. So of many texts only the neighbours in alphabetical
    order are compared, with the letters read forwards and backwards.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known
        self._orders = [(key, sorted(known, key=key)) for key in (_key, _reversed_key)] if len(known) > _FEW else ()

    def find(self, text: str, least: float = _LEAST) -> str | None:
        """The known text that is most like ``text``; None if the similarity of none, 0 to 1, is above ``least``."""
        text = strict_json.truncated(text)
        return find_similar(text, self._neighbours(text) if self._orders else self._known, least)

    def find_nearest(self, text: str) -> str:
        """The same, however little they have in common; there must be known texts."""
        return self.find(text, least=0) or self._known[0]

    def _neighbours(self, text: str) -> list[str]:
        neighbours: list[str] = []
        for key, order in self._orders:
            position = bisect_left(order, key(text), key=key)
            neighbours += order[max(0, position - _FEW // 4) : position + _FEW // 4]
        return neighbours


def look_alike(text: str, other: str) -> bool:
    """Whether two texts that are not equal look the same, as Unicode composes some characters in several ways."""
    if max(len(text), len(other)) > _MAX_LENGTH:
        return False
    return unicodedata.normalize("NFC", text) == unicodedata.normalize("NFC", other)


def escape(text: str) -> str:
    """A text in quotes with an escape for each character that is not ASCII."""
    return json.dumps(strict_json.truncated(text))


def quote(text: str) -> str:
    """A text in quotes, as JSON has it, without the end of a long one; invisible characters become escapes."""
    shown = strict_json.truncated(text)
    quoted = json.dumps(shown, ensure_ascii=not shown.isprintable())
    return quoted if shown == text else f'{quoted[:-1]}…"'


def _key(text: str) -> str:
    """What texts have in common that differ in case, in blanks or in how Unicode composes them."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _reversed_key(text: str) -> str:
    return _key(text)[::-1]


def _similarity(first: str, second: str) -> float:
    """The share of pairs of letters that two names have in common (Dice's coefficient).

    The standard library's difflib takes so long that a wrong name would cost more than ten predictions.
    """
    pairs, others = _letter_pairs(first), _letter_pairs(second)
    return 2 * len(pairs & others) / (len(pairs) + len(others))


@lru_cache
def _letter_pairs(name: str) -> frozenset[tuple[str, int]]:
    """The pairs of letters that follow each other, each with a number; the first and the last letter count twice."""
    counts = Counter(map("".join, pairwise(f" {unicodedata.normalize('NFC', name).lower()} ")))
    return frozenset((pair, number) for pair, count in counts.items() for number in range(count))
