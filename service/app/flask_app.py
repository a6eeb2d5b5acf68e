"""The Flask application: every route, each answered by a handler that knows nothing of Flask."""

import re
from collections.abc import Callable
from functools import partial

import flask
from flask import Flask, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.routing import BaseConverter

from service.app.pipeline import Gate
from service.app.routes import Service
from service.http import media_types
from service.http.errors import MethodNotAllowedError, NotFoundError, RequestError, TooLargeError
from service.http.messages import Handler, Reply, Request, Route
from service.monitoring.shared_counters import shared
from service.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The whole application, with its model loaded.

    Raises:
        StartupError, BundleError: it cannot start; the message says why in one line.
    """
    if settings:
        return carry(Service.open(settings))
    return carry(Service.open(Settings.load(), memory=shared()))


def carry(service: Service) -> Flask:
    """A Flask application that carries a service's routes."""
    limit = service.settings.max_body_bytes
    app = Flask("menagerie", static_folder=None)
    app.extensions["menagerie"] = service
    # One byte more than is taken: of a chunked body that is too long, Werkzeug gives the part below its own limit.
    app.config["MAX_CONTENT_LENGTH"] = limit + 1
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.converters["name"] = _Name
    app.url_map.merge_slashes = False  # it would redirect in HTML, past the gate and to whatever Host says
    answer = partial(_answer, service.pipeline, partial(_read_body, limit))
    for route in service.routes:
        rule = re.sub(r"{(\w+)}", r"<name:\1>", route.path)
        app.add_url_rule(rule, endpoint_of(route), partial(answer, route), methods=[route.method])
    app.register_error_handler(HTTPException, lambda error: answer(_failing(_translate(error))))
    return app


def endpoint_of(route: Route) -> str:
    """What a route is called in the application's ``url_map``."""
    return f"{route.method} {route.path}"


class _Name(BaseConverter):
    """A part of a path: no slash, and no colon, which sets a verb apart (``…/models/animals:predict``)."""

    regex = "[^/:]+"


def _answer(gate: Gate, read: Callable[[], bytes], route: Route, **parameters: str) -> Response:
    asked = flask.request
    request = Request(asked.method, asked.path, asked.headers, read, parameters, route.path)
    reply = gate.answer(request, route.handler)
    return Response(reply.body, reply.status, reply.headers, content_type=reply.content_type)


def _read_body(limit: int) -> bytes:
    media_types.require_sent_plain(flask.request.headers)
    try:
        body = flask.request.get_data(cache=False)
    except RequestEntityTooLarge:
        body = None
    if body is None or len(body) > limit:
        raise TooLargeError.beyond(limit)
    return body


def _translate(error: HTTPException) -> RequestError:
    """What Flask itself found wrong with a request, in our words."""
    if isinstance(error, WerkzeugMethodNotAllowed):
        allow = ", ".join(sorted(error.valid_methods or ()))
        return MethodNotAllowedError(f"use {allow}", headers={"Allow": allow})
    if error.code == NotFoundError.status:
        return NotFoundError("see / for the paths that there are")
    return RequestError(f"the request cannot be read: {error.name}")


def _failing(error: RequestError) -> Route:
    return Route("", "", raising(error))


def raising(error: RequestError) -> Handler:
    """A handler for what is wrong whatever was asked: the gate tells it as it tells every error."""

    def handler(_: Request) -> Reply:
        raise error

    return handler
