"""Names of features, columns and labels, as training, adoption and scoring read them from a table."""

import unicodedata

# Invisible characters that are no part of a name at its ends: zero-width spaces and joiners, marks of direction.
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


def normalize_name(text: str) -> str:
    """The name of a feature, column or label as training reads it from a table, and as scoring looks for it.

    Spaces of all kinds become one ordinary space, and none is left at the ends. Characters are composed (Unicode's
    NFC). Zero-width joiners within words remain: Persian, Hindi and emoji need them.
    """
    return unicodedata.normalize("NFC", " ".join(text.split()).strip(_INVISIBLE + " "))
