"""A short way for the requests that matter: a whole, simple prediction, answered as its bytes come in.

gunicorn's asgi protocol makes a task, events and a scope for every request, which costs more than twice what the answer
itself does. This is that protocol, but it looks at the bytes first: what is plainly one complete prediction, with
nothing in it to interpret, is answered on the spot. Everything else goes to gunicorn, and so does all that follows on
that connection. A test sends the same requests both ways and compares the bytes.

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

from service.asgi import Application, Found, Headers
from service.patience import Patient

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
    """What the head of a request says: its size, the size of the whole request, who answers it, the headers."""

    size: int
    whole: int
    found: Found
    headers: Headers


def install() -> None:
    """Make gunicorn's asgi workers speak this protocol."""
    gasgi.ASGIProtocol = Lane


class Lane(Patient):
    """gunicorn's protocol with the short way before it."""

    _heads: dict[bytes, _Head | None] = {}  # noqa: RUF012 (shared on purpose: callers repeat their heads to the byte)

    def connection_made(self, transport: Transport) -> None:
        """Begin on the short way, unless something is set up that only gunicorn's own way has."""
        self._held = b""
        self._short = False
        super().connection_made(transport)
        self._short = bool(self._callback_parser) and _is_plain(self.cfg, self.log)

    def data_received(self, data: bytes) -> None:
        """Answer a complete, simple prediction; keep the beginning of one; leave everything else to gunicorn."""
        if self._short:
            data = self._held + data
            head = self._head(data)
            if head and len(data) == head.whole and not self._flow_control.write_paused:
                self._held = b""
                self._answer(head, data[head.size :])
                return
            if len(data) < head.whole if head else _may_begin(data):
                self._hold(data, whole_head=head is not None)
                return
            self._short, self._held, self._whole_head = False, b"", False
        super().data_received(data)

    def _feed_callback_parser(self, data: bytes) -> bool:
        try:
            fed: bool = super()._feed_callback_parser(data)
        except ValueError:  # a length of so many digits that Python makes no number of them
            self._send_error_response(HTTPStatus.BAD_REQUEST, "")
            self._close_transport()
            return False
        return fed

    def _send_error_response(self, status: int, message: str, extra_headers: Sequence[tuple[str, str]] = ()) -> None:
        """What gunicorn refuses by itself, without its message: that one repeats what was sent."""
        del message
        self.app.service.tally.refuse(status)
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

    def _answer(self, head: _Head, body: bytes) -> None:
        worker = self.worker
        worker.nr += 1
        leaving = self.app.leaving
        reply = self.app.answer(head.found, head.headers, body)
        fields = [f"{name}: {value}\r\n" for name, value in reply.headers.items()]
        fields.append(f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n")
        if leaving:
            fields.append("Connection: close\r\n")
        status = _get_cached_status_line((1, 1), reply.status)
        told = "".join(fields).encode("latin-1")
        self._safe_write(
            b"".join((status, told, _CACHED_SERVER_HEADER, _get_cached_date_header(), b"\r\n", reply.body))
        )
        self._since = worker.loop.time()
        self._heading = 0
        self._whole_head = False
        if leaving:
            self._keepalive_timeout()

    def _hold(self, data: bytes, *, whole_head: bool) -> None:
        """Keep the beginning of a request."""
        if not self._heading:
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


def _parsed(raw: bytes, app: Application) -> _Head | None:
    """A head, if there is but one way to read it (RFC 9112) and the event loop is to answer it."""
    match = _HEAD.fullmatch(raw)
    found = match and app.find("POST", match["path"].decode())
    if not match or not found:
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
        or int(length) > app.inline_bytes
    ):
        return None
    return _Head(len(raw), len(raw) + int(length), found, Headers(headers))
