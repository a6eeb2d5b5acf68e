"""The ASGI application that gunicorn runs: fast routes on the event loop, all others in a thread, GET through Flask.

It is a second, thinner adapter for the same handlers and the same pipeline as `flask_app`; a test sends the same
requests through both and compares the responses byte for byte.
"""

import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import lru_cache, partial
from http import HTTPStatus
from io import BytesIO
from typing import NamedTuple

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Response as WerkzeugResponse

from models.bundle import BundleError
from service.app.flask_app import endpoint_of, flask_app, routing_error_handler
from service.app.request_body import BodyLimits, Message, Receive, RequestBody
from service.app.routes import Service, build_service
from service.app.thread_pool import BoundedThreadPool
from service.http.errors import OverloadedError, RequestError, StartupError, TooLargeError, failing_handler
from service.http.media_types import require_no_transfer_coding
from service.http.messages import NO_PARAMETERS, Match, Request, Response, add_field
from service.http.request_target import AbsoluteTarget, require_host
from service.inference.sandbox import check_in_fork
from service.monitoring import log_format
from service.monitoring.shared_counters import shared_counters
from service.settings import Settings

Send = Callable[[Message], Awaitable[None]]

_BODY_HEADERS = {"content-length", "content-type", "transfer-encoding"}  # WSGI is given those of the body as read
_CACHED_PATHS = 512


def load_app() -> "AsgiApp":
    """The application for gunicorn; if it cannot start, log one line and exit with 1."""
    try:
        with log_format.silenced_stderr():
            return AsgiApp(build_service(Settings.load(), check_in_fork, shared_counters()))
    except (StartupError, BundleError) as error:
        logging.getLogger("menagerie").critical("menagerie: %s", error)
        sys.exit(1)


class AsgiApp:
    """ASGI 3.0 for a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.settings = settings = service.settings
        self.is_leaving = False  # each response is the last one on its connection
        self.max_inline_bytes = min(settings.inline_bytes, settings.max_body_bytes)
        self.single_row = service.single_row
        self._pipeline = service.pipeline
        self._flask = flask_app(service)
        self._url_adapter = self._flask.url_map.bind("")
        self._routes = {endpoint_of(route): (route, handler) for route, handler in service.handlers.items()}
        self.match = lru_cache(_CACHED_PATHS)(self._match)
        self._thread_pool = BoundedThreadPool(settings.threads, settings.max_concurrency)
        self._limits = BodyLimits(settings.max_body_bytes, settings.body_seconds, settings.max_pending_bytes)
        self._in_flight = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; a WebSocket is refused."""
        if scope["type"] != "http":
            self.service.observe_refusal(HTTPStatus.FORBIDDEN, "no route is a WebSocket")  # gunicorn's response
            await send({"type": "websocket.close"})
            return
        headers = _decode_headers(scope["headers"])
        with (
            self._counted_in_flight(),
            closing(RequestBody(self._limits, headers, receive)) as body,
            suppress(ConnectionError),  # the client has left
        ):
            response = await self._respond(scope, headers, body)
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
            await send({"type": "http.response.body", "body": response.body})

    def handle(self, match: Match, headers: Mapping[str, str], body: bytes) -> Response:
        """Handle a request to a route on the event loop, whose body is complete and short."""
        request = Request(match.method, match.path, headers, lambda: body, match.parameters, match.route)
        return self._pipeline.handle(request, match.handler)

    def overload_response(self, path: str, match: Match | None, headers: Mapping[str, str]) -> Response | None:
        """The response to a POST that would need a thread, if there is no room for it; None if there is."""
        try:
            self._thread_pool.require_room()
        except OverloadedError as error:
            return self.fail("POST", path, match, headers, error)
        return None

    def fail(
        self, method: str, path: str, match: Match | None, headers: Mapping[str, str], error: RequestError
    ) -> Response:
        """The response to a request that failed before its handler was called."""
        return self._pipeline.handle(_bodiless(method, path, match, headers), failing_handler(error))

    @property
    def is_ready(self) -> bool:
        """Whether this worker has the models that it needs."""
        return self.service.readiness.is_ready

    def report_worker(self, connections: int, loop_lag: float) -> None:
        """Report the gauges of this worker; ``loop_lag`` is how many seconds late its event loop is."""
        catalog = self.service.catalog
        self.service.model_metrics.report(catalog.registries)
        self.service.worker_metrics.report(
            looked_ms=int(catalog.last_poll * 1e3),
            draining=self.service.readiness.is_draining,
            leaving=self.is_leaving,
            in_flight=self._in_flight,
            queued=self._thread_pool.queued,
            connections=connections,
            pending_bytes=self._limits.pending_bytes,
            late_us=int(loop_lag * 1e6),
        )

    def leave(self, *, is_shutdown: bool) -> None:
        """Make each response the last one on its connection; if the whole service shuts down, be no longer ready.

        Clients come back with new connections: to another worker, or where the service goes on.
        """
        self.is_leaving = True
        self.service.readiness.is_draining = self.service.readiness.is_draining or is_shutdown

    @contextmanager
    def _counted_in_flight(self) -> Iterator[None]:
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _respond(self, scope: Message, headers: dict[str, str], body: RequestBody) -> "EncodedResponse":
        method, absolute = scope["method"], AbsoluteTarget.split(scope["raw_path"])
        if absolute:
            scope["path"] = absolute.path  # gunicorn gives the whole target
        path = scope["path"]
        match = self.match(method, path)
        is_inline = match is not None and match.on_event_loop
        try:
            require_host(headers.get("host"), scope["http_version"])
            if absolute:
                absolute.require_valid()
                headers["host"] = absolute.authority  # it takes precedence (RFC 9112, section 3.2.2)
            if body.has_more and self._pipeline.requires_key:  # don't read the body of a client without a key
                self._pipeline.authenticate(_bodiless(method, path, match, headers))
            if not is_inline or body.length > self.max_inline_bytes:
                self._thread_pool.require_room()
            content = await body.read()
        except RequestError as error:  # about the client's pace or key, or the server's state, whatever the route
            return _encode(self.fail(method, path, match, headers, error))
        try:
            if match is None or not (is_inline or method == "POST"):
                return await self._thread_pool.run(self._through_flask, scope, headers, content)
            read = partial(_checked_body, headers, content, self._limits.max_bytes)
            request = Request(method, path, headers, read, match.parameters, match.route)
            if not is_inline or (content and len(content) > self.max_inline_bytes):  # don't delay many small requests
                return _encode(await self._thread_pool.run(self._pipeline.handle, request, match.handler))
        except OverloadedError as error:
            return _encode(self.fail(method, path, match, headers, error))
        return _encode(self._pipeline.handle(request, match.handler))

    def _match(self, method: str, path: str) -> Match | None:
        """The route that Flask would take, or its 404 or 405, which need no thread either; HEAD is left to Flask."""
        try:
            endpoint, parameters = self._url_adapter.match(path, method)
        except HTTPException as error:
            if method == "HEAD" or not isinstance(error, NotFound | MethodNotAllowed):
                return None
            handler = routing_error_handler(error, method, path)
            return Match(method, path, None, handler, NO_PARAMETERS, on_event_loop=True)
        route, handler = self._routes[endpoint]
        on_event_loop = route.on_event_loop and route.method == method
        return Match(method, path, route, handler, parameters or NO_PARAMETERS, on_event_loop)

    def _through_flask(self, scope: Message, headers: Mapping[str, str], body: bytes | None) -> "EncodedResponse":
        """Flask's response to a request whose body has been read; None, a body that was too long, keeps its length."""
        (server, port), (client, _) = scope["server"] or ("", 0), scope["client"] or ("", 0)
        environ = {
            **_wsgi_headers(headers),
            "REQUEST_METHOD": scope["method"],
            "SCRIPT_NAME": "",
            "PATH_INFO": scope["path"].encode().decode("latin-1"),
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(self._limits.max_bytes + 2 if body is None else len(body)),
            "SERVER_NAME": server,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
            "REMOTE_ADDR": client,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scope["scheme"],
            "wsgi.input": BytesIO(body or b""),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        response = WerkzeugResponse.from_app(self._flask, environ, buffered=True)
        return EncodedResponse(response.status_code, _encode_headers(response.headers.items()), response.get_data())


class EncodedResponse(NamedTuple):
    """A response with its headers as ASGI wants them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def _decode_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """A request's headers as ASGI gives them, with names in lower case; values of one name are joined as in WSGI."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        add_field(headers, name.decode("latin-1"), value.decode("latin-1"))
    return headers


def _wsgi_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as WSGI has them (PEP 3333)."""
    return {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in headers.items()
        if name not in _BODY_HEADERS or (name == "transfer-encoding" and value.lower() != "chunked")
    }


def _encode(response: Response) -> EncodedResponse:
    headers = [(b"content-type", response.content_type.encode()), (b"content-length", b"%d" % len(response.body))]
    return EncodedResponse(response.status, headers + _encode_headers(response.all_headers.items()), response.body)


def _encode_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _bodiless(method: str, path: str, match: Match | None, headers: Mapping[str, str]) -> Request:
    """A request whose body is not going to be read."""
    return Request(method, path, headers, bytes, NO_PARAMETERS, match.route if match else None)


def _checked_body(headers: Mapping[str, str], body: bytes | None, max_bytes: int) -> bytes:
    require_no_transfer_coding(headers)
    if body is None:
        raise TooLargeError.beyond(max_bytes)
    return body
