"""One type for what a test receives, whether it sends its request in process or over HTTP."""

from collections.abc import Callable
from typing import NamedTuple

from werkzeug.datastructures import Headers


class HttpResponse(NamedTuple):
    """``headers`` are looked up in any case."""

    status: int
    headers: Headers
    body: bytes


Send = Callable[..., HttpResponse]
"""``send(method, path, body=None, headers=None)``."""
