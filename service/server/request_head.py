"""The heads of simple requests, as the fast path reads them: those that can be read in one way only (RFC 9112).

A client's heads differ in few values: ids, credentials, the length of the body. So what they have in common is kept as
a shape, without those values, and a head of a known shape is compared with it piece by piece. That takes 2 us; reading
a head field by field takes 12 us.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from service.http.messages import Match, add_field
from service.http.request_target import is_authority

MAX_FIELDS = 50
MAX_HEAD_BYTES = 4096
_REQUEST_LINE = re.compile(r"POST (/[A-Za-z0-9._:/-]*) HTTP/1\.1\r\n")  # no query, no path that has another spelling
_FIELD_LINE = re.compile(r"([A-Za-z0-9-]+): ?([!-~](?:[ -~]*[!-~])?)\r\n")
_LENGTH = re.compile(r"[0-9]{1,10}")
# Fields that change how a message is framed or how its connection is used (RFC 9110, 9112) are left to gunicorn.
_LEFT_TO_GUNICORN = {"connection", "expect", "http2-settings", "te", "trailer", "transfer-encoding", "upgrade"}
_AT_MOST_ONCE = {"host", "content-length", "content-type"}
# Values that a shape never keeps; others it drops once two heads differ in them.
_NEVER_KEPT = {"authorization", "content-length", "cookie", "traceparent", "tracestate", "x-api-key", "x-request-id"}
_MAX_LENGTHS = 128  # of heads, for which shapes are kept
_MAX_SHAPES = 4  # of one length


class Head(NamedTuple):
    """The head of a request; ``is_inline`` if the event loop handles the request. Sizes are in bytes."""

    head_size: int
    request_size: int
    path: str
    match: Match | None
    headers: dict[str, str]
    is_inline: bool


class _Field(NamedTuple):
    """A field and the offsets of its value."""

    name: str
    value: str
    start: int
    stop: int


class _Shape:
    """What heads of one length have in common; the values of the fields in ``varying`` may differ."""

    def __init__(self, text: str, path: str, match: Match | None, fields: list[_Field], varying: set[str]) -> None:
        self.path = path
        self.match = match
        self.headers = {field.name: "" if field.name in varying else field.value for field in fields}
        self.places = [(field.name, field.start, field.stop) for field in fields]
        self._varying = [place for place in self.places if place[0] in varying]
        ends = [0, *(offset for _, start, stop in self._varying for offset in (start, stop)), len(text)]
        self._cut_fixed = itemgetter(*map(slice, ends[::2], ends[1::2]))  # into a tuple, in one call
        self._fixed = self._cut_fixed(text)

    def read(self, text: str) -> dict[str, str] | None:
        """The headers of a head if it has this shape."""
        if self._cut_fixed(text) != self._fixed:
            return None
        headers = self.headers.copy()
        for name, start, stop in self._varying:
            headers[name] = value = text[start:stop]
            if not value.isprintable() or value != value.strip():
                return None
        return headers


class _ShapeOfHosts(_Shape):
    """One whose heads differ in Host; for one Host, that is checked once, when its shape is learned."""

    def read(self, text: str) -> dict[str, str] | None:
        """The headers of a head if it has this shape, and its Host is valid."""
        headers = super().read(text)
        return headers if headers and _is_valid_host(headers["host"]) else None


_is_valid_host = lru_cache(_MAX_LENGTHS)(is_authority)


class HeadParser:
    """Reads the heads of one application's requests. ``match`` finds the route of a method and a path."""

    def __init__(self, match: Callable[[str, str], Match | None], max_body_bytes: int, max_inline_bytes: int) -> None:
        self._match = match
        self._max_body_bytes = max_body_bytes
        self._max_inline_bytes = max_inline_bytes
        self._shapes: dict[int, list[_Shape]] = {}  # by the length of the head

    def parse(self, data: bytes) -> Head | None:
        """The head at the beginning of ``data``; None if it is not complete or not simple."""
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 2
        if end < 2:  # noqa: PLR2004 (not found)
            return None
        try:
            text = data[:end].decode("ascii")
        except UnicodeDecodeError:
            return None
        for shape in self._shapes.get(end, ()):
            if headers := shape.read(text):
                path, match = shape.path, shape.match
                break
        else:
            if not (read := self._read(text)):
                return None
            path, match, headers = read
        length = headers["content-length"]
        if not length.isdigit() or (size := int(length)) > self._max_body_bytes:
            return None
        end += 2
        is_inline = match is not None and match.on_event_loop and size <= self._max_inline_bytes
        return Head(end, end + size, path, match, headers, is_inline)

    def _read(self, text: str) -> tuple[str, Match | None, dict[str, str]] | None:
        """Read a head field by field, and learn its shape."""
        request_line = _REQUEST_LINE.match(text)
        if not request_line or not (fields := list(_fields(text, request_line.end()))):
            return None
        names = [field.name for field in fields]
        if not (
            fields[-1].stop == len(text) - len("\r\n")
            and len(fields) <= MAX_FIELDS
            and {"host", "content-length"} <= {*names}
            and all(names.count(name) <= 1 for name in _AT_MOST_ONCE)
            and all(map(_is_simple, fields))
        ):
            return None
        path = request_line[1]
        match = self._match("POST", path)
        headers: dict[str, str] = {}
        for field in fields:
            add_field(headers, field.name, field.value)
        if len(headers) == len(fields):
            self._learn(text, path, match, fields)
        return path, match, headers

    def _learn(self, text: str, path: str, match: Match | None, fields: list[_Field]) -> None:
        """Keep the shape of a head; if there was one of the same fields, what differs between the two varies."""
        if len(self._shapes) >= _MAX_LENGTHS:
            self._shapes.clear()
        shapes = self._shapes.setdefault(len(text), [])
        varying = set(_NEVER_KEPT)
        places = [(field.name, field.start, field.stop) for field in fields]
        for shape in shapes:
            if shape.path == path and shape.places == places:
                varying |= {field.name for field in fields if shape.headers[field.name] != field.value}
                shapes.remove(shape)
                break
        shape_class = _ShapeOfHosts if "host" in varying else _Shape
        shapes.insert(0, shape_class(text, path, match, fields, varying - {"connection"}))
        del shapes[_MAX_SHAPES:]


def _fields(text: str, start: int) -> Iterator[_Field]:
    """The fields of a head, as far as their lines are simple."""
    while line := _FIELD_LINE.match(text, start):
        yield _Field(line[1].lower(), line[2], *line.span(2))
        start = line.end()


def _is_simple(field: _Field) -> bool:
    if field.name == "content-length":
        return _LENGTH.fullmatch(field.value) is not None
    if field.name == "host":
        return is_authority(field.value)
    # Many clients send `Connection: keep-alive`, which HTTP/1.1 means anyway.
    return field.name not in _LEFT_TO_GUNICORN or (field.name, field.value.lower()) == ("connection", "keep-alive")
