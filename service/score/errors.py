"""The errors of a scoring job."""


class TableError(Exception):
    """A table cannot be read, scored or written; the message is one line that names the problem and the remedy."""


class ContentError(Exception):
    """The bytes of a file are not a table; the message is as a `TableError`'s, but follows the file's name."""
