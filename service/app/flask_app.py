"""The Flask application: every route, for any WSGI server, for tests, and for what does not run on the event loop."""

import re
from collections.abc import Callable
from functools import partial

import flask
from flask import Flask
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.routing import BaseConverter, Rule

from service.app.pipeline import Pipeline
from service.app.routes import Service, build_service
from service.http.errors import MethodNotAllowedError, NotFoundError, RequestError, TooLargeError
from service.http.media_types import require_no_transfer_coding
from service.http.messages import Handler, Request, Response
from service.http.routing import Route
from service.monitoring.shared_counters import shared_counters
from service.settings import Settings


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
    app.register_error_handler(HTTPException, lambda error: handle(routing_error_handler(error), None))
    return app


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
    response = pipeline.handle(request, handler)
    return flask.Response(response.body, response.status, response.all_headers, content_type=response.content_type)


def _read_body(max_bytes: int) -> bytes:
    require_no_transfer_coding(flask.request.headers)
    try:
        body = flask.request.get_data(cache=False)
    except RequestEntityTooLarge:
        body = None
    if body is None or len(body) > max_bytes:
        raise TooLargeError.beyond(max_bytes)
    return body


def routing_error_handler(error: HTTPException) -> Handler:
    """A handler that raises the service's own error for one that Flask or its URL map raised."""
    error.with_traceback(None)  # else what is cached would keep the frames alive

    def handler(_: Request) -> Response:
        raise _translate(error)

    return handler


def _translate(error: HTTPException) -> RequestError:
    """The service's own error for one that Flask raised."""
    if isinstance(error, WerkzeugMethodNotAllowed):
        allow = ", ".join(sorted(error.valid_methods or ()))
        return MethodNotAllowedError(f"this path supports {allow}", headers={"Allow": allow})
    if error.code == NotFoundError.status:
        return NotFoundError("unknown path: GET / lists the paths")
    return RequestError(f"malformed request: {error.name}")
