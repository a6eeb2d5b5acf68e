"""The fast path: complete, simple POST requests answered straight from their bytes.

For every request gunicorn's asgi protocol makes a task, events and a scope, which costs more than twice what the
response itself does. The fast path looks at the bytes first. It answers at once what is plainly one complete request to
a route on the event loop, with nothing in it to interpret; it refuses at once what would need a thread when no thread
is free. Everything else goes to gunicorn, and once gunicorn has responded, the fast path takes over again. A test sends
the same requests both ways and compares the responses. MENAGERIE_FAST_PATH=false leaves all of it out.
"""

import re
from asyncio import Transport
from typing import Any, NamedTuple

from service.app.asgi import AsgiApp, Headers, Match
from service.http.errors import TooSlowError
from service.http.messages import Response
from service.server.connection import Connection
from service.server.gunicorn_compat import SERVER_HEADER, date_header, has_request_hooks, status_line

_START = b"POST /"
_MAX_FIELDS = 50
_MAX_HEAD_BYTES = 4096
_PATH = rb"/[A-Za-z0-9._:/-]*"  # nothing that could be spelt in another way, and no query
_HEAD = re.compile(
    rb"POST (?P<path>%b) HTTP/1\.1\r\n(?P<fields>(?:[A-Za-z0-9-]+: ?[!-~](?:[ -~]*[!-~])?\r\n){1,%d})\r\n"
    % (_PATH, _MAX_FIELDS)
)
_REQUIRED_ONCE = (b"host", b"content-length")
# Fields that change how a message is framed or how its connection is used (RFC 9110, 9112) are left to gunicorn.
_LEFT_TO_GUNICORN = {b"connection", b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"}
_SCHEME = {b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-ssl"}  # gunicorn looks for contradictions
_MAX_LENGTH_DIGITS = 10
_MAX_CACHED_HEADS = 512


class Head(NamedTuple):
    """The head of a request; ``is_inline`` if the event loop handles the request. Sizes are in bytes."""

    head_size: int
    request_size: int
    path: str
    match: Match | None
    is_inline: bool
    headers: Headers


class FastPathProtocol(Connection):
    """gunicorn's protocol with the fast path before it."""

    _cached_heads: dict[bytes, Head | None] = {}  # noqa: RUF012 (shared: clients repeat their heads to the byte)

    def connection_made(self, transport: Transport) -> None:
        """Begin on the fast path, unless something is configured that only gunicorn heeds."""
        self._held = b""  # the beginning of a request
        self._discard_bytes = 0  # still to arrive of a request that is refused already
        self._is_active = self._is_allowed = self._is_parser_clean = False
        super().connection_made(transport)
        self._is_active = self._is_allowed = self.is_http1 and _is_allowed(self.cfg, self.log)

    def data_received(self, data: bytes) -> None:
        """Answer a complete, simple request; hold the beginning of one; give everything else to gunicorn."""
        if self._discard_bytes and not (data := self._discard(data)):
            return
        if self._is_active or self._may_return():
            data = self._held + data
            head = self._head(data)
            if head and not self.is_write_paused and (response := self._response(head, data)):
                self._held = b""
                self._send(response)
                if len(data) < head.request_size:
                    self._discard_bytes = head.request_size - len(data)
                    self.partial_bytes, self.is_head_complete = 1, True
                return
            if (head.is_inline and len(data) < head.request_size) if head else _may_begin_request(data):
                self._hold(data, is_head_complete=head is not None)
                return
            self._is_active, self._held, self.is_head_complete = False, b"", False
        super().data_received(data)

    def refuse(self, status: int) -> None:
        """Refuse a late body, the one thing wrong once the head is here, in the route's protocol."""
        head = self._head(self._held) if self.is_head_complete else None
        if head and head.match:
            error = TooSlowError.after(self.app.settings.body_seconds)
            self._send(self.app.fail("POST", head.path, head.match, head.headers, error), is_last=True)
        else:
            super().refuse(status)

    def parse(self, data: bytes) -> bool:
        """Give bytes to gunicorn, and note whether its parser holds the beginning of a request afterwards."""
        is_open = super().parse(data)
        self._is_parser_clean = self.has_request  # gunicorn parses what follows a request once that is answered
        return is_open

    def _may_return(self) -> bool:
        """Whether gunicorn has answered all that it was given, and was given nothing of a further request."""
        self._is_active = (
            self._is_allowed and self._is_parser_clean and self.is_awaiting_request and not self.has_request
        )
        return self._is_active

    def _head(self, data: bytes) -> Head | None:
        end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES) + 4
        if end < 4:  # noqa: PLR2004 (not found)
            return None
        raw = data[:end]
        if raw not in self._cached_heads:
            if len(self._cached_heads) >= _MAX_CACHED_HEADS:
                self._cached_heads.clear()
            self._cached_heads[raw] = parse_head(raw, self.app)
        return self._cached_heads[raw]

    def _response(self, head: Head, data: bytes) -> Response | None:
        """The response, if the event loop is to give it, or if the request needs a thread and none is free."""
        app: AsgiApp = self.app
        if head.is_inline and head.match:
            is_complete = len(data) == head.request_size
            return app.handle(head.match, head.headers, data[head.head_size :]) if is_complete else None
        # A client that is refused may go on sending, but not if its connection ends: it would not see the response.
        may_refuse = len(data) == head.request_size or (len(data) < head.request_size and not app.is_leaving)
        return app.overload_response(head.path, head.match, head.headers) if may_refuse else None

    def _discard(self, data: bytes) -> bytes:
        """What follows the body of a request that is refused already."""
        rest = data[self._discard_bytes :]
        self._discard_bytes = max(0, self._discard_bytes - len(data))
        if not self._discard_bytes:
            self.await_request()
        return rest

    def _send(self, response: Response, *, is_last: bool = False) -> None:
        is_last = is_last or self.app.is_leaving
        fields = [f"{name}: {value}\r\n" for name, value in response.headers.items()]
        fields.append(f"Content-Type: {response.content_type}\r\nContent-Length: {len(response.body)}\r\n")
        if is_last:
            fields.append("Connection: close\r\n")
        start, encoded = status_line((1, 1), response.status), "".join(fields).encode("latin-1")
        self.write_response(b"".join((start, encoded, SERVER_HEADER, date_header(), b"\r\n", response.body)))
        self.await_request()
        if is_last:
            self.close()

    def _hold(self, data: bytes, *, is_head_complete: bool) -> None:
        """Keep the beginning of a request; once its head is complete, its body has time of its own."""
        if not self.partial_bytes or is_head_complete != self.is_head_complete:
            self.waiting_since = self.worker.loop.time()
        if is_head_complete:
            self.cancel_idle_timer()
        self._held, self.partial_bytes, self.is_head_complete = data, len(data) + 1, is_head_complete


def _is_allowed(cfg: Any, log: Any) -> bool:
    """Whether nothing is configured that only gunicorn heeds."""
    has_limits = cfg.limit_request_fields < _MAX_FIELDS or 0 < cfg.limit_request_field_size < _MAX_HEAD_BYTES
    return cfg.keepalive > 0 and cfg.proxy_protocol == "off" and not has_limits and not has_request_hooks(cfg, log)


def _may_begin_request(data: bytes) -> bool:
    """Whether this is the beginning of a simple request whose head is not complete."""
    if b"\r\n\r\n" in data or len(data) > _MAX_HEAD_BYTES or data.count(b"\n") != data.count(b"\r\n"):
        return False
    return data.startswith(_START) or _START.startswith(data)


def parse_head(raw: bytes, app: AsgiApp) -> Head | None:
    """A head, if there is but one way to read it (RFC 9112); else None, and gunicorn's parser is to judge."""
    match = _HEAD.fullmatch(raw)
    if not match:
        return None
    pairs = [line.split(b":", 1) for line in match["fields"][:-2].split(b"\r\n")]
    headers = [(name.lower(), value.strip(b" ")) for name, value in pairs]
    # Many clients send `Connection: keep-alive`, which HTTP/1.1 means anyway.
    names = [name for name, value in headers if (name, value.lower()) != (b"connection", b"keep-alive")]
    length = dict(headers).get(b"content-length", b"")
    if (
        any(names.count(name) != 1 for name in _REQUIRED_ONCE)
        or names.count(b"content-type") > 1
        or not _LEFT_TO_GUNICORN.isdisjoint(names)
        or sum(name in _SCHEME for name in names) > 1
        or not length.isdigit()
        or len(length) > _MAX_LENGTH_DIGITS
        or int(length) > app.settings.max_body_bytes
    ):
        return None
    path = match["path"].decode()
    route = app.match("POST", path)
    is_inline = route is not None and route.on_event_loop and int(length) <= app.max_inline_bytes
    return Head(len(raw), len(raw) + int(length), path, route, is_inline, Headers(headers))
