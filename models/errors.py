"""What training says when it cannot go on."""


class DataError(Exception):
    """The data cannot be trained on; the message is one sentence that names the fault and the remedy."""
