"""Every route follows from its declaration: OpenAPI, metric labels, authentication, error shape and CORS."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import api_keys, routes
from service.app.cors import CorsPolicy
from service.app.flask_app import create_app, flask_app
from service.app.routes import ROUTES, build_service
from service.http.errors import ModelControlError, NotJsonError, has_problem_details
from service.http.messages import Request, Response
from service.http.routing import Declare, Protocol, Route, routes_of
from service.inference.registry import Registry
from service.openapi.document import _PRIMITIVES
from service.protocols.health import Health
from service.settings import Settings

KEY, HASH = api_keys.make()
MODEL_ROUTES = [route for route in ROUTES if "{model}" in route.path and ModelControlError not in route.errors]


def route_id(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, **parameters: str) -> str:
    """The route's path with the shipped model, or with other ``parameters``."""
    return route.path.format(**{"model": "animals", "version": "1", "file": "x"} | parameters)


@pytest.fixture(scope="module")
def keyed_client() -> FlaskClient:
    return flask_app(build_service(Settings(api_keys=HASH))).test_client()


@pytest.fixture(scope="module")
def document(app: Flask) -> Any:
    return app.test_client().get("/openapi.json").json


def assert_error_shape(response: Any, route: Route) -> None:
    """Problem details or ``{"error": "…"}``, as the route's protocol defines."""
    error = json.loads(response.data)
    if has_problem_details(route.protocol):
        assert response.content_type == "application/problem+json"
        assert error["status"] == response.status_code
    else:
        assert response.content_type == "application/json"
        assert list(error) == ["error"]


def test_routes_are_unique() -> None:
    """By method and path, and by name: OpenAPI's operationId."""
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_every_route_has_a_handler(app: Flask) -> None:
    """And every handler a declared route."""
    assert list(app.extensions["menagerie"].handlers) == list(ROUTES)


@pytest.mark.parametrize("route", [route for route in ROUTES if ":regress" not in route.path], ids=route_id)
def test_declared_schemas_exist(route: Route, document: Any) -> None:
    """In the OpenAPI document, under the declared media types."""
    operation = document["paths"][route.path][route.method.lower()]
    schemas = document["components"]["schemas"]
    for content in (route.request, *route.responses.values()):
        for names in content.values():
            assert {name for name in names if name not in _PRIMITIVES} <= schemas.keys()
    assert operation["operationId"] == route.name
    assert operation["tags"] == [route.protocol]
    assert operation.get("requestBody", {"content": {}})["content"].keys() == route.request.keys()
    for status, content in route.responses.items():
        assert operation["responses"][str(status)]["content"].keys() == content.keys()


@pytest.mark.parametrize("route", ROUTES, ids=route_id)
def test_public_routes_need_no_key_and_others_do(route: Route, keyed_client: FlaskClient) -> None:
    """The 401 has the shape of the route's protocol."""
    response = keyed_client.open(path_of(route), method=route.method)
    assert (response.status_code == 401) == (not route.public)
    if not route.public:
        assert_error_shape(response, route)
        response = keyed_client.open(path_of(route), method=route.method, headers={"X-API-Key": KEY})
        assert response.status_code != 401


@pytest.mark.parametrize("route", ROUTES, ids=route_id)
def test_method_that_is_not_declared_gets_405(route: Route, client: FlaskClient) -> None:
    """With Allow, in the shape of the protocol."""
    response = client.delete(path_of(route))
    assert response.status_code == 405
    assert route.method in response.headers["Allow"].split(", ")
    assert_error_shape(response, route)


@pytest.mark.parametrize("route", MODEL_ROUTES, ids=route_id)
def test_unknown_model_gets_404(route: Route, client: FlaskClient) -> None:
    """In the shape of the protocol, TensorFlow Serving's included."""
    response = client.open(path_of(route, model="plants"), method=route.method, json={})
    assert response.status_code == 404
    assert_error_shape(response, route)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.request], ids=route_id)
def test_errors_of_the_body_have_the_shape_of_the_protocol(route: Route, client: FlaskClient) -> None:
    """413, 415, and 422, or 400 where the protocol has no 422."""
    json_type = {"content_type": "application/json"}
    refused = [
        (413, client.post(path_of(route), data=b" " * 5_000_000, **json_type)),
        (415, client.post(path_of(route), data=b"{}", headers={"Content-Encoding": "gzip"}, **json_type)),
        (422 if has_problem_details(route.protocol) else 400, client.post(path_of(route), data=b"[]", **json_type)),
    ]
    for status, response in refused:
        assert response.status_code == status
        assert_error_shape(response, route)
        assert response.headers.get("Accept-Encoding") == ("identity" if status == 415 else None)


@pytest.mark.parametrize("route", ROUTES, ids=route_id)
def test_metric_labels_are_those_of_the_route(route: Route, client: FlaskClient) -> None:
    """Protocol, path and method, also for HEAD."""
    for method in [route.method, "HEAD"] if route.method == "GET" else [route.method]:
        labels = f'method="{method}",protocol="{route.protocol}",route="{route.path}"'
        before, after = (_count_requests(client, labels, calls) for calls in ([], [(method, path_of(route))]))
        assert after - before >= 1  # the request for /metrics counts, too


def _count_requests(client: FlaskClient, labels: str, calls: list[tuple[str, str]]) -> float:
    """The number of requests with these labels, after ``calls``."""
    for method, path in calls:
        client.open(path, method=method)
    text = client.get("/metrics").text
    return sum(
        map(float, re.findall(rf"^menagerie_requests_total{{{re.escape(labels)},.*}} (\S+)$", text, re.MULTILINE))
    )


class Echo:
    """A part that a developer adds: one class, declared once."""

    declare = Declare(Protocol.OIP)

    def __init__(self, registry: Registry, *_: Any) -> None:
        self._registry = registry

    @declare("POST", "/echo/{model}", "object", accepts="OneRow", errors=[NotJsonError])
    def echo(self, request: Request) -> Response:
        """Return the body."""
        body = request.read()
        if not body:
            raise NotJsonError("the body is empty")
        return Response(200, body)


@pytest.fixture
def echo_client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A service in which the class Echo takes the place of Health."""
    parts = [Echo if part is Health else part for part in routes.PARTS]
    monkeypatch.setattr(routes, "ROUTES", [route for part in parts for route in routes_of(part)])
    monkeypatch.setattr(routes, "Health", Echo)
    return create_app(Settings(api_keys=HASH, cors_origins="https://example.org")).test_client()


def test_new_part_needs_no_other_list(echo_client: FlaskClient) -> None:
    """Its route is served, documented, authenticated, counted, has the errors of its protocol and a CORS preflight."""
    key = {"X-API-Key": KEY}
    assert echo_client.post("/echo/animals", data=b"{}", headers=key).data == b"{}"
    refused = echo_client.post("/echo/animals", data=b"{}")
    assert (refused.status_code, list(refused.get_json())) == (401, ["error"])
    failed = echo_client.post("/echo/animals", headers=key)
    assert (failed.status_code, failed.get_json()) == (400, {"error": "the body is empty"})
    unknown = echo_client.get("/echo/animals/x", headers=key)
    assert (unknown.status_code, list(unknown.get_json())) == (404, ["error"])
    operation = echo_client.get("/openapi.json", headers=key).get_json()["paths"]["/echo/{model}"]["post"]
    assert (operation["tags"], operation["operationId"]) == (["oip"], "echo")
    preflight = echo_client.options("/echo/animals", headers={"Origin": "https://example.org"})
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Methods"]) == (204, "POST")
    metrics = echo_client.get("/metrics", headers=key).text
    assert 'menagerie_requests_total{method="POST",protocol="oip",route="/echo/{model}",status="200"} 1.0' in metrics


def test_preflight_routes_follow_the_declarations() -> None:
    """One for each path, public, with the protocol of its routes."""
    preflights = list(CorsPolicy("https://example.org").preflight_handlers(ROUTES))
    assert {route.path: route.protocol for route in preflights} == {route.path: route.protocol for route in ROUTES}
    assert all(route.public and route.method == "OPTIONS" for route in preflights)
