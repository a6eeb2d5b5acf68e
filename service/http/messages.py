"""Requests and responses as adapters and handlers exchange them; no framework is known here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import orjson

from service.http.context import RequestContext
from service.http.routing import JSON, Route

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class Headers(Protocol):
    """A request's headers, looked up in lower case."""

    def get(self, name: str, default: str, /) -> str: ...


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


@dataclass(slots=True)
class Response:
    """One HTTP response, its body already bytes."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response]


def json_response(document: Any, status: int = 200, content_type: str = JSON) -> Response:
    """A response whose body is ``document`` as strict JSON."""
    return Response(status, orjson.dumps(document), content_type)
