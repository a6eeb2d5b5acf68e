"""Cross-origin requests: which pages of other origins a browser lets read responses (the Fetch standard's CORS)."""

import re
from collections.abc import Iterable
from functools import partial

from service.http.errors import StartupError
from service.http.messages import Handler, Request, Response
from service.http.routing import Route

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_REQUEST_HEADERS = (
    "Authorization, Content-Type, Inference-Header-Content-Length, traceparent, tracestate, X-API-Key, X-Request-ID"
)
_RESPONSE_HEADERS = "Inference-Header-Content-Length, Retry-After, Server-Timing, traceresponse, X-Request-ID"
_MAX_AGE_SECONDS = 600


class CorsPolicy:
    """The allowed origins: none unless named. The service uses no cookies, so credentials are never allowed."""

    def __init__(self, origins: str) -> None:
        """Allow the origins in ``origins``, separated by commas.

        Raises:
            StartupError: one is not an origin as a browser sends it, such as ``https://example.org``.
        """
        self._origins = frozenset(origins.replace(",", " ").split())
        for origin in sorted(self._origins):
            if not _ORIGIN.fullmatch(origin):
                raise StartupError(
                    f"MENAGERIE_CORS_ORIGINS: {origin} is not an origin: write it as in https://example.org"
                )

    def add_headers(self, request: Request, response: Response) -> None:
        """Let a page of an allowed origin read the response; caches must keep the responses of origins apart."""
        headers = response.headers
        headers["Vary"] = f"{vary}, Origin" if (vary := headers.get("Vary")) else "Origin"
        origin = request.headers.get("origin", "")
        if origin in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _RESPONSE_HEADERS
            headers["Timing-Allow-Origin"] = origin  # for the browser's Performance API

    def preflight_handlers(self, routes: Iterable[Route]) -> dict[Route, Handler]:
        """Routes for preflight requests to every path; they are public, because a browser sends no key with them."""
        by_path: dict[str, list[Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, []).append(route)
        return {
            Route(
                "OPTIONS", path, "preflight", "CORS preflight", "", same_path[0].protocol, {204: {}}, public=True
            ): partial(self._preflight, sorted({route.method for route in same_path}))
            for path, same_path in by_path.items()
        }

    def _preflight(self, methods: list[str], request: Request) -> Response:
        response = Response(204, b"", headers={"Allow": ", ".join([*methods, "OPTIONS"])})
        if request.headers.get("origin", "") in self._origins:
            response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            response.headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
            response.headers["Access-Control-Max-Age"] = str(_MAX_AGE_SECONDS)
        return response
