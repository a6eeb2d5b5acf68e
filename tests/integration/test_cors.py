"""Pages of other origins: none may read an answer, unless its origin is named."""

from collections.abc import Iterator

import pytest
import requests
from flask.testing import FlaskClient
from support.bad_input import GOOD
from support.gunicorn_server import Server, serving

from service.app import api_keys
from service.app.cors import CorsPolicy
from service.app.flask_app import flask_app
from service.app.routes import build_service
from service.http.errors import StartupError
from service.settings import Settings

OURS, THEIRS = "https://example.org", "https://example.com"
KEY, HASH = api_keys.make()
NAMED = f"{OURS}, http://localhost:3000"
PATHS = ["/predict", "/explain", "/livez", "/model", "/v1/models/animals:predict", "/v2/models/animals/infer"]


@pytest.fixture(scope="module")
def opened() -> Iterator[Server]:
    with serving(MENAGERIE_CORS_ORIGINS=NAMED, MENAGERIE_API_KEYS=HASH) as ready:
        yield ready


@pytest.fixture(scope="module")
def opened_client() -> FlaskClient:
    return flask_app(build_service(Settings(cors_origins=NAMED, api_keys=HASH))).test_client()


def shown(headers: requests.structures.CaseInsensitiveDict[str]) -> dict[str, str]:
    told = ("access-control-", "vary", "allow", "timing-", "x-content-type", "content-type", "content-length")
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith(told)}


@pytest.mark.parametrize(
    "origin", [OURS, "http://localhost:3000", THEIRS, OURS.upper(), f"{OURS}:443", "null", "*", ""]
)
@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_an_answer_is_read_by_those_who_are_named(
    opened: Server, opened_client: FlaskClient, path: str, origin: str
) -> None:
    """An error no less than an answer, on every way in, so that a page can tell its user what was wrong."""
    given = {"Origin": origin, "X-API-Key": KEY, "Content-Type": "application/json", "X-Request-ID": "same"}
    answer = requests.post(opened.url + path, GOOD, headers=given, timeout=10)
    plain = opened_client.post(path, data=GOOD, headers=given)
    assert (answer.status_code, answer.content) == (plain.status_code, plain.data)
    assert shown(answer.headers) == shown(requests.structures.CaseInsensitiveDict(plain.headers))
    assert answer.headers["Vary"] == "Origin"
    named = origin in {OURS, "http://localhost:3000"}
    for header in ("Access-Control-Allow-Origin", "Timing-Allow-Origin"):
        assert answer.headers.get(header) == (origin if named else None)
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_a_browser_may_ask_beforehand(opened: Server, opened_client: FlaskClient, path: str) -> None:
    """Without a key, which it does not send with that; whoever is not named learns nothing that helps."""
    given = {"Origin": OURS, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    for headers in (given, {**given, "Origin": THEIRS}):
        answer = requests.options(opened.url + path, headers=headers, timeout=10)
        plain = opened_client.options(path, headers=headers)
        assert (answer.status_code, answer.content) == (plain.status_code, plain.data) == (204, b"")
        assert shown(answer.headers) == shown(requests.structures.CaseInsensitiveDict(plain.headers))
        allowed = answer.headers.get("Access-Control-Allow-Methods")
        assert allowed == (("GET" if path in {"/livez", "/model"} else "POST") if headers is given else None)
        assert ("X-API-Key" in answer.headers.get("Access-Control-Allow-Headers", "")) == (headers is given)


def test_what_is_no_route_is_not_asked_beforehand(opened: Server) -> None:
    """It is a request like any other, and wants a key."""
    assert requests.options(f"{opened.url}/nowhere", timeout=10).status_code == 401
    assert requests.options(f"{opened.url}/nowhere", headers={"X-API-Key": KEY}, timeout=10).status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_without_names_nobody_is_let_in(server: Server, path: str) -> None:
    """Neither asked beforehand nor told afterwards, as if there were no such thing."""
    headers = {"Origin": OURS, "Access-Control-Request-Method": "POST"}
    assert requests.options(server.url + path, headers=headers, timeout=10).status_code == 405
    assert (
        not {"Vary", "Access-Control-Allow-Origin"}
        & requests.get(server.url + path, headers=headers, timeout=10).headers.keys()
    )


@pytest.mark.parametrize(
    "named",
    ["*", "null", "example.org", "https://*.example.org", f"{OURS}/", f"{OURS}/page", f"{OURS},ftp://x", "https://"],
)
def test_what_is_no_origin_stops_the_start(named: str) -> None:
    """A wildcard above all."""
    with pytest.raises(StartupError, match="is no origin"):
        CorsPolicy(named)


@pytest.mark.parametrize("path", ["/livez", "/model", "/nowhere", "/v1/nowhere", "/"])
def test_no_browser_guesses_what_an_answer_is(server: Server, path: str) -> None:
    """Every answer says that its media type is to be believed."""
    assert requests.get(server.url + path, timeout=10).headers["X-Content-Type-Options"] == "nosniff"
    assert requests.post(server.url + path, GOOD, timeout=10).headers["X-Content-Type-Options"] == "nosniff"
