"""Routes, their methods, and what every answer carries."""

import json

import pytest
from support.bad_input import GOOD
from support.http_responses import Send

from models import bundle
from service.settings import Settings
from service.version import VERSION


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/health", "/model"])
def test_get_routes_answer_get_and_head(send: Send, path: str) -> None:
    """HEAD gets what GET gets, without the body."""
    got, headed = send("GET", path), send("HEAD", path)
    assert (got.status, headed.status) == (200, 200)
    assert isinstance(json.loads(got.body), dict)
    assert headed.body == b""


def test_health_tells_both_and_what_runs(send: Send) -> None:
    """Health says alive and ready, which version of which, and for how long."""
    health = json.loads(send("GET", "/health").body)
    assert health.pop("uptime_seconds") >= 0
    assert health.pop("model") == {"name": "animals", "version": "1"}
    assert health == {"live": True, "ready": True, "version": VERSION, "versions": [1], "refused": {}}


def test_model_shows_the_public_part_of_the_manifest(send: Send, settings: Settings) -> None:
    """Schema, metrics and provenance are public; the rows and hashes that guard the bundle are of no use outside."""
    shown = json.loads(send("GET", "/model").body)
    whole = json.loads((settings.model_store / "animals" / "1" / bundle.MANIFEST).read_bytes())
    assert shown == {key: whole[key] for key in shown}
    assert shown.keys() >= {"name", "version", "features", "labels", "training", "metrics"}
    assert not shown.keys() & {"golden", "background", "files"}


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
def test_wrong_ways_are_told(send: Send, method: str, path: str, status: int, allow: str | None) -> None:
    """An unknown path is 404 and an unknown method 405 with what is allowed, as problems like every other."""
    answer = send(method, path)
    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert method == "HEAD" or json.loads(answer.body)["status"] == status


@pytest.mark.parametrize("given", ["abc", "0f-9_A.b:c/d+e=@", "x" * 128])
def test_a_sane_request_id_is_kept(send: Send, given: str) -> None:
    """The caller's id comes back, so that both logs can be read side by side."""
    assert send("GET", "/livez", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "a;b", "é"])
def test_an_insane_request_id_is_replaced(send: Send, given: str) -> None:
    """What could break a header or a log line is not repeated."""
    answer = send("GET", "/nowhere", headers={"X-Request-ID": given.encode("utf-8").decode("latin-1")})
    assert len(answer.headers["X-Request-ID"]) == 32
    assert json.loads(answer.body)["request_id"] == answer.headers["X-Request-ID"]


def test_every_answer_has_a_request_id_of_its_own(send: Send) -> None:
    """No two requests share an id, and no answer may be kept by a cache."""
    answers = [send("POST", "/predict", GOOD, {"Content-Type": "application/json"}) for _ in range(3)]
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 3
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
