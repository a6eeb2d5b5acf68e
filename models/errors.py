"""The error that ends a training run because of its data."""


class DataError(Exception):
    """The data is unfit for training; the message is one sentence that names the fault and the remedy."""
