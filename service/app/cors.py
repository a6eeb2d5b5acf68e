"""Which pages of other origins a browser lets read the answers (the Fetch standard's CORS): none, unless named."""

import re
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from service.http.errors import StartupError
from service.http.messages import Reply, Request, Route

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_ASKED = (
    "Authorization, Content-Type, Inference-Header-Content-Length, traceparent, tracestate, X-API-Key, X-Request-ID"
)
_TOLD = "Inference-Header-Content-Length, Retry-After, Server-Timing, traceresponse, X-Request-ID"
_SECONDS = 600


class Origins:
    """Origins whose pages may ask and read. Cookies play no part here, so credentials are never allowed."""

    def __init__(self, named: str) -> None:
        """Know the origins in ``named``, commas between.

        Raises:
            StartupError: one is no origin as a browser sends it, such as ``https://example.org``: ``*``, say.
        """
        self._known = frozenset(named.replace(",", " ").split())
        for origin in sorted(self._known):
            if not _ORIGIN.fullmatch(origin):
                raise StartupError(
                    f"MENAGERIE_CORS_ORIGINS: {origin} is no origin: name it as a browser does, as https://example.org"
                )

    def tell(self, request: Request, reply: Reply) -> None:
        """Let the page read this answer, if its origin is known; a cache must not give the answer to another's."""
        reply.headers["Vary"] = f"{vary}, Origin" if (vary := reply.headers.get("Vary")) else "Origin"
        origin = request.headers.get("origin", "")
        if origin in self._known:
            reply.headers["Access-Control-Allow-Origin"] = origin
            reply.headers["Access-Control-Expose-Headers"] = _TOLD
            reply.headers["Timing-Allow-Origin"] = origin  # for the browser's own Performance API

    def preflights(self, routes: Sequence[Route]) -> list[Route]:
        """For every path the answer to a browser that asks beforehand; it cannot send a key with that."""
        ordered = sorted(routes, key=lambda route: route.path)
        return [
            Route("OPTIONS", path, partial(self._preflight, sorted({route.method for route in there})), open=True)
            for path, there in groupby(ordered, key=lambda route: route.path)
        ]

    def _preflight(self, methods: Sequence[str], request: Request) -> Reply:
        reply = Reply(204, b"", headers={"Allow": ", ".join([*methods, "OPTIONS"])})
        if request.headers.get("origin", "") in self._known:
            reply.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            reply.headers["Access-Control-Allow-Headers"] = _ASKED
            reply.headers["Access-Control-Max-Age"] = str(_SECONDS)
        return reply
