"""Routes, methods and the headers of every response."""

import json

import pytest
from flask import Flask
from support.bad_input import GOOD
from support.http_responses import Send
from werkzeug.routing import BuildError

from models import bundle
from service.settings import Settings
from service.version import VERSION


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/health", "/model"])
def test_get_routes_answer_head(send: Send, path: str) -> None:
    """HEAD gets the response to GET without its body."""
    get, head = send("GET", path), send("HEAD", path)
    assert (get.status, head.status) == (200, 200)
    assert isinstance(json.loads(get.body), dict)
    assert head.body == b""


def test_health_reports_state_and_versions(send: Send) -> None:
    """Live, ready, the service's and the model's versions, and the uptime."""
    health = json.loads(send("GET", "/health").body)
    assert health.pop("uptime_seconds") >= 0
    assert health.pop("model") == {"name": "animals", "version": "1"}
    assert health.pop("models") == {"ready": ["animals"], "unavailable": []}
    assert (health.pop("shadow"), health.pop("shadow_fault")) == (None, None)
    assert health == {"live": True, "ready": True, "version": VERSION, "versions": [1], "refused": {}}


def test_model_returns_the_public_part_of_the_manifest(send: Send, settings: Settings) -> None:
    """Schema, metrics and provenance, but no golden rows, background rows and file hashes.

    The inputs and outputs, which a manifest of format 1 does not have, are derived.
    """
    document = json.loads(send("GET", "/model").body)
    assert document.pop("inputs") == [{"name": "features", "width": 8}]
    assert [output["name"] for output in document.pop("outputs")] == ["probabilities"]
    manifest = json.loads((settings.model_store / "animals" / "1" / bundle.MANIFEST).read_bytes())
    assert document == {key: manifest[key] for key in document}
    assert document.keys() >= {"name", "version", "features", "labels", "training", "metrics"}
    assert not document.keys() & {"golden", "background", "files"}


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nowhere", 404, None),
        ("POST", "/predict/", 404, None),
        ("GET", "/Predict", 404, None),
        ("GET", "/docs//initialise.js", 404, None),
        ("GET", "/static/app.js", 404, None),
        ("GET", "/../etc/passwd", 404, None),
        ("GET", "/%2e%2e/etc/passwd", 404, None),
        ("GET", "/predict%00", 404, None),
        ("GET", "/predict", 405, "POST"),
        ("HEAD", "/predict", 405, "POST"),
        ("PUT", "/predict", 405, "POST"),
        ("DELETE", "/predict", 405, "POST"),
        ("OPTIONS", "/predict", 405, "POST"),
        ("TRACE", "/predict", 405, "POST"),
        ("BREW", "/predict", 405, "POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("DELETE", "/model", 405, "GET, HEAD"),
    ],
)
def test_unknown_path_or_method_is_an_error(send: Send, method: str, path: str, status: int, allow: str | None) -> None:
    """404, or 405 with Allow, as a problem like every other."""
    response = send(method, path)
    assert (response.status, response.headers.get("Allow")) == (status, allow)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert method == "HEAD" or json.loads(response.body)["status"] == status


@pytest.mark.parametrize("request_id", ["abc", "0f-9_A.b:c/d+e=@", "x" * 128])
def test_valid_request_id_is_kept(send: Send, request_id: str) -> None:
    """The client's id comes back, so that both logs can be correlated."""
    assert send("GET", "/livez", headers={"X-Request-ID": request_id}).headers["X-Request-ID"] == request_id


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, "<script>", "a;b", "é"])
def test_invalid_request_id_is_replaced(send: Send, request_id: str) -> None:
    """A value that could break a header or a log line is not repeated."""
    response = send("GET", "/nowhere", headers={"X-Request-ID": request_id.encode("utf-8").decode("latin-1")})
    assert len(response.headers["X-Request-ID"]) == 32
    assert json.loads(response.body)["request_id"] == response.headers["X-Request-ID"]


def test_request_ids_are_unique(send: Send) -> None:
    """And no response may be cached."""
    responses = [send("POST", "/predict", GOOD, {"Content-Type": "application/json"}) for _ in range(3)]
    assert len({response.headers["X-Request-ID"] for response in responses}) == 3
    assert {response.headers["Cache-Control"] for response in responses} == {"no-store"}


def test_rules_build_no_urls(app: Flask) -> None:
    """Werkzeug compiles two functions for each rule to do so, which would take a thirtieth of the start."""
    with pytest.raises(BuildError):
        app.url_map.bind("").build("GET /livez")
