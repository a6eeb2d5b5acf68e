"""Numbers as text for people, with as many significant digits as tell them apart."""

from collections.abc import Sequence


def format_distinct(values: Sequence[float], digits: int = 6) -> list[str]:
    """Values with so many significant digits, or with more where different values would look the same."""
    while len({f"{value:.{digits}g}" for value in values}) < len(set(values)) and digits < 17:  # noqa: PLR2004 (a double's)
        digits += 1
    return [f"{value:.{digits}g}" for value in values]
