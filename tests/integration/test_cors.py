"""CORS: pages of the configured origins may read responses, all others may not."""

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

CONFIGURED, OTHER = "https://example.org", "https://example.com"
KEY, HASH = api_keys.make()
ORIGINS = f"{CONFIGURED}, http://localhost:3000"
PATHS = ["/predict", "/explain", "/livez", "/model", "/v1/models/animals:predict", "/v2/models/animals/infer"]


@pytest.fixture(scope="module")
def cors_server() -> Iterator[Server]:
    with serving(MENAGERIE_CORS_ORIGINS=ORIGINS, MENAGERIE_API_KEYS=HASH) as ready:
        yield ready


@pytest.fixture(scope="module")
def cors_client() -> FlaskClient:
    return flask_app(build_service(Settings(cors_origins=ORIGINS, api_keys=HASH))).test_client()


def relevant_headers(headers: requests.structures.CaseInsensitiveDict[str]) -> dict[str, str]:
    prefixes = ("access-control-", "vary", "allow", "timing-", "x-content-type", "content-type", "content-length")
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith(prefixes)}


@pytest.mark.parametrize(
    "origin", [CONFIGURED, "http://localhost:3000", OTHER, CONFIGURED.upper(), f"{CONFIGURED}:443", "null", "*", ""]
)
@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_configured_origins_may_read_responses(
    cors_server: Server, cors_client: FlaskClient, path: str, origin: str
) -> None:
    """Errors too, on every path, so that a page can show its user what was wrong."""
    headers_sent = {"Origin": origin, "X-API-Key": KEY, "Content-Type": "application/json", "X-Request-ID": "same"}
    response = requests.post(cors_server.url + path, GOOD, headers=headers_sent, timeout=10)
    flask_response = cors_client.post(path, data=GOOD, headers=headers_sent)
    assert (response.status_code, response.content) == (flask_response.status_code, flask_response.data)
    assert relevant_headers(response.headers) == relevant_headers(
        requests.structures.CaseInsensitiveDict(flask_response.headers)
    )
    assert response.headers["Vary"] == "Origin"
    is_configured = origin in {CONFIGURED, "http://localhost:3000"}
    for header in ("Access-Control-Allow-Origin", "Timing-Allow-Origin"):
        assert response.headers.get(header) == (origin if is_configured else None)
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("path", PATHS)
def test_preflight_needs_no_key(cors_server: Server, cors_client: FlaskClient, path: str) -> None:
    """Browsers send no key with it; other origins get no Access-Control headers."""
    headers_sent = {
        "Origin": CONFIGURED,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
    }
    for headers in (headers_sent, {**headers_sent, "Origin": OTHER}):
        response = requests.options(cors_server.url + path, headers=headers, timeout=10)
        flask_response = cors_client.options(path, headers=headers)
        assert (
            (response.status_code, response.content) == (flask_response.status_code, flask_response.data) == (204, b"")
        )
        assert relevant_headers(response.headers) == relevant_headers(
            requests.structures.CaseInsensitiveDict(flask_response.headers)
        )
        allowed = response.headers.get("Access-Control-Allow-Methods")
        assert allowed == (("GET" if path in {"/livez", "/model"} else "POST") if headers is headers_sent else None)
        assert ("X-API-Key" in response.headers.get("Access-Control-Allow-Headers", "")) == (headers is headers_sent)


def test_unknown_path_has_no_preflight(cors_server: Server) -> None:
    """OPTIONS is a request like any other there, and needs a key."""
    assert requests.options(f"{cors_server.url}/nowhere", timeout=10).status_code == 401
    assert requests.options(f"{cors_server.url}/nowhere", headers={"X-API-Key": KEY}, timeout=10).status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_without_configured_origins_there_are_no_cors_headers(server: Server, path: str) -> None:
    """OPTIONS gets 405, and responses do not vary by origin."""
    headers = {"Origin": CONFIGURED, "Access-Control-Request-Method": "POST"}
    assert requests.options(server.url + path, headers=headers, timeout=10).status_code == 405
    assert (
        not {"Vary", "Access-Control-Allow-Origin"}
        & requests.get(server.url + path, headers=headers, timeout=10).headers.keys()
    )


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "null",
        "example.org",
        "https://*.example.org",
        f"{CONFIGURED}/",
        f"{CONFIGURED}/page",
        f"{CONFIGURED},ftp://x",
        "https://",
    ],
)
def test_invalid_origin_stops_the_start(origins: str) -> None:
    """A wildcard is one of them."""
    with pytest.raises(StartupError, match="is not an origin"):
        CorsPolicy(origins)


@pytest.mark.parametrize("path", ["/livez", "/model", "/nowhere", "/v1/nowhere", "/"])
def test_every_response_has_nosniff(server: Server, path: str) -> None:
    """Browsers must not guess another media type."""
    assert requests.get(server.url + path, timeout=10).headers["X-Content-Type-Options"] == "nosniff"
    assert requests.post(server.url + path, GOOD, timeout=10).headers["X-Content-Type-Options"] == "nosniff"
