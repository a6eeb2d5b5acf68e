"""What gunicorn runs: the hot routes answered on the event loop, every other request handed to Flask.

A second, thinner adapter over the same handlers and the same gate as `app.py`; a test sends the same requests through
both and compares the answers byte for byte.
"""

import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import lru_cache, partial
from io import BytesIO
from typing import NamedTuple

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from models.bundle import BundleError
from service.app.flask_app import carry, endpoint_of, raising
from service.app.request_body import Body, Intake, Message, Receive
from service.app.routes import Service
from service.app.thread_pool import Pool
from service.http import media_types
from service.http.errors import OverloadedError, RequestError, StartupError, TooLargeError
from service.http.messages import Handler, Reply, Request
from service.inference import sandbox
from service.monitoring import log_format
from service.monitoring.shared_counters import shared
from service.settings import Settings

Send = Callable[[Message], Awaitable[None]]

_OF_THE_BODY = {b"content-length", b"content-type", b"transfer-encoding"}  # it is read by then; WSGI is told anew
_MOST_PATHS = 512  # whose routes are remembered


def serve() -> "Application":
    """The application for gunicorn, or one line in the log and exit code 1."""
    try:
        with log_format.alone():
            return Application(Service.open(Settings.load(), sandbox.stand_first, shared()))
    except (StartupError, BundleError) as error:
        logging.getLogger("menagerie").critical("menagerie: %s", error)
        sys.exit(1)


class Application:
    """ASGI 3.0 over a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.settings = settings = service.settings
        self._gate = service.pipeline
        self.leaving = False
        self._routes = {endpoint_of(route): route for route in service.routes}
        self._flask = carry(service)
        self._urls = self._flask.url_map.bind("")
        self.find = lru_cache(_MOST_PATHS)(self._find)
        self._limit = settings.max_body_bytes
        self.inline_bytes = min(settings.inline_bytes, self._limit)
        self._pool = Pool(settings.threads, settings.max_concurrency)
        self._intake = Intake(self._limit, settings.body_seconds, settings.max_pending_bytes)
        self._in_flight = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; a WebSocket is refused."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        headers = Headers(scope["headers"])
        with (
            self._flying(),
            closing(Body(self._intake, headers, receive)) as body,
            suppress(ConnectionError),  # nobody to answer
        ):
            answer = await self._answer(scope, headers, body)
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})
            if body.more:
                await body.linger()

    def answer(self, found: "Found", headers: "Headers", body: bytes) -> Reply:
        """Answer a request to a hot route, whose body is all here and short."""
        request = Request(found.method, found.path, headers, lambda: body, found.parameters, found.route)
        return self._gate.answer(request, found.handler)

    def refusal(self, path: str, found: "Found | None", headers: "Headers") -> Reply | None:
        """The answer to a POST that would have to be worked on beside the loop, if there is no room for it."""
        try:
            self._pool.require_room()
        except OverloadedError as error:
            return self._gate.answer(_asked("POST", path, headers, found), raising(error))
        return None

    def tell(self, connections: int, late: float) -> None:
        """Say how this worker is: with so many connections, and its loop so many seconds ``late``."""
        shelf = self.service.registry
        self.service.vitals.tell(
            serves=shelf.current.model.number,
            looked_ms=int(shelf.looked * 1e3),
            refused=len(shelf.refused),
            draining=self._gate.draining,
            leaving=self.leaving,
            in_flight=self._in_flight,
            queued=self._pool.waiting,
            connections=connections,
            pending_bytes=self._intake.pending,
            late_us=int(late * 1e6),
        )

    @contextmanager
    def _flying(self) -> Iterator[None]:
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def leave(self, *, ending: bool) -> None:
        """Let every answer from now on be the last on its connection; at the end of the service, say not ready too.

        The callers come back by new connections: to another worker, or where the service is not about to end.
        """
        self.leaving = True
        self._gate.draining = self._gate.draining or ending

    async def _answer(self, scope: Message, headers: "Headers", body: Body) -> "Answer":
        found = self.find(scope["method"], scope["path"])
        hot = found if found and found.hot else None
        try:
            _require_host(scope, headers)
            if body.more and self._gate.guarded:  # who may not ask is not listened to
                request = _asked(scope["method"], scope["path"], headers, found)
                self._gate.require_key(request, found.handler if found else None)
            if not hot or body.length > self.inline_bytes:
                self._pool.require_room()
            return await self._answer_to(scope, hot, headers, await body.read())
        except RequestError as error:  # of the caller's pace or key, or of the server's state, whatever was asked
            request = _asked(scope["method"], scope["path"], headers, found)
            return _answer_of(self._gate.answer(request, raising(error)))

    async def _answer_to(self, scope: Message, hot: "Found | None", headers: "Headers", body: bytes | None) -> "Answer":
        if not hot:
            return await self._pool.run(_through_flask, self._flask, scope, headers, body, self._limit)
        read = partial(_bounded, headers, body, self._limit)
        request = Request(hot.method, hot.path, headers, read, hot.parameters, hot.route)
        if body and len(body) > self.inline_bytes:  # one large batch must not hold up the many small requests
            return _answer_of(await self._pool.run(self._gate.answer, request, hot.handler))
        return _answer_of(self._gate.answer(request, hot.handler))

    def _find(self, method: str, path: str) -> "Found | None":
        """The route that Flask would take, if there is one; what HEAD asks for is Flask's."""
        try:
            endpoint, parameters = self._urls.match(path, method)
        except HTTPException:
            return None
        route = self._routes[endpoint]
        return Found(method, path, route.handler, parameters, route.path, route.hot and route.method == method)


class Found(NamedTuple):
    """A route as a path names it; ``hot`` if the event loop is to answer."""

    method: str
    path: str
    handler: Handler
    parameters: Mapping[str, str]
    route: str
    hot: bool


class Headers:
    """A request's headers as ASGI gives them; values of one name are joined as in WSGI."""

    __slots__ = ("_values",)

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, bytes] = {}
        for name, value in pairs:
            self._values[name] = self._values[name] + b"," + value if name in self._values else value

    def get(self, name: str, default: str, /) -> str:
        """The value under a name in lower case."""
        value = self._values.get(name.encode())
        return default if value is None else value.decode("latin-1")

    def has(self, name: bytes) -> bool:
        return name in self._values

    def environ(self) -> dict[str, str]:
        """The same as WSGI has them (PEP 3333)."""
        return {
            f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
            for name, value in self._values.items()
            if name not in _OF_THE_BODY or (name == b"transfer-encoding" and value.lower() != b"chunked")
        }


class Answer(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def _answer_of(reply: Reply) -> Answer:
    headers = [(b"content-type", reply.content_type.encode()), (b"content-length", b"%d" % len(reply.body))]
    return Answer(reply.status, headers + _encoded(reply.headers.items()), reply.body)


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _asked(method: str, path: str, headers: Headers, found: Found | None) -> Request:
    """A request whose body nobody reads."""
    return Request(method, path, headers, bytes, {}, found.route if found else "")


def _require_host(scope: Message, headers: Headers) -> None:
    """RFC 9112, section 3.2, wants such a request refused; gunicorn leaves it to the application."""
    if scope["http_version"] == "1.1" and not headers.has(b"host"):
        raise RequestError("the request does not say which Host it is for")


def _bounded(headers: Headers, body: bytes | None, limit: int) -> bytes:
    media_types.require_sent_plain(headers)
    if body is None:
        raise TooLargeError.beyond(limit)
    return body


def _through_flask(app: Flask, scope: Message, headers: Headers, body: bytes | None, limit: int) -> Answer:
    """What Flask answers to a request whose body has been read; one that was too long only keeps its length."""
    (server, port), (client, _) = scope["server"] or ("", 0), scope["client"] or ("", 0)
    environ = {
        **headers.environ(),
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(limit + 2 if body is None else len(body)),
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
    response = Response.from_app(app, environ, buffered=True)
    return Answer(response.status_code, _encoded(response.headers.items()), response.get_data())
