"""Numbers as text for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.significant_digits import format_distinct


@pytest.mark.parametrize(
    ("values", "digits", "expected"),
    [
        ((61.5, 0, 300), 6, ["61.5", "0", "300"]),
        ((1 / 3, 1 / 3, 0.5), 3, ["0.333", "0.333", "0.5"]),
        ((1_650_000_123, 1_650_000_000, 1_700_000_000), 6, ["1.6500001e+09", "1.65e+09", "1.7e+09"]),
        ((5.84, 5.841), 3, ["5.84", "5.841"]),
        ((2.67e-12,), 6, ["2.67e-12"]),
        ((2560.4, 999_999), 3, ["2560", "999999"]),
        ((999.9, 1000.1), 3, ["999.9", "1000"]),
        ((-12_345.6, 1_234_567), 3, ["-12346", "1.23e+06"]),
    ],
)
def test_different_values_look_different(values: tuple[float, ...], digits: int, expected: list[str]) -> None:
    """With more digits only where that is needed."""
    assert format_distinct(values, digits) == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_any_values_are_told_apart(values: list[float]) -> None:
    """Whatever their size."""
    texts = format_distinct(values)
    assert len(set(map(float, texts))) == len(set(values))
