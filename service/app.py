"""The Flask application: every route, each answered by a handler that knows nothing of Flask."""

import sys
from collections.abc import Callable
from functools import partial

import flask
from flask import Flask, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from models.bundle import BundleError
from service import about, predict
from service.errors import MethodNotAllowedError, NotFoundError, RequestError, StartupError, TooLargeError
from service.gate import Gate
from service.messages import Handler, Reply, Request
from service.model import Model
from service.settings import Settings
from service.validation import Validator


def create_app(settings: Settings | None = None) -> Flask:
    """The whole application, with its model loaded.

    Raises:
        StartupError, BundleError: it cannot start; the message says why in one line.
    """
    settings = settings or Settings.load()
    model = Model.open(settings.model_store, settings.model_name, settings.engine)
    validator = Validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
    gate = Gate(log_requests=settings.log_requests)

    app = Flask("menagerie", static_folder=None)
    # One byte more than is taken: of a chunked body that is too long, Werkzeug gives the part below its own limit.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    answer = partial(_answer, gate, partial(_read_body, settings.max_body_bytes))

    def route(method: str, path: str, handler: Handler) -> None:
        app.add_url_rule(path, endpoint=path, view_func=partial(answer, handler), methods=[method])

    route("POST", "/predict", predict.handler(model, validator))
    for path, handler in about.handlers(model).items():
        route("GET", path, handler)
    app.register_error_handler(HTTPException, lambda error: answer(_raising(_translate(error))))
    return app


def serve() -> Flask:
    """What gunicorn runs: `create_app`, or one line on stderr and exit code 1."""
    try:
        return create_app()
    except (StartupError, BundleError) as error:
        sys.exit(f"menagerie: {error}")


def _answer(gate: Gate, read: Callable[[], bytes], handler: Handler) -> Response:
    asked = flask.request
    reply = gate.answer(Request(asked.method, asked.path, asked.headers, read), handler)
    return Response(reply.body, reply.status, reply.headers, content_type=reply.content_type)


def _read_body(limit: int) -> bytes:
    try:
        body = flask.request.get_data(cache=False)
    except RequestEntityTooLarge:
        body = None
    if body is None or len(body) > limit:
        raise TooLargeError(f"the body must not be longer than {limit} bytes: send fewer rows at a time")
    return body


def _translate(error: HTTPException) -> RequestError:
    """What Flask itself found wrong with a request, in our words."""
    if isinstance(error, WerkzeugMethodNotAllowed):
        allow = ", ".join(sorted(error.valid_methods or ()))
        return MethodNotAllowedError(f"use {allow}", headers={"Allow": allow})
    if error.code == NotFoundError.status:
        return NotFoundError("see / for the paths that there are")
    return RequestError(f"the request cannot be read: {error.name}")


def _raising(error: RequestError) -> Handler:
    def handler(_: Request) -> Reply:
        raise error

    return handler
