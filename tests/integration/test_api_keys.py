"""API keys: which requests need one, how clients send it, and how keys are changed."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.client import HTTPResponse
from pathlib import Path

import pytest
import requests
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.bad_input import GOOD
from support.gunicorn_server import ROOT, Server, serving
from support.http_requests import make_request

from service.app import api_keys
from service.app.api_keys import ApiKeys
from service.app.flask_app import flask_app
from service.app.routes import ROUTES, build_service
from service.http.errors import StartupError, UnauthorizedError
from service.settings import Settings

KEY, HASH = api_keys.make()
OTHER_KEY, OTHER_HASH = api_keys.make()
JSON = {"Content-Type": "application/json"}
# Routes of every protocol, unknown paths and unknown methods.
KEYED_REQUESTS = [
    ("POST", "/predict"),
    ("POST", "/explain"),
    ("GET", "/model"),
    ("GET", "/metrics"),
    ("GET", "/v2"),
    ("GET", "/v2/models/animals"),
    ("GET", "/v2/models/animals/ready"),
    ("GET", "/v2/models/stats"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/models/animals/infer"),
    ("GET", "/v1/models/animals"),
    ("POST", "/v1/models/animals:predict"),
    ("POST", "/v1/models/animals/versions/1:classify"),
    ("GET", "/v1/models"),
    ("POST", "/v1/models/animals:explain"),
    ("GET", "/nowhere"),
    ("GET", "/v1/nowhere"),
    ("DELETE", "/predict"),
    ("OPTIONS", "/predict"),
    ("POST", "/livez"),
    ("PUT", "/v2/nowhere"),
]
PUBLIC_PATHS = ["/", "/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"]


def is_accepted(keys: ApiKeys, key: str) -> bool:
    try:
        keys.require({"x-api-key": key})
    except UnauthorizedError:
        return False
    return True


@pytest.fixture(scope="module")
def keyed_server() -> Iterator[Server]:
    with serving(MENAGERIE_API_KEYS=f"{HASH},{OTHER_HASH.upper()}", MENAGERIE_BODY_SECONDS="60") as ready:
        yield ready


@pytest.fixture(scope="module")
def keyed_client() -> FlaskClient:
    return flask_app(build_service(Settings(api_keys=HASH))).test_client()


@pytest.mark.parametrize(("method", "path"), KEYED_REQUESTS)
def test_missing_key_gets_401(keyed_server: Server, keyed_client: FlaskClient, method: str, path: str) -> None:
    """In the shape of the path's protocol, with WWW-Authenticate, whether or not the path exists."""
    headers = {"X-Request-ID": "mine", **JSON}
    response = requests.request(method, keyed_server.url + path, data=GOOD, headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="menagerie"'
    flask_response = keyed_client.open(path, method=method, data=GOOD, headers=headers)
    assert (flask_response.status_code, flask_response.data) == (401, response.content)
    assert flask_response.headers["WWW-Authenticate"] == response.headers["WWW-Authenticate"]
    error = response.json()
    if path.startswith("/v"):
        assert error.keys() == {"error"}
    else:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert (error["type"], error["status"]) == ("urn:menagerie:problem:unauthorized", 401)


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_public_routes_need_no_key(keyed_server: Server, keyed_client: FlaskClient, path: str) -> None:
    """Probes and the list of paths."""
    assert requests.get(keyed_server.url + path, timeout=10).status_code == 200
    assert requests.head(keyed_server.url + path, timeout=10).status_code == 200
    assert keyed_client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/explain", "/v2/models/animals/infer", "/nowhere"])
@pytest.mark.parametrize(
    "fields", ["Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 9\r\nExpect: 100-continue"]
)
def test_body_without_a_key_is_not_read(keyed_server: Server, path: str, fields: str) -> None:
    """The 401 is sent once the head has arrived, and closes the connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{fields}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", keyed_server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        with HTTPResponse(connection) as response:
            response.begin()
            assert (response.status, response.getheader("Connection")) == (401, "close")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("//nope", "application/problem+json"),
        ("//predict", "application/problem+json"),
        ("//v2/nope", "application/json"),
        ("//v2/models/animals/infer", "application/json"),
        ("//v1/nope", "application/json"),
    ],
)
def test_401_before_the_body_has_the_shape_of_the_protocol(keyed_server: Server, path: str, media_type: str) -> None:
    """Leading slashes in excess do not hide the first path segment."""
    response = requests.post(keyed_server.url + path, GOOD, headers=JSON, timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (401, media_type)


def test_public_route_ignores_a_body(keyed_server: Server, keyed_client: FlaskClient) -> None:
    """A GET or HEAD may have one."""
    for method in ("GET", "HEAD"):
        response = requests.request(method, f"{keyed_server.url}/health", data=GOOD, timeout=10)
        assert response.status_code == keyed_client.open("/health", method=method, data=GOOD).status_code == 200


def test_reason_for_a_refused_version_needs_a_key(store: Path) -> None:
    """Health lists refused versions for everyone, and the reasons for clients with a key."""
    (store / "animals" / "2").mkdir()
    keyed_client = flask_app(build_service(Settings(api_keys=HASH, model_store=store))).test_client()
    open_client = flask_app(build_service(Settings(model_store=store))).test_client()
    reasons = open_client.get("/health").get_json()["refused"]
    assert "manifest.json" in reasons["2"]
    assert keyed_client.get("/health", headers={"X-API-Key": KEY}).get_json()["refused"] == reasons
    for headers in ({}, {"X-API-Key": OTHER_KEY}):
        refused = keyed_client.get("/health", headers=headers).get_json()["refused"]
        assert refused == {"2": "send an API key to see the reason"}


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["first", "second"])
@pytest.mark.parametrize("header_template", ["Authorization: Bearer {}", "Authorization: bearer  {}", "X-API-Key: {}"])
def test_valid_key_is_accepted(keyed_server: Server, key: str, header_template: str) -> None:
    """Each of several keys, as a bearer token or as X-API-Key."""
    name, value = header_template.format(key).split(": ", 1)
    headers = {name: value, **JSON}
    assert requests.post(f"{keyed_server.url}/predict", GOOD, headers=headers, timeout=10).json()["label"] == "cat"
    assert requests.get(f"{keyed_server.url}/nowhere", headers=headers, timeout=10).status_code == 404
    assert requests.get(f"{keyed_server.url}/v2/models/animals", headers=headers, timeout=10).ok


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": KEY.upper()},
        {"X-API-Key": f"{KEY},{KEY}"},
        {"X-API-Key": HASH},
        {"X-API-Key": "é".encode().decode("latin-1")},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer{KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Cookie": f"key={KEY}"},
        {"X-API-Key": OTHER_KEY[:-1], "Authorization": f"Bearer {KEY}"},
    ],
)
def test_invalid_key_gets_401(keyed_server: Server, headers: dict[str, str]) -> None:
    """A part of a key, its hash, or a key in another header; the response does not repeat it."""
    response = requests.post(f"{keyed_server.url}/predict", GOOD, headers={**headers, **JSON}, timeout=10)
    assert response.status_code == 401
    assert "menagerie_" not in response.text
    assert requests.get(f"{keyed_server.url}/predict?key={KEY}", timeout=10).status_code == 401


@given(st.text(st.characters(max_codepoint=255)))
def test_random_key_is_refused(value: str) -> None:
    """Any header value raises the 401 error and no other."""
    keys = ApiKeys(HASH, None)
    for request in (
        make_request(x_api_key=value),
        make_request(authorization=f"Bearer {value}"),
        make_request(authorization=value),
    ):
        with pytest.raises(UnauthorizedError):
            keys.require(request.headers)


def test_keys_file_is_reloaded_while_serving(tmp_path: Path) -> None:
    """In every worker, without a restart and without a failed request."""
    file = tmp_path / "keys"
    file.write_text(f"# comment\n{HASH}  # of Ann\n")
    # Without request lines: they could fill the pipe of stderr, which is not read before the end.
    with serving(MENAGERIE_API_KEYS_FILE=str(file), MENAGERIE_LOG_RATE="0") as server:

        def status(key: str) -> int:  # a new connection each time, which either worker may accept
            return requests.get(f"{server.url}/model", headers={"X-API-Key": key}, timeout=10).status_code

        def await_statuses(first: int, second: int) -> None:
            deadline, matches = time.monotonic() + 20, 0
            while matches < 20:
                assert time.monotonic() < deadline
                matches = matches + 1 if (status(KEY), status(OTHER_KEY)) == (first, second) else 0
                time.sleep(0 if matches else 0.05)

        await_statuses(200, 401)
        replace_atomically(file, f"{HASH}\n{OTHER_HASH}\n")
        await_statuses(200, 200)
        replace_atomically(file, OTHER_HASH)
        await_statuses(401, 200)
        server.process.terminate()
        log = server.process.communicate(timeout=60)[1]
    assert f"{file} has changed: 2 API keys are now valid" in log
    assert not any(secret in log for secret in (KEY, OTHER_KEY, HASH, OTHER_HASH))


def replace_atomically(file: Path, content: str) -> None:
    """Write ``content`` so that a reader sees the old file or the new one, never a part."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.replace(file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: replace_atomically(file, "half a ha"),
        lambda file: file.unlink(),
        lambda file: replace_atomically(file, "x" * 1_000_001),
    ],
)
def test_broken_keys_file_keeps_the_old_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    """The log has one error, and a repaired file is loaded."""
    monkeypatch.setattr(api_keys, "_CHECK_SECONDS", -1)
    file = tmp_path / "keys"
    file.write_text(HASH)
    keys = ApiKeys("", file)
    damage(file)
    for _ in range(3):
        assert is_accepted(keys, KEY)
        assert not is_accepted(keys, OTHER_KEY)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    replace_atomically(file, OTHER_HASH)
    assert is_accepted(keys, OTHER_KEY)
    assert not is_accepted(keys, KEY)
    replace_atomically(file, "# all are withdrawn")
    assert not is_accepted(keys, OTHER_KEY)


def test_keys_file_is_not_read_for_each_request(tmp_path: Path) -> None:
    """It is checked at most once a second."""
    file = tmp_path / "keys"
    file.write_text(HASH)
    keys = ApiKeys(OTHER_HASH, file)
    file.unlink()
    assert is_accepted(keys, KEY)
    assert is_accepted(keys, OTHER_KEY)


@pytest.mark.parametrize(
    ("hashes", "content", "message"),
    [
        (HASH[:-1], None, "hash 1 in MENAGERIE_API_KEYS is not a SHA-256"),
        (f"{HASH},{KEY}", None, "hash 2 in MENAGERIE_API_KEYS is not a SHA-256"),
        (",", None, "no API key in MENAGERIE_API_KEYS"),
        ("", "", "no API key in "),
        ("", "# none\n", "no API key in "),
        ("", "\xff", "is not a SHA-256"),
        ("", f"{HASH} Ann", "hash 2 in "),
        ("", "x" * 2_000_000, "is longer than"),
    ],
    ids=range(8),
)
def test_invalid_hash_stops_the_start(tmp_path: Path, hashes: str, content: str | None, message: str) -> None:
    """The error is one line, names the hash and does not repeat it: it may be a key."""
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content, encoding="latin-1")
    with pytest.raises(StartupError, match=message) as refused:
        ApiKeys(hashes, None if content is None else file)
    assert "\n" not in str(refused.value)
    assert KEY not in str(refused.value)


def test_missing_keys_file_stops_the_start(tmp_path: Path) -> None:
    """A misspelt path must not leave the service without keys."""
    with pytest.raises(StartupError, match=r"cannot read .*nowhere"):
        ApiKeys("", tmp_path / "nowhere")
    with pytest.raises(StartupError, match="cannot read"):
        build_service(Settings(api_keys_file=tmp_path))


def test_command_makes_a_key() -> None:
    """It prints a random key of 256 bits and its hash."""
    command = [sys.executable, "-m", "service.keys"]
    outputs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    key, key_hash = (line.split()[1] for line in outputs[0].splitlines())
    assert sha256(key.encode()).hexdigest() == key_hash
    assert len(key) == len("menagerie_") + 43
    assert outputs[0] != outputs[1]
    assert is_accepted(ApiKeys(key_hash, None), key)


@pytest.mark.parametrize(("hashes", "is_logged"), [("", True), (HASH, False)], ids=["none", "one"])
def test_start_without_keys_is_logged(hashes: str, is_logged: bool) -> None:
    """One line."""
    with serving(MENAGERIE_API_KEYS=hashes) as server:
        server.process.terminate()
        log = server.process.communicate(timeout=60)[1]
    assert log.count("no API keys are set") == is_logged


def test_no_route_changes_state() -> None:
    """A route that does would need an admin key: adding one is a decision to make here.

    Those to load and unload models only say what to do instead.
    """
    verbs = ("/predict", "/explain", "/infer", ":predict", ":classify", ":regress", ":explain", "/v2/repository/index")
    refused = ("/load", "/unload")
    for route in ROUTES:
        assert route.method == "GET" or (route.method == "POST" and route.path.endswith(verbs + refused)), route


def test_401_is_not_cached(keyed_server: Server) -> None:
    """It has the Cache-Control and the request id of every response."""
    response = requests.post(f"{keyed_server.url}/predict", GOOD, headers=JSON, timeout=10)
    assert response.headers["Cache-Control"] == "no-store"
    assert json.loads(response.content)["request_id"] == response.headers["X-Request-ID"]
