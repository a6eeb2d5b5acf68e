"""Numbers as text for people, with as many significant digits as tell them apart."""

from collections.abc import Sequence

_MAX_DIGITS = 17  # a double has no more
_PLAIN = 1e6  # below it, 2560 is not written as 2.56e+03


def format_number(value: float, digits: int) -> str:
    """A value with so many significant digits; all those before the point, up to a million."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < _PLAIN else text


def format_distinct(values: Sequence[float], digits: int = 6) -> list[str]:
    """Values with so many significant digits, or with more where different values would look the same."""
    while len({format_number(value, digits) for value in values}) < len(set(values)) and digits < _MAX_DIGITS:
        digits += 1
    return [format_number(value, digits) for value in values]
