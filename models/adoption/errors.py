"""The error that ends an adoption, and how it quotes the errors of Keras and TensorFlow."""

import re

from models.errors import DataError


class AdoptionError(DataError):
    """The model cannot be adopted; the message is one sentence that says what is wrong and what to do."""


_MARKUP = re.compile(r"\x1b\[[0-9;]*m|\{\{[^}]*\}\}|Exception encountered when calling [\w.]+\(\)\.")
_MAX_LENGTH = 150


def summarize(error: Exception) -> str:
    """What another library's error says, in one line of at most 150 characters."""
    text = " ".join(_MARKUP.sub("", str(error)).split()) or type(error).__name__
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
