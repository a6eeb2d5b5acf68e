"""Routes and how handlers declare them; every list of what the service offers is derived from these declarations."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

JSON = "application/json"
Content = Mapping[str, Sequence[str]]
"""Names of the schemas that a body may have, by media type; ``string``, ``binary`` and ``object`` are OpenAPI's own."""

PROBLEM = "application/problem+json"

NO_RESPONSES: Mapping[int, str] = MappingProxyType({})

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


class Protocol(StrEnum):
    """What a route speaks. It decides the shape of errors, and labels the route in metrics and in OpenAPI."""

    NATIVE = "native"
    OIP = "oip"
    TFSERVING = "tfserving"
    SAGEMAKER = "sagemaker"
    VERTEX = "vertex"
    AZUREML = "azureml"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One method of one path. A part of ``path`` in braces stands for any name without a slash or a colon.

    ``name``, ``summary``, ``description``, ``request``, ``responses`` (content by status), ``errors`` and ``headers``
    (of request and response, beside those that all have) describe the operation for OpenAPI, and ``file_names`` what
    ``{file}`` in a path may be, given the model's manifest. If the manifest does not satisfy ``applies_to``, the route
    only says what to use instead, and the OpenAPI document leaves it out. A ``public`` route needs no API key. A route
    ``on_event_loop`` is handled there, because it takes microseconds. An ``inference`` counts in the model's request
    statistics, and its rows count for drift. A route ``of_default_model`` is about that model, because its path names
    none. ``row_codec`` makes a `RowCodec` for a model: the fast path uses it.
    """

    method: str
    path: str
    name: str
    summary: str
    description: str
    protocol: Protocol
    responses: Mapping[int, Content]
    request: Content = field(default_factory=dict)
    errors: Sequence[type[Exception]] = ()
    headers: Sequence[str] = ()
    file_names: Callable[[Any], Sequence[str]] | None = None
    applies_to: Callable[[Any], bool] | None = None
    public: bool = False
    on_event_loop: bool = False
    inference: bool = False
    of_default_model: bool = False
    row_codec: Callable[[Any], Any] | None = None


class Declare:
    """Decorators for the handler methods of one protocol: ``@declare("GET", "/livez", "Alive")``.

    ``prefix`` begins the names of its operations.
    """

    def __init__(self, protocol: Protocol, prefix: str = "") -> None:
        self._protocol = protocol
        self._prefix = prefix

    def __call__(
        self,
        method: str,
        path: str,
        returns: str | Content,
        *,
        accepts: str | Content = "",
        more: Mapping[int, str | Content] = NO_RESPONSES,
        **fields: Any,
    ) -> Callable[[_Handler], _Handler]:
        """Declare what a handler method answers: its name names the operation, its docstring describes it.

        A part of ``path`` in brackets is optional: ``/models/{model}[/versions/{version}]`` declares two routes.
        ``returns`` is the content of a 200, ``accepts`` that of the request, ``more`` that of other statuses which are
        no errors; a string stands for JSON of one of the schemas in it: ``"Prediction | Predictions"``. ``fields`` are
        further ones of `Route`.
        """

        def declare(handler: _Handler) -> _Handler:
            responses = {status: _content(content) for status, content in {200: returns, **more}.items()}
            contents = self._protocol, responses, _content(accepts)
            routes = [
                Route(method, each, *self._describe(handler, each), *contents, **fields) for each in _expand(path)
            ]
            if "{model}" in routes[-1].path and "{model}" not in routes[0].path:
                routes[0] = replace(routes[0], of_default_model=True)
            handler.routes = routes  # type: ignore[attr-defined]
            return handler

        return declare

    def _describe(self, handler: Callable[..., Any], path: str) -> tuple[str, str, str]:
        """The name, summary and description of an operation; with a version in the path it is about that."""
        name = f"{self._prefix}{handler.__name__}"
        if path.startswith("/models/"):  # the same of a model that the path names
            name = f"models_{name}"
        summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n\n")
        if "{version}" in path:
            name = name.replace("model", "model_version", 1)
            summary = summary.replace("the model", "a version of the model").replace(
                "The model", "A version of the model"
            )
        return name, summary.removesuffix("."), description


def routes_of(part: type) -> list[Route]:
    """The routes that a class's methods declare, in the order of their definition."""
    return [route for method in vars(part).values() for route in getattr(method, "routes", ())]


def handlers_of(part: object) -> dict[Route, Any]:
    """The bound method that handles each route of an object's class."""
    methods = [(name, method) for name, method in vars(type(part)).items() if hasattr(method, "routes")]
    return {route: getattr(part, name) for name, method in methods for route in method.routes}


def move_routes(handlers: Mapping[Route, Any], paths: Mapping[str, str]) -> dict[Route, Any]:
    """The same handlers, whose routes have other ``paths``: for each declared path the one to serve instead."""
    return {replace(route, path=paths.get(route.path, route.path)): handler for route, handler in handlers.items()}


def protocol_finder(routes: Iterable[Route]) -> Callable[[str], Protocol]:
    """A function that gives the protocol of an unknown path: that of the routes in the same top folder."""
    protocols = {_top_folder(route.path): route.protocol for route in routes}

    def find(path: str) -> Protocol:
        return protocols.get(_top_folder(path), Protocol.SERVICE)

    return find


def _content(content: str | Content) -> Content:
    return ({JSON: content.split(" | ")} if content else {}) if isinstance(content, str) else content


def _expand(path: str) -> list[str]:
    """The paths that a path with an optional part in brackets stands for."""
    before, bracket, rest = path.partition("[")
    optional, _, after = rest.partition("]")
    return [before + after, before + optional + after] if bracket else [path]


def _top_folder(path: str) -> str:
    return next((part for part in path.split("/") if part), "")
