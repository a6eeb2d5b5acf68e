"""One type for what a test receives, whether it sends its request in process or over HTTP."""

from collections.abc import Callable
from typing import NamedTuple

from werkzeug.datastructures import Headers


class HttpResponse(NamedTuple):
    """``headers`` are looked up in any case."""

    status: int
    headers: Headers
    body: bytes

    @property
    def security_policy(self) -> dict[str, set[str]]:
        """The sources of each directive of the Content-Security-Policy."""
        directives = [directive.split() for directive in self.headers["Content-Security-Policy"].split(";")]
        return {name: set(sources) for name, *sources in directives}


Send = Callable[..., HttpResponse]
"""``send(method, path, body=None, headers=None)``."""
