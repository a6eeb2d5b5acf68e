"""The Flask application: every route, for any WSGI server, for tests, and for what does not run on the event loop."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import flask
from flask import Flask
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.routing import BaseConverter, Rule

from service.app.pipeline import Pipeline
from service.app.routes import ROUTES, Service, build_service
from service.http.errors import MethodNotAllowedError, NotFoundError, RequestError, TooLargeError, failing_handler
from service.http.media_types import require_no_transfer_coding
from service.http.messages import Handler, Request, Response
from service.http.request_target import AbsoluteTarget, require_host
from service.http.routing import Route
from service.monitoring.shared_counters import shared_counters
from service.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_METHODS = ", ".join(sorted({"HEAD", "OPTIONS", *(route.method for route in ROUTES)}))


def create_app(settings: Settings | None = None) -> Flask:
    """The whole application, with its model loaded; ``settings`` are those of the environment unless given.

    Raises:
        StartupError, BundleError: it cannot start; the message is one line with the reason.
    """
    if settings:
        return flask_app(build_service(settings))
    return flask_app(build_service(Settings.load(), counters=shared_counters()))


def flask_app(service: Service) -> Flask:
    """A Flask application for the routes of a service."""
    max_bytes = service.settings.max_body_bytes
    app = Flask("menagerie", static_folder=None)
    app.extensions["menagerie"] = service
    # One byte more than allowed: of a chunked body that is too long, Werkzeug gives the part below its own limit.
    app.config["MAX_CONTENT_LENGTH"] = max_bytes + 1
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_rule_class = _MatchingRule
    app.url_map.converters["name"] = _NameConverter
    app.url_map.merge_slashes = False  # it would redirect in HTML, past the pipeline and to whatever Host says
    handle = partial(_handle, service.pipeline, max_bytes)
    for route, handler in service.handlers.items():
        rule = re.sub(r"{(\w+)}", r"<name:\1>", route.path)
        app.add_url_rule(rule, endpoint_of(route), partial(handle, handler, route), methods=[route.method])
    app.register_error_handler(HTTPException, lambda error: handle(_unmatched_handler(error), None))
    app.wsgi_app = partial(_with_path, app.wsgi_app)  # type: ignore[method-assign]  # (as Flask documents it)
    return app


def _with_path(
    wsgi_app: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    """Call an application with ``/`` for the empty path of ``http://host``: Werkzeug would redirect, in HTML."""
    if not environ.get("SCRIPT_NAME"):
        environ["PATH_INFO"] = environ["PATH_INFO"] or "/"
    return wsgi_app(environ, start_response)


def endpoint_of(route: Route) -> str:
    """The name of a route in the application's ``url_map``."""
    return f"{route.method} {route.path}"


class _MatchingRule(Rule):
    """A rule that only matches; for building URLs, Werkzeug would compile two functions, half a millisecond a rule."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., None]:  # type: ignore[override]  # noqa: FBT001, FBT002 (Werkzeug's)
        del append_unknown
        return lambda *_, **__: None


class _NameConverter(BaseConverter):
    """A part of a path: no slash, and no colon, which separates a verb (``.../models/animals:predict``)."""

    regex = "[^/:]+"


def _handle(
    pipeline: Pipeline, max_bytes: int, handler: Handler, route: Route | None, **parameters: str
) -> flask.Response:
    given = flask.request
    request = Request(given.method, given.path, given.headers, partial(_read_body, max_bytes), parameters, route)
    try:
        _require_valid_target(given.environ)
    except RequestError as error:
        handler = failing_handler(error)
    response = pipeline.handle(request, handler)
    return flask.Response(response.body, response.status, response.all_headers, content_type=response.content_type)


def _require_valid_target(environ: "WSGIEnvironment") -> None:
    """Check the host, and the request target as far as it is known: PEP 3333 has only its path.

    Raises:
        RequestError: one of them is invalid.
    """
    require_host(environ.get("HTTP_HOST"), environ["SERVER_PROTOCOL"].removeprefix("HTTP/"))
    target = environ.get("RAW_URI", "")  # gunicorn and Werkzeug have this
    if absolute := AbsoluteTarget.split(target.partition("?")[0].encode("latin-1")):
        absolute.require_valid()


def _read_body(max_bytes: int) -> bytes:
    require_no_transfer_coding(flask.request.headers)
    try:
        body = flask.request.get_data(cache=False)
    except RequestEntityTooLarge:
        body = None
    if body is None or len(body) > max_bytes:
        raise TooLargeError.beyond(max_bytes)
    return body


def routing_error_handler(error: HTTPException, method: str, path: str) -> Handler:
    """A handler for what no route matches: it raises the service's own error for that of Flask or its URL map."""
    if (method, path) == ("OPTIONS", "*"):  # about the server, not about a path (RFC 9110, section 9.3.7)
        return lambda _: Response(204, b"", headers={"Allow": _METHODS})
    error.with_traceback(None)  # else what is cached would keep the frames alive

    def handler(_: Request) -> Response:
        raise _translate(error, method)

    return handler


def _unmatched_handler(error: HTTPException) -> Handler:
    return routing_error_handler(error, flask.request.method, flask.request.environ["PATH_INFO"])


def _translate(error: HTTPException, method: str) -> RequestError:
    """The service's own error for one that Flask raised."""
    if isinstance(error, WerkzeugMethodNotAllowed):
        allow = ", ".join(sorted(error.valid_methods or ()))
        return MethodNotAllowedError(f"this path supports {allow}", headers={"Allow": allow})
    if method == "CONNECT":  # its target is no path but another server
        return MethodNotAllowedError("this server is no proxy", headers={"Allow": _METHODS})
    if error.code == NotFoundError.status:
        return NotFoundError("unknown path: GET / lists the paths")
    return RequestError(f"malformed request: {error.name}")
