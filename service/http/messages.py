"""Requests and responses as adapters and handlers exchange them; no framework is known here."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import orjson

from service.http.context import RequestContext
from service.http.routing import JSON, Route

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class Headers(Protocol):
    """A request's headers, looked up in lower case; several values of one name are joined by commas."""

    def get(self, name: str, default: str, /) -> str: ...


def add_field(headers: dict[str, str], name: str, value: str) -> None:
    """Add a header field to those before it (RFC 9110, section 5.3)."""
    headers[name] = f"{headers[name]},{value}" if name in headers else value


class Request:
    """One HTTP request.

    ``read`` gives the body, at most ``MENAGERIE_MAX_BODY_BYTES`` long, and raises `errors.TooLargeError` beyond; it is
    a call, so that a body that no handler wants is never read. ``parameters`` are the parts of the path that the
    ``route`` names in braces; ``route`` is None if no route matched.
    """

    __slots__ = ("context", "headers", "method", "parameters", "path", "read", "route")

    def __init__(  # noqa: PLR0913, PLR0917 (a request has so many parts)
        self,
        method: str,
        path: str,
        headers: Headers,
        read: Callable[[], bytes],
        parameters: Mapping[str, str] = NO_PARAMETERS,
        route: Route | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.read = read
        self.parameters = parameters
        self.route = route
        self.context = RequestContext(method, path, route)


COMMON_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Header fields of every response; a response's own take precedence."""


class Response:
    """One HTTP response, its body already bytes. ``headers`` are those beside `COMMON_HEADERS` and the body's own."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self, status: int, body: bytes, content_type: str = JSON, headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = {} if headers is None else headers

    @property
    def all_headers(self) -> dict[str, str]:
        """Every header field but those of the body."""
        return COMMON_HEADERS | self.headers


Handler = Callable[[Request], Response]


class Match(NamedTuple):
    """The route that a path matches, None if there is none; ``on_event_loop`` if the event loop handles the request."""

    method: str
    path: str
    route: Route | None
    handler: Handler
    parameters: Mapping[str, str]
    on_event_loop: bool


def json_response(document: Any, status: int = 200, content_type: str = JSON) -> Response:
    """A response whose body is ``document`` as strict JSON."""
    return Response(status, orjson.dumps(document), content_type)
