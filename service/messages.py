"""What passes between an adapter and a handler: one request in, one reply out. Neither knows a framework."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``headers`` are looked up in lower case.

    ``read`` gives the body's bytes, at most ``MENAGERIE_MAX_BODY_BYTES`` of them; it raises `errors.TooLarge`
    beyond. It is a call, so that a body that no handler wants is never read.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    read: Callable[[], bytes]


@dataclass(slots=True)
class Reply:
    """One HTTP response, its body already bytes."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Reply]


def json_reply(document: Any, status: int = 200, content_type: str = "application/json") -> Reply:  # noqa: ANN401 (any JSON)
    """A reply whose body is ``document`` as strict JSON."""
    return Reply(status, orjson.dumps(document), content_type)
