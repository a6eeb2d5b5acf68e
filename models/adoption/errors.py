"""The error that ends an adoption."""

from models.errors import DataError


class AdoptionError(DataError):
    """The model cannot be adopted; the message is one sentence that says what is wrong and what to do."""
