"""The fast path: complete, simple POST requests answered straight from their bytes.

For every request gunicorn's asgi protocol makes a task, events and a scope, which costs more than twice what the
response itself does. The fast path looks at the bytes first. It answers at once what is plainly one complete request to
a route on the event loop, with nothing in it to interpret; it refuses at once what would need a thread when no thread
is free. Everything else goes to gunicorn, and once gunicorn has responded, the fast path takes over again. A test sends
the same requests both ways and compares the responses. MENAGERIE_FAST_PATH=false leaves all of it out.
"""

from asyncio import Transport
from functools import cache, lru_cache
from typing import Any

from service.app.asgi import AsgiApp
from service.http.errors import TooSlowError
from service.http.messages import COMMON_HEADERS, Response
from service.server.connection import Connection
from service.server.gunicorn_compat import SERVER_HEADER, date_header, has_request_hooks, status_line
from service.server.request_head import MAX_FIELDS, MAX_HEAD_BYTES, Head, HeadParser

_START = b"POST /"


class FastPathProtocol(Connection):
    """gunicorn's protocol with the fast path before it."""

    def connection_made(self, transport: Transport) -> None:
        """Begin on the fast path, unless something is configured that only gunicorn heeds."""
        self._held = b""  # the beginning of a request
        self._discard_bytes = 0  # still to arrive of a request that is refused already
        self._is_active = self._is_allowed = self._is_parser_clean = False
        super().connection_made(transport)
        self._parse_head = head_parser(self.app).parse
        self._is_active = self._is_allowed = self.is_http1 and _is_allowed(self.cfg, self.log)

    def data_received(self, data: bytes) -> None:
        """Answer a complete, simple request; hold the beginning of one; give everything else to gunicorn."""
        if self._discard_bytes and not (data := self._discard(data)):
            return
        if self._is_active or self._may_return():
            data = self._held + data
            head = self._parse_head(data)
            if head and head.is_inline and self._respond_to_row(head, data):
                return
            if head and not self.is_write_paused and (response := self._response(head, data)):
                self._held = b""
                self._send(response)
                if len(data) < head.request_size:
                    self._discard_bytes = head.request_size - len(data)
                    self.partial_bytes, self.is_head_complete, self.is_answered_early = 1, True, True
                return
            if (head.is_inline and len(data) < head.request_size) if head else _may_begin_request(data):
                self._hold(data, is_head_complete=head is not None)
                return
            self._is_active, self._held, self.is_head_complete = False, b"", False
        super().data_received(data)

    def refuse(self, status: int, reason: str) -> None:
        """Refuse a late body, the one thing wrong once the head is here, in the route's protocol."""
        head = self._parse_head(self._held) if self.is_head_complete else None
        if head and head.match:
            error = TooSlowError.after(self.app.settings.body_seconds)
            response = self.app.fail("POST", head.path, head.match, head.headers, error)
            self.is_answered_early = True
            self._send(response, is_last=True)
        else:
            super().refuse(status, reason)

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

    def _response(self, head: Head, data: bytes) -> Response | None:
        """The response, if the event loop is to give it, or if the request needs a thread and none is free."""
        app: AsgiApp = self.app
        head_size, request_size, path, match, headers, is_inline = head
        if is_inline and match:
            is_complete = len(data) == request_size
            return app.handle(match, headers, data[head_size:]) if is_complete else None
        # A client that is refused may go on sending, but not if its connection ends: it would not see the response.
        may_refuse = len(data) == request_size or (len(data) < request_size and not app.is_leaving)
        return app.overload_response(path, match, headers) if may_refuse else None

    def _discard(self, data: bytes) -> bytes:
        """What follows the body of a request that is refused already."""
        rest = data[self._discard_bytes :]
        self._discard_bytes = max(0, self._discard_bytes - len(data))
        if not self._discard_bytes:
            self.is_answered_early = False
            self.await_request()
        return rest

    def _respond_to_row(self, head: Head, data: bytes) -> bool:
        """Respond to one valid row, if that is all that there is to do."""
        app, match = self.app, head.match
        is_complete = len(data) == head.request_size
        if app.single_row is None or not match or not is_complete or app.is_leaving or self.is_write_paused:
            return False
        result = app.single_row.respond(match, head.headers, data[head.head_size :])
        if result is None:
            return False
        response, fields = result
        self._held = b""
        self._write(response, fields, has_common_headers=True)
        return True

    def _send(self, response: Response, *, is_last: bool = False) -> None:
        is_last = is_last or self.app.is_leaving
        headers = response.headers
        if is_last:
            headers["Connection"] = "close"
        has_common_headers = COMMON_HEADERS.keys().isdisjoint(headers)
        fields = _format_fields(headers if has_common_headers else response.all_headers)
        self._write(response, fields, has_common_headers=has_common_headers)
        if is_last:
            self.close()

    def _write(self, response: Response, fields: str, *, has_common_headers: bool) -> None:
        """Write a response with these header ``fields`` and those of its body."""
        body = response.body
        start = _start_of(response.status, response.content_type, has_common_headers)
        end = f"{fields}Content-Length: {len(body)}\r\n\r\n"
        self.write_response(b"".join((start, date_header(), end.encode("latin-1"), body)))
        self.await_request()

    def _hold(self, data: bytes, *, is_head_complete: bool) -> None:
        """Keep the beginning of a request; once its head is complete, its body has time of its own."""
        if not self.partial_bytes or is_head_complete != self.is_head_complete:
            self.waiting_since = self.worker.loop.time()
        if is_head_complete:
            self.cancel_idle_timer()
        self._held, self.partial_bytes, self.is_head_complete = data, len(data) + 1, is_head_complete


def _is_allowed(cfg: Any, log: Any) -> bool:
    """Whether nothing is configured that only gunicorn heeds."""
    has_limits = cfg.limit_request_fields < MAX_FIELDS or 0 < cfg.limit_request_field_size < MAX_HEAD_BYTES
    return cfg.keepalive > 0 and cfg.proxy_protocol == "off" and not has_limits and not has_request_hooks(cfg, log)


def _may_begin_request(data: bytes) -> bool:
    """Whether this is the beginning of a simple request whose head is not complete."""
    if b"\r\n\r\n" in data or len(data) > MAX_HEAD_BYTES or data.count(b"\n") != data.count(b"\r\n"):
        return False
    return data.startswith(_START) or _START.startswith(data)


@cache
def head_parser(app: AsgiApp) -> HeadParser:
    """The parser of an application's connections, which share what it knows."""
    return HeadParser(app.match, app.settings.max_body_bytes, app.max_inline_bytes)


def _format_fields(headers: dict[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


@lru_cache
def _start_of(status: int, content_type: str, has_common_headers: bool) -> bytes:  # noqa: FBT001 (by position, it costs less)
    """The beginning of a response: what many have in common."""
    headers = {**(COMMON_HEADERS if has_common_headers else {}), "Content-Type": content_type}
    fields = _format_fields(headers)
    return b"".join((status_line((1, 1), status), SERVER_HEADER, fields.encode("latin-1")))
