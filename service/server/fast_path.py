"""A short way for the requests that matter: a whole, simple prediction, answered as its bytes come in.

gunicorn's asgi protocol makes a task, events and a scope for every request, which costs more than twice what the answer
itself does. This is that protocol, but it looks at the bytes first: what is plainly one complete prediction, with
nothing in it to interpret, is answered on the spot, and what would have to wait where no more may wait is refused. All
else goes to gunicorn; once that has answered, the short way is open again. A test sends the same requests both ways and
compares the bytes.

The names from `gunicorn.asgi.protocol` and `gunicorn.workers.gasgi` are private; pyproject.toml pins the one release of
gunicorn that this was read against.
"""

import re
from asyncio import Transport
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from gunicorn.asgi.protocol import (
    _CACHED_SERVER_HEADER,
    _get_cached_date_header,
    _get_cached_status_line,
    _post_request_hook,
    _pre_request_hook,
)
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers import gasgi

from service.app.asgi import AsgiApp, Headers, Match
from service.http.errors import TooSlowError
from service.http.messages import Response
from service.server.timeouts import Patient

_START = b"POST /"
_MOST_FIELDS = 50
_LONGEST_HEAD = 4096
_PATH = rb"/[A-Za-z0-9._:/-]*"  # nothing that could be spelt in another way, and no query
_HEAD = re.compile(
    rb"POST (?P<path>%b) HTTP/1\.1\r\n(?P<fields>(?:[A-Za-z0-9-]+: ?[!-~](?:[ -~]*[!-~])?\r\n){1,%d})\r\n"
    % (_PATH, _MOST_FIELDS)
)
_ONCE = (b"host", b"content-length")
# What changes how a message is framed or how its connection is used is gunicorn's to judge.
_NOT_HERE = {b"connection", b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"}
_SCHEME = {b"x-forwarded-proto", b"x-forwarded-protocol", b"x-forwarded-ssl"}  # gunicorn looks for contradictions
_MOST_HEADS = 512


class _Head(NamedTuple):
    """What the head of a request says. ``here``: the event loop is to answer it."""

    size: int
    whole: int  # the size of all of the request
    path: str
    found: Match | None
    here: bool
    headers: Headers


def install() -> None:
    """Make gunicorn's asgi workers speak this protocol."""
    gasgi.ASGIProtocol = Lane


class Lane(Patient):
    """gunicorn's protocol with the short way before it."""

    _heads: dict[bytes, _Head | None] = {}  # noqa: RUF012 (shared on purpose: callers repeat their heads to the byte)

    def connection_made(self, transport: Transport) -> None:
        """Begin on the short way, unless something is set up that only gunicorn's own way has."""
        self._held, self._unread = b"", 0  # the beginning of a request; bytes to come of one that is refused
        self._short = self._plain = self._clean = False
        super().connection_made(transport)
        self._short = self._plain = bool(self._callback_parser) and _is_plain(self.cfg, self.log)

    def data_received(self, data: bytes) -> None:
        """Answer a complete, simple prediction; keep the beginning of one; leave everything else to gunicorn."""
        if self._unread and not (data := self._drop(data)):
            return
        if self._short or self._may_return():
            data = self._held + data
            head = self._head(data)
            if head and not self._flow_control.write_paused and (reply := self._reply(head, data)):
                self._held = b""
                self._send(reply)
                if len(data) < head.whole:
                    self._unread, self._heading, self._whole_head = head.whole - len(data), 1, True
                return
            if (head.here and len(data) < head.whole) if head else _may_begin(data):
                self._hold(data, whole_head=head is not None)
                return
            self._short, self._held, self._whole_head = False, b"", False
        super().data_received(data)

    def _may_return(self) -> bool:
        """Whether gunicorn has answered all that it was given, and was given nothing of a further request."""
        self._short = self._plain and self._clean and self._awaiting_request and self._current_request is None
        return self._short

    def refuse(self, status: int, reason: str) -> None:
        """Tell a body that is late, the one thing wrong once the head is here, in the words of the head's protocol."""
        head = self._head(self._held) if self._whole_head else None
        if head and head.found:
            error = TooSlowError.after(self.app.settings.body_seconds)
            self._send(self.app.fail("POST", head.path, head.found, head.headers, error), last=True)
        else:
            super().refuse(status, reason)

    def _feed_callback_parser(self, data: bytes) -> bool:
        try:
            fed: bool = super()._feed_callback_parser(data)
        except ValueError:  # a length of so many digits that Python makes no number of them
            self._send_error_response(HTTPStatus.BAD_REQUEST, "")
            self._close_transport()
            return False
        self._clean = self._current_request is not None  # what follows that in the parser is fed again, once it can be
        return fed

    def _send_error_response(self, status: int, message: str, extra_headers: Sequence[tuple[str, str]] = ()) -> None:
        """What gunicorn refuses by itself, without its message: that one repeats what was sent."""
        del message
        self.app.service.request_metrics.count_refused_connection(status)
        super()._send_error_response(status, HTTPStatus(status).phrase, extra_headers)

    def _head(self, data: bytes) -> _Head | None:
        end = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD) + 4
        if end < 4:  # noqa: PLR2004 (not found)
            return None
        raw = data[:end]
        if raw not in self._heads:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[raw] = _parsed(raw, self.app)
        return self._heads[raw]

    def _reply(self, head: _Head, data: bytes) -> Response | None:
        """The answer, if it is for the event loop to give, or if there is no room for more work beside it."""
        app: AsgiApp = self.app
        if head.here and head.found:
            return app.handle(head.found, head.headers, data[head.size :]) if len(data) == head.whole else None
        # Whoever is refused may go on sending, but not if his connection ends with that: he would not see why.
        refusable = len(data) == head.whole or (len(data) < head.whole and not app.is_leaving)
        return app.overload_response(head.path, head.found, head.headers) if refusable else None

    def _drop(self, data: bytes) -> bytes:
        """What follows the body of a request that is refused already."""
        rest = data[self._unread :]
        self._unread = max(0, self._unread - len(data))
        if not self._unread:
            self._since, self._heading, self._whole_head = self.worker.loop.time(), 0, False
        return rest

    def _send(self, reply: Response, *, last: bool = False) -> None:
        worker = self.worker
        worker.nr += 1
        last = last or self.app.is_leaving
        fields = [f"{name}: {value}\r\n" for name, value in reply.headers.items()]
        fields.append(f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n")
        if last:
            fields.append("Connection: close\r\n")
        status = _get_cached_status_line((1, 1), reply.status)
        told = "".join(fields).encode("latin-1")
        self._safe_write(
            b"".join((status, told, _CACHED_SERVER_HEADER, _get_cached_date_header(), b"\r\n", reply.body))
        )
        self._since = worker.loop.time()
        self._heading = 0
        self._whole_head = False
        if last:
            self._keepalive_timeout()

    def _hold(self, data: bytes, *, whole_head: bool) -> None:
        """Keep the beginning of a request; once its head is whole, its body has time of its own."""
        if not self._heading or whole_head != self._whole_head:
            self._since = self.worker.loop.time()
        self._held, self._heading, self._whole_head = data, len(data) + 1, whole_head


def _is_plain(cfg: Config, log: Logger) -> bool:
    """Whether nothing is set up that only gunicorn's own way heeds."""
    hooked = _pre_request_hook(cfg, log) or _post_request_hook(cfg) or log.access_log_enabled
    limited = cfg.limit_request_fields < _MOST_FIELDS or 0 < cfg.limit_request_field_size < _LONGEST_HEAD
    return cfg.keepalive > 0 and cfg.proxy_protocol == "off" and not hooked and not limited


def _may_begin(data: bytes) -> bool:
    """Whether this is the beginning of a simple prediction whose head is not complete."""
    if b"\r\n\r\n" in data or len(data) > _LONGEST_HEAD or data.count(b"\n") != data.count(b"\r\n"):
        return False
    return data.startswith(_START) or _START.startswith(data)


def _parsed(raw: bytes, app: AsgiApp) -> _Head | None:
    """A head, if there is but one way to read it (RFC 9112) and the event loop is to answer it."""
    match = _HEAD.fullmatch(raw)
    if not match:
        return None
    pairs = [line.split(b":", 1) for line in match["fields"][:-2].split(b"\r\n")]
    headers = [(name.lower(), value.strip(b" ")) for name, value in pairs]
    # Many clients say what HTTP/1.1 means anyway.
    names = [name for name, value in headers if (name, value.lower()) != (b"connection", b"keep-alive")]
    length = dict(headers).get(b"content-length", b"")
    if (
        any(names.count(name) != 1 for name in _ONCE)
        or names.count(b"content-type") > 1
        or not _NOT_HERE.isdisjoint(names)
        or sum(name in _SCHEME for name in names) > 1
        or not length.isdigit()
        or len(length) > 10  # noqa: PLR2004 (int() of more digits is for nobody)
        or int(length) > app.settings.max_body_bytes
    ):
        return None
    path = match["path"].decode()
    found = app.match("POST", path)
    here = found is not None and found.on_event_loop and int(length) <= app.max_inline_bytes
    return _Head(len(raw), len(raw) + int(length), path, found, here, Headers(headers))
