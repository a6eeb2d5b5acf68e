"""The error that ends a scoring job."""


class TableError(Exception):
    """A table cannot be read, scored or written; the message is one line that names the problem and the remedy."""
