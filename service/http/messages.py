"""What passes between an adapter and a handler: one request in, one reply out. Neither knows a framework."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson

from service.http.context import Record


class Headers(Protocol):
    """A request's headers, looked up in lower case."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    ``read`` gives the body's bytes, at most ``MENAGERIE_MAX_BODY_BYTES`` of them; it raises `errors.TooLargeError`
    beyond. It is a call, so that a body that no handler wants is never read. ``parameters`` are the parts of the path
    that its ``route`` names, which is the path as `Route` has it, or nothing if there is none.
    """

    method: str
    path: str
    headers: Headers
    read: Callable[[], bytes]
    parameters: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    record: Record = field(default_factory=Record)


@dataclass(slots=True)
class Reply:
    """One HTTP response, its body already bytes."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Reply]


class Route(NamedTuple):
    """Who answers what. A part of ``path`` in braces, ``{model}``, stands for any name without a slash or a colon.

    ``hot`` routes are asked so often and answered so fast that the event loop does it itself. ``open`` ones need no API
    key, whether keys are set or not.
    """

    method: str
    path: str
    handler: Handler
    hot: bool = False
    open: bool = False


def json_reply(document: Any, status: int = 200, content_type: str = "application/json") -> Reply:
    """A reply whose body is ``document`` as strict JSON."""
    return Reply(status, orjson.dumps(document), content_type)
