"""Every private or undocumented name of gunicorn that the service uses, offered under public names.

The names were read in one release, which pyproject.toml pins. To take over another one, read gunicorn's changes to
`asgi/protocol.py`, `workers/gasgi.py` and `arbiter.py`; `check_release` finds names that are gone, the tests the rest.
"""

import asyncio
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from logging import Formatter, Handler
from logging import Logger as LogChannel
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

import gunicorn
from gunicorn import sock
from gunicorn.arbiter import Arbiter
from gunicorn.asgi import parser, protocol
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.glogging import Logger
from gunicorn.workers import gasgi
from gunicorn.workers.base import Worker
from gunicorn.workers.gasgi import ASGIWorker

from service.http.errors import StartupError
from service.settings import PREFIX, Settings

if TYPE_CHECKING:
    from service.app.routes import Service

CHECKED_RELEASE = "27.0.1"

# gunicorn's cached parts of a response's head, so that responses of the fast path look the same as its own.
_MISSING: Any = None  # `check_release` reports it
SERVER_HEADER: bytes = getattr(protocol, "_CACHED_SERVER_HEADER", _MISSING)
date_header: Callable[[], bytes] = getattr(protocol, "_get_cached_date_header", _MISSING)
status_line: Callable[[tuple[int, int], int], bytes] = getattr(protocol, "_get_cached_status_line", _MISSING)


# A setting that does without the names if it is off, whose names they are, and the names.
_USED: list[tuple[str, object, str]] = [
    ("", sock, "_sock_type ssl_context"),
    ("", Arbiter, "LISTENERS SIGNALS manage_workers master_pid reexec_pid systemd"),
    ("", gasgi, "ASGIProtocol"),
    ("", Worker, "max_requests nr sockets"),
    ("", ASGIWorker, "handle_quit_signal servers"),
    ("", ASGIProtocol, "_awaiting_request _body_receiver _callback_parser _closed _current_request _request_ready"),
    ("", ASGIProtocol, "_arm_keepalive_timer _close_transport _keepalive_timeout _will_close"),
    ("", ASGIProtocol, "_feed_callback_parser _http1_buffered _is_buffer_full _resume_reading"),
    ("", ASGIProtocol, "_send_error_response _send_response_start _serve_http_request"),
    ("fast_path", ASGIProtocol, "_cancel_keepalive_timer _flow_control _safe_write"),
    ("fast_path", protocol, "_CACHED_SERVER_HEADER _get_cached_date_header _get_cached_status_line"),
    ("fast_path", protocol, "_post_request_hook _pre_request_hook"),
]


def check_release(settings: Settings) -> str | None:
    """A warning if another release of gunicorn is installed than the one that was checked.

    Raises:
        StartupError: it lacks names that the service needs with these settings.
    """
    release = gunicorn.__version__
    for setting, owner, names in _USED:
        missing = [name for name in names.split() if not _has(owner, name)]
        if missing and (not setting or getattr(settings, setting)):
            remedy = f"set {PREFIX}{setting.upper()}=false" if setting else f"install gunicorn {CHECKED_RELEASE}"
            raise StartupError(f"gunicorn {release} lacks {', '.join(missing)}: {remedy}")
    if release == CHECKED_RELEASE:
        return None
    switches = " and ".join(f"{PREFIX}{name}=false" for name in ("FAST_PATH", "ACCEPTOR", "TIMEOUTS"))
    return f"gunicorn {release} is not the tested release {CHECKED_RELEASE}: if it misbehaves, set {switches}"


def _has(owner: object, name: str) -> bool:
    """Whether a module or class has a name, or its instances have it as an attribute set at the start."""
    code = getattr(getattr(owner, "__init__", None), "__code__", None)
    return hasattr(owner, name) or (code is not None and name in code.co_names)


# The errors of gunicorn's parser whose messages repeat nothing that the client sent.
_WITH_FIXED_MESSAGES = {
    getattr(parser, name, None)
    for name in (
        "ChunkMissingTerminator",
        "InvalidChunkExtension",
        "InvalidChunkSize",
        "InvalidHeader",
        "InvalidRequestLine",
        "LimitRequestHeaders",
        "LimitRequestLine",
        "ParseError",
    )
}


class GunicornConnection(ASGIProtocol):  # type: ignore[misc]
    """gunicorn's protocol for one connection, with public names for its state, its actions and its hooks.

    Five faults of gunicorn's are mended here: it reads on with a full buffer, it serves all pipelined requests of one
    client before it turns to the next, it fails on a Content-Length of thousands of digits, it sends an error after the
    response if the rest of a body is malformed, and it keeps HTTP/1.0 connections open without saying so.
    """

    _answered_request: object = None  # the last one whose response has begun

    @property
    def is_http1(self) -> bool:
        """Whether the connection speaks HTTP/1; else it speaks HTTP/2 or uWSGI."""
        return self._callback_parser is not None

    @property
    def is_awaiting_request(self) -> bool:
        """Whether gunicorn has answered every request that it was given."""
        return bool(self._awaiting_request)

    @property
    def has_request(self) -> bool:
        """Whether gunicorn has parsed the head of a request that it has not answered."""
        return self._current_request is not None

    @property
    def has_unread_body(self) -> bool:
        """Whether the body of the last request that gunicorn has parsed has not wholly arrived."""
        return self._body_receiver is not None and not self._body_receiver._complete  # noqa: SLF001

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed, or will be once all that is written has been sent."""
        return bool(self._closed)

    @property
    def is_write_paused(self) -> bool:
        """Whether so much is written and not sent that no more should be."""
        return bool(self._flow_control.write_paused)

    def write_response(self, response: bytes) -> None:
        """Send a whole response, and count its request towards ``max_requests``."""
        self.worker.nr += 1
        self._safe_write(response)

    def close(self) -> None:
        """Close once all that is written has been sent, and end gunicorn's wait for a request."""
        self._keepalive_timeout()

    def cancel_idle_timer(self) -> None:
        """Have gunicorn not close the connection for being idle."""
        self._cancel_keepalive_timer()

    # From here on gunicorn calls the private names; they call the public ones, which subclasses override.

    def start_idle_timer(self) -> None:
        """Begin to wait for a further request."""
        super()._arm_keepalive_timer()

    def _arm_keepalive_timer(self) -> None:
        self.start_idle_timer()

    def begin_close(self) -> None:
        """Close the transport once all that is written has been sent."""
        super()._close_transport()

    def _close_transport(self) -> None:
        self.begin_close()

    def end_writing(self) -> None:
        """Half-close once all that is written has been sent (TLS cannot), and read on; gunicorn is given no more."""
        self._closed = True
        if self.transport.can_write_eof():
            with suppress(OSError):  # the client has left
                self.transport.write_eof()
        if self._body_receiver is not None:
            self._body_receiver.signal_disconnect()
        self._drop_body()
        self._callback_parser.reset()  # it may hold up to 256 kB too
        super()._resume_reading()
        self._request_ready.set()

    def _drop_body(self) -> None:
        """Drop what has arrived of a body that is answered and not read, as it counts towards gunicorn's buffer."""
        if self._body_receiver is not None:
            self._body_receiver._chunks.clear()  # noqa: SLF001
            self._body_receiver._buffered = 0  # noqa: SLF001

    def parse(self, data: bytes) -> bool:
        """Give bytes to gunicorn's parser; False once the connection is closed for what they are."""
        try:
            return bool(super()._feed_callback_parser(data))
        except ValueError:  # a length of so many digits that Python makes no number of them
            self.send_error(HTTPStatus.BAD_REQUEST, "Content-Length has too many digits")
            self._close_transport()
            return False

    def _feed_callback_parser(self, data: bytes) -> bool:
        return self.parse(data)

    def send_error(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send gunicorn's own error response, without its message; ``reason`` is for the log."""
        del reason
        super()._send_error_response(status, HTTPStatus(status).phrase, headers)

    def _send_error_response(self, status: int, message: str, extra_headers: Sequence[tuple[str, str]] = ()) -> None:
        if self._closed:  # the client has left; the application has not responded for that reason
            return
        if self._answered_request and self._answered_request is self._current_request:
            return  # the rest of its body is malformed; a second response would answer a request that was never sent
        self.send_error(status, _refusal_reason(message), extra_headers)

    def _send_response_start(self, status: int, headers: Any, request: Any, close: bool = False) -> None:  # noqa: FBT001, FBT002 (gunicorn's)
        """Announce to an HTTP/1.0 client that its connection stays open, as it asked for (RFC 9112, appendix C.2.2)."""
        self._answered_request = request
        if not close and request.version < (1, 1):
            headers = [*headers, (b"connection", b"keep-alive")]
        super()._send_response_start(status, headers, request, close)

    def _will_close(self, request: object, response_requires_close: bool) -> bool:  # noqa: FBT001 (gunicorn's)
        """Whether the next response is the last on this connection: gunicorn announces it, and closes."""
        return self.has_unread_body or self.app.is_leaving or super()._will_close(request, response_requires_close)

    def _resume_reading(self) -> None:
        if not self._is_buffer_full():
            super()._resume_reading()

    async def _serve_http_request(self, request: object, sockname: object, peername: object) -> bool:
        keepalive: bool = await super()._serve_http_request(request, sockname, peername)
        self._drop_body()
        if self._http1_buffered():
            await asyncio.sleep(0)
        return keepalive


def _refusal_reason(message: str) -> str:
    """Why gunicorn sends an error response: its message, unless the client's own text may be part of that."""
    error = sys.exception()
    if error is None or message != str(error) or type(error) in _WITH_FIXED_MESSAGES:
        return message
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=HTTP)", " ", type(error).__name__)  # such as "Invalid Header Name"


def open_listener(arbiter: Any, address: tuple[str, int] | str) -> Any:
    """A listening socket of gunicorn's, at a host and port or at the path of a unix socket.

    Raises:
        OSError, OverflowError, ValueError: it cannot be opened, or the path is that of another file.
    """
    return sock._sock_type(address)(address, arbiter.cfg, arbiter.log)  # noqa: SLF001


def family(address: tuple[str, int]) -> socket.AddressFamily:
    """The family of the socket that gunicorn opens at an address."""
    address_family: socket.AddressFamily = sock._sock_type(address).FAMILY  # noqa: SLF001
    return address_family


def use_listeners(arbiter: Any, listeners: list[Any]) -> None:
    """Have the master use these sockets, instead of opening its own."""
    arbiter.LISTENERS = listeners


def take_listeners(arbiter: Any) -> list[Any]:
    """The master's sockets, which from now on it neither closes nor removes the files of."""
    listeners: list[Any] = arbiter.LISTENERS
    arbiter.LISTENERS = []
    return listeners


def master_sockets(arbiter: Any) -> list[socket.socket]:
    """The sockets that the master hands to its workers; none with ``reuse_port``."""
    return [listener.sock for listener in arbiter.LISTENERS]


def is_only_master(arbiter: Any) -> bool:
    """Whether the sockets are this master's: systemd has not opened them, and no other master has them too."""
    return not (has_newer_master(arbiter) or has_older_master(arbiter) or arbiter.systemd)


def has_newer_master(arbiter: Any) -> bool:
    """Whether a SIGUSR2 has started another master, which has not ended."""
    return bool(arbiter.reexec_pid)


def has_older_master(arbiter: Any) -> bool:
    """Whether the master that started this one at a SIGUSR2 has not ended; gunicorn learns of that up to 1 s later."""
    return bool(arbiter.master_pid and arbiter.master_pid == os.getppid())


def set_in_new_master(arbiter: Any, variable: str, value: str) -> None:
    """Set an environment variable of the master that a SIGUSR2 is about to start."""
    arbiter.cfg.env_orig[variable] = value


def handled_signals(arbiter: Any) -> list[int]:
    """The signals that the master handles; a child that it forks inherits the handlers."""
    return list(arbiter.SIGNALS)


def install_protocol(connection: type[GunicornConnection]) -> None:
    """Have gunicorn's asgi workers make connections of this class."""
    gasgi.ASGIProtocol = connection


def has_request_hooks(cfg: Any, log: Any) -> bool:
    """Whether gunicorn calls hooks of the operator's, or its access log, for each request."""
    hooks = protocol._pre_request_hook(cfg, log) or protocol._post_request_hook(cfg)  # noqa: SLF001
    return bool(hooks or log.access_log_enabled)


def listening_sockets(worker: Any) -> list[socket.socket]:
    """The sockets that a worker shares with the master and the other workers."""
    return [listener.sock for listener in worker.sockets]


def is_accepting(worker: Any) -> bool:
    """Whether asyncio accepts on all listeners of an asgi worker."""
    return len(worker.servers) >= len(worker.sockets)


def close_listeners(worker: Any) -> None:
    """Close an asgi worker's listeners; the last process to do so cuts off connections in the listen backlog."""
    for server in worker.servers:
        server.close()


def tls_context(cfg: Any) -> SSLContext | None:
    """What gunicorn's settings say of TLS, such as the certificate; None without TLS.

    Raises:
        OSError, TypeError, ValueError: they cannot be used. A worker of gunicorn's would serve without TLS then.
    """
    return sock.ssl_context(cfg) if cfg.is_ssl else None


def take_over_max_requests(worker: Any, disabled: int) -> int:
    """The setting ``max_requests`` with its jitter; gunicorn by itself would close connections unannounced."""
    max_requests: int = worker.max_requests
    worker.max_requests = disabled
    return max_requests


def answered_requests(worker: Any) -> int:
    """How many requests a worker has answered."""
    return int(worker.nr)


def exit_worker(worker: Any) -> None:
    """End a worker whose connections are closed, without gunicorn's wait for them."""
    worker.handle_quit_signal()


def loaded_service(app: Any) -> "Service | None":
    """The service of gunicorn's application, whichever adapter it is; None before that is loaded."""
    adapter = app.callable
    if adapter is None:
        return None
    service: Service = adapter.extensions["menagerie"] if hasattr(adapter, "extensions") else adapter.service
    return service


# Each wrapper is called with gunicorn's own function, and with the arguments for that.


def wrap_stop(arbiter: Any, wrapper: Callable[..., None]) -> None:
    """Wrap what the master does on SIGTERM, SIGINT or SIGQUIT: it tells its workers to end, and waits for them."""
    arbiter.stop = partial(wrapper, arbiter.stop)


def wrap_manage_workers(arbiter: Any, wrapper: Callable[[Callable[[], None]], None]) -> None:
    """Wrap what the master does at the start, once a second and after each signal: it starts missing workers."""
    arbiter.manage_workers = partial(wrapper, arbiter.manage_workers)


def wrap_reload(arbiter: Any, wrapper: Callable[[Callable[[], None]], None]) -> None:
    """Wrap what the master does on SIGHUP: it reads the configuration again, and replaces all workers."""
    arbiter.reload = partial(wrapper, arbiter.reload)


def wrap_reread(arbiter: Any, wrapper: Callable[[Callable[[], None]], None]) -> None:
    """Wrap the first part of that alone."""
    arbiter.app.reload = partial(wrapper, arbiter.app.reload)


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger; a subclass has ``error_formatter(is_stderr=)`` and ``stderr_handler()`` for its error log."""

    def _set_handler(self, log: LogChannel, output: str | None, fmt: Formatter, stream: Any = None) -> None:
        fmt = self.error_formatter(is_stderr=output == "-") if log is self.error_log else fmt
        if log is not self.error_log or output != "-":
            super()._set_handler(log, output, fmt, stream)
            return
        handler: Handler = self.stderr_handler()
        handler.setFormatter(fmt)
        handler._gunicorn = True  # type: ignore[attr-defined]  # noqa: SLF001 (how it knows its own handlers)
        log.addHandler(handler)
