"""How a text writes numbers, as the options ``--decimal`` and ``--thousands`` of training and scoring say."""

from dataclasses import dataclass
from typing import Any

# What a sign of an option stands for in a pattern: the spaces and apostrophes that are used between thousands.
SIGN_CLASSES = {" ": "[ \u00a0\u202f]", "'": "['\u2019]", ".": r"\.", ",": ","}
EXPONENT = "(?:[eE][+-]?[0-9]+)"


@dataclass(frozen=True)
class NumberFormat:
    """The signs that separate decimals and thousands; "" if thousands are not separated."""

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """A regular expression for a number."""
        digits = "[0-9]+"
        if self.thousands:
            digits = f"(?:[0-9]+|[0-9]{{1,3}}(?:{SIGN_CLASSES[self.thousands]}[0-9]{{3}})+)"
        decimal = SIGN_CLASSES[self.decimal]
        return f"^[+-]?(?:{digits}(?:{decimal}[0-9]*)?|{decimal}[0-9]+){EXPONENT}?$"

    def to_plain(self, numbers: Any) -> Any:
        """The Arrow array of text that matches `pattern`, as most programs write the same numbers."""
        import pyarrow.compute as pc  # the command lines, which have these options, do without it

        if self.thousands:
            numbers = pc.replace_substring_regex(numbers, SIGN_CLASSES[self.thousands], "")
        return numbers if self.decimal == "." else pc.replace_substring(numbers, self.decimal, ".")
