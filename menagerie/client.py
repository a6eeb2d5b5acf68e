"""Asks the service: one that runs, over HTTP, or the same handlers in this process, with a model loaded for them."""

from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple, Protocol
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import click
import orjson

from menagerie.errors import CommandError
from service.http import errors
from service.http.errors import RequestError
from service.http.messages import Request
from service.http.model_paths import path_of_model
from service.http.routing import JSON, handlers_of
from service.inference.catalog import Catalog
from service.inference.sandbox import check_in_fork
from service.protocols.explain import Explain
from service.protocols.explanations import Explanations
from service.protocols.health import Health
from service.protocols.native import Native
from service.protocols.readiness import Readiness
from service.settings import Settings

_TIMEOUT = 60  # seconds


class Reply(NamedTuple):
    status: int
    body: bytes


class Client(Protocol):
    """Sends a request whose body, if it has one, is JSON."""

    def __call__(self, method: str, path: str, body: bytes | None = None, /) -> Reply: ...


def remote_client(url: str, api_key: str | None, model: str = "") -> Client:
    """A client of a model of the service at a URL, without a name of the default one.

    The URL may have a path: the prefix under which a proxy serves it.
    """
    headers = {"Content-Type": JSON, "Accept": JSON}

    def send(method: str, path: str, body: bytes | None = None, /) -> Reply:
        try:
            target = url.rstrip("/") + (path_of_model(model, path) if model else path)
            request = HttpRequest(target, body, headers, method=method)  # noqa: S310 (`--url` checks it)
            if api_key:  # not for a host to which the service redirects
                request.add_unredirected_header("X-API-Key", api_key)
            with urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310 (likewise)
                return Reply(response.status, response.read())
        except HTTPError as error:
            return Reply(error.code, error.read())
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error or type(error).__name__
            raise CommandError(f"cannot reach {url} ({reason}): is that the URL of a running service?") from None

    return send


def open_catalog(settings: Settings) -> Catalog:
    """The version of the default model that would serve, checked and loaded.

    Raises:
        BundleError, StartupError: as `Catalog`.
    """
    changes = {"keep_versions": 1, "models": "", "model_name": settings.default_model}
    return Catalog(settings.model_copy(update=changes), check_in_fork)


def local_client(settings: Settings) -> Client:
    """A client of the service's own handlers in this process, with the version of the model that would serve.

    Raises:
        BundleError, StartupError: as `open_catalog`.
    """
    catalog = open_catalog(settings)
    explanations = Explanations(settings.shapley_evaluations, settings.max_explained_connections)
    parts = (
        Native(catalog),
        Explain(catalog, explanations),
        Health(catalog, Readiness(catalog, settings), lambda _: True),
    )
    handlers = {
        (route.method, route.path): (route, each) for part in parts for route, each in handlers_of(part).items()
    }

    def send(method: str, path: str, body: bytes | None = None, /) -> Reply:
        route, handler = handlers[method, path]
        request = Request(method, path, {"content-type": JSON}, lambda: body or b"", route=route)
        try:
            response = handler(request)
        except RequestError as error:
            response = errors.render(error, route.protocol, "")
        return Reply(response.status, response.body)

    return send


def ask(
    client: Client, method: str, path: str, document: Any = None, where: Callable[[str], str] = lambda _: ""
) -> Any:
    """The document that the service responds with.

    Raises:
        CommandError: the service refused the request; the message has every fault, with ``where(field)`` before it if
            that is not empty.
    """
    reply = client(method, path, None if document is None else orjson.dumps(document))
    try:
        response = orjson.loads(reply.body)
    except ValueError:
        response = None
    if reply.status == HTTPStatus.OK and response is not None:
        return response
    raise CommandError(_describe(reply.status, response, where))


def print_json(document: Any) -> None:
    """Print a document for people, and for programs."""
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _describe(status: int, problem: Any, where: Callable[[str], str]) -> str:
    """What a response of an error says."""
    if not isinstance(problem, dict) or "detail" not in problem:
        return f"the response has status {status} and is not one of this service's: is that its URL?"
    faults = problem.get("errors")
    return (
        "\n".join(f"{where(each['field'])}{each['message']}" for each in faults) if faults else str(problem["detail"])
    )
