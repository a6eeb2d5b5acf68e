"""How a test sends a request: in process or over HTTP, with one shape for what comes back."""

from collections.abc import Callable
from typing import NamedTuple

from werkzeug.datastructures import Headers


class Answer(NamedTuple):
    """What came back, whichever way it was sent. ``headers`` are looked up in any case."""

    status: int
    headers: Headers
    body: bytes


Send = Callable[..., Answer]
