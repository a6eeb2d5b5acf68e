"""API keys: who has one may ask, in every protocol and on every way in; who has none may ask how the service is."""

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

from service.app import api_keys
from service.app.api_keys import ApiKeys
from service.app.flask_app import flask_app
from service.app.routes import ROUTES, build_service
from service.http.errors import StartupError, UnauthorizedError
from service.http.messages import Request
from service.settings import Settings

KEY, HASH = api_keys.make()
OTHER, OTHERS_HASH = api_keys.make()
JSON = {"Content-Type": "application/json"}
# Of a route of any kind, and of what is no route.
GUARDED = [
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
    ("GET", "/nowhere"),
    ("GET", "/v1/nowhere"),
    ("DELETE", "/predict"),
    ("OPTIONS", "/predict"),
    ("POST", "/livez"),
    ("PUT", "/v2/nowhere"),
]
OPEN = ["/", "/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"]


def ask(**headers: str) -> Request:
    return Request("GET", "/", {name.replace("_", "-"): value for name, value in headers.items()}, lambda: b"")


def lets_in(known: ApiKeys, key: str) -> bool:
    try:
        known.require(ask(x_api_key=key))
    except UnauthorizedError:
        return False
    return True


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serving(MENAGERIE_API_KEYS=f"{HASH},{OTHERS_HASH.upper()}", MENAGERIE_BODY_SECONDS="60") as ready:
        yield ready


@pytest.fixture(scope="module")
def guarded_client() -> FlaskClient:
    return flask_app(build_service(Settings(api_keys=HASH))).test_client()


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_key_nothing_is_told(guarded: Server, guarded_client: FlaskClient, method: str, path: str) -> None:
    """401 and how to do better, in the protocol's own words, whether or not there is something at the path."""
    given = {"X-Request-ID": "mine", **JSON}
    answer = requests.request(method, guarded.url + path, data=GOOD, headers=given, timeout=10)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="menagerie"'
    plain = guarded_client.open(path, method=method, data=GOOD, headers=given)
    assert (plain.status_code, plain.data) == (401, answer.content)
    assert plain.headers["WWW-Authenticate"] == answer.headers["WWW-Authenticate"]
    told = answer.json()
    if path.startswith("/v"):
        assert told.keys() == {"error"}
    else:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (told["type"], told["status"]) == ("urn:menagerie:problem:unauthorized", 401)


@pytest.mark.parametrize("path", OPEN)
def test_health_is_open(guarded: Server, guarded_client: FlaskClient, path: str) -> None:
    """Whoever watches over the service needs no key; neither does who asks what it is."""
    assert requests.get(guarded.url + path, timeout=10).status_code == 200
    assert requests.head(guarded.url + path, timeout=10).status_code == 200
    assert guarded_client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/explain", "/v2/models/animals/infer", "/nowhere"])
@pytest.mark.parametrize(
    "fields", ["Content-Length: 1000000", "Transfer-Encoding: chunked", "Content-Length: 9\r\nExpect: 100-continue"]
)
def test_without_a_key_no_body_is_waited_for(guarded: Server, path: str, fields: str) -> None:
    """Who may not ask is told so as soon as the head is there, and may send no body."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{fields}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=30) as caller:
        caller.sendall(head.encode())
        with HTTPResponse(caller) as answer:
            answer.begin()
            assert (answer.status, answer.getheader("Connection")) == (401, "close")


def test_an_open_path_minds_no_body(guarded: Server, guarded_client: FlaskClient) -> None:
    """Whatever is sent along with the question."""
    for method in ("GET", "HEAD"):
        asked = requests.request(method, f"{guarded.url}/health", data=GOOD, timeout=10)
        assert asked.status_code == guarded_client.open("/health", method=method, data=GOOD).status_code == 200


def test_what_is_wrong_with_a_version_is_not_for_everybody(store: Path) -> None:
    """Health tells everybody which versions are refused, and whoever has a key why."""
    (store / "animals" / "2").mkdir()
    guarded = flask_app(build_service(Settings(api_keys=HASH, model_store=store))).test_client()
    unguarded = flask_app(build_service(Settings(model_store=store))).test_client()
    told = unguarded.get("/health").get_json()["refused"]
    assert "manifest.json" in told["2"]
    assert guarded.get("/health", headers={"X-API-Key": KEY}).get_json()["refused"] == told
    for headers in ({}, {"X-API-Key": OTHER}):
        said = guarded.get("/health", headers=headers).get_json()["refused"]
        assert said == {"2": "ask with an API key to be told why"}


@pytest.mark.parametrize("key", [KEY, OTHER], ids=["the first", "the other"])
@pytest.mark.parametrize("given", ["Authorization: Bearer {}", "Authorization: bearer  {}", "X-API-Key: {}"])
def test_a_key_opens(guarded: Server, key: str, given: str) -> None:
    """Each of several, said in either way."""
    name, value = given.format(key).split(": ", 1)
    headers = {name: value, **JSON}
    assert requests.post(f"{guarded.url}/predict", GOOD, headers=headers, timeout=10).json()["label"] == "cat"
    assert requests.get(f"{guarded.url}/nowhere", headers=headers, timeout=10).status_code == 404
    assert requests.get(f"{guarded.url}/v2/models/animals", headers=headers, timeout=10).ok


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
        {"X-API-Key": OTHER[:-1], "Authorization": f"Bearer {KEY}"},
    ],
)
def test_what_is_no_key_opens_nothing(guarded: Server, headers: dict[str, str]) -> None:
    """Neither its beginning, nor its hash, nor a key in another place; and the answer does not repeat it."""
    answer = requests.post(f"{guarded.url}/predict", GOOD, headers={**headers, **JSON}, timeout=10)
    assert answer.status_code == 401
    assert "menagerie_" not in answer.text
    assert requests.get(f"{guarded.url}/predict?key={KEY}", timeout=10).status_code == 401


@given(st.text(st.characters(max_codepoint=255)))
def test_nobody_guesses(given: str) -> None:
    """Any header whatever is refused, and breaks nothing."""
    known = ApiKeys(HASH, None)
    for request in (ask(x_api_key=given), ask(authorization=f"Bearer {given}"), ask(authorization=given)):
        with pytest.raises(UnauthorizedError):
            known.require(request)


def test_keys_are_changed_while_it_serves(tmp_path: Path) -> None:
    """A new one is let in and an old one no more, in every worker, without a restart and without a request lost."""
    file = tmp_path / "keys"
    file.write_text(f"# the first\n{HASH}  # of Ann\n")
    # Lines of requests would fill the pipe, which nobody reads before the end, and the one looked for would be lost.
    with serving(MENAGERIE_API_KEYS_FILE=str(file), MENAGERIE_LOG_RATE="0") as server:

        def status(key: str) -> int:  # by a new connection each time, so that either worker may be met
            return requests.get(f"{server.url}/model", headers={"X-API-Key": key}, timeout=10).status_code

        def await_statuses(first: int, second: int) -> None:
            deadline, alike = time.monotonic() + 20, 0
            while alike < 20:
                assert time.monotonic() < deadline
                alike = alike + 1 if (status(KEY), status(OTHER)) == (first, second) else 0
                time.sleep(0 if alike else 0.05)

        await_statuses(200, 401)
        replace(file, f"{HASH}\n{OTHERS_HASH}\n")
        await_statuses(200, 200)
        replace(file, OTHERS_HASH)
        await_statuses(401, 200)
        server.process.terminate()
        said = server.process.communicate(timeout=60)[1]
    assert f"{file} has changed: 2 API keys are known now" in said
    assert not any(secret in said for secret in (KEY, OTHER, HASH, OTHERS_HASH))


def replace(file: Path, content: str) -> None:
    """As one should: whoever reads it meets the old content or the new, never half of it."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.replace(file)


@pytest.mark.parametrize(
    "breaking",
    [lambda file: replace(file, "half a ha"), lambda file: file.unlink(), lambda file: replace(file, "x" * 1_000_001)],
)
def test_a_broken_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, breaking: Callable[[Path], None]
) -> None:
    """Who was let in still is, nobody else is, the log says so once, and a mended file counts again."""
    monkeypatch.setattr(api_keys, "_CHECK_SECONDS", -1)
    file = tmp_path / "keys"
    file.write_text(HASH)
    known = ApiKeys("", file)
    breaking(file)
    for _ in range(3):
        assert lets_in(known, KEY)
        assert not lets_in(known, OTHER)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    replace(file, OTHERS_HASH)
    assert lets_in(known, OTHER)
    assert not lets_in(known, KEY)
    replace(file, "# all are withdrawn")
    assert not lets_in(known, OTHER)


def test_a_file_is_not_looked_at_for_every_request(tmp_path: Path) -> None:
    """Once a second will do."""
    file = tmp_path / "keys"
    file.write_text(HASH)
    known = ApiKeys(OTHERS_HASH, file)
    file.unlink()
    assert lets_in(known, KEY)
    assert lets_in(known, OTHER)


@pytest.mark.parametrize(
    ("fixed", "content", "told"),
    [
        (HASH[:-1], None, "hash 1 in MENAGERIE_API_KEYS is no SHA-256"),
        (f"{HASH},{KEY}", None, "hash 2 in MENAGERIE_API_KEYS is no SHA-256"),
        (",", None, "there is no key in MENAGERIE_API_KEYS"),
        ("", "", "there is no key in "),
        ("", "# none\n", "there is no key in "),
        ("", "\xff", "is no SHA-256"),
        ("", f"{HASH} Ann", "hash 2 in "),
        ("", "x" * 2_000_000, "is longer than"),
    ],
    ids=range(8),
)
def test_what_is_no_hash_stops_the_start(tmp_path: Path, fixed: str, content: str | None, told: str) -> None:
    """One line says which, and does not repeat what may be a key."""
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content, encoding="latin-1")
    with pytest.raises(StartupError, match=told) as refused:
        ApiKeys(fixed, None if content is None else file)
    assert "\n" not in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """A misspelt path must not leave the service open."""
    with pytest.raises(StartupError, match=r"cannot read .*nowhere"):
        ApiKeys("", tmp_path / "nowhere")
    with pytest.raises(StartupError, match="cannot read"):
        build_service(Settings(api_keys_file=tmp_path))


def test_a_key_is_made_by_one_command() -> None:
    """It prints a key of 256 bits and its hash, another each time."""
    command = [sys.executable, "-m", "service.keys"]
    made = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    key, known = (line.split()[1] for line in made[0].splitlines())
    assert sha256(key.encode()).hexdigest() == known
    assert len(key) == len("menagerie_") + 43
    assert made[0] != made[1]
    assert lets_in(ApiKeys(known, None), key)


@pytest.mark.parametrize(("hashes", "said"), [("", True), (HASH, False)], ids=["none", "one"])
def test_a_service_without_keys_says_so(hashes: str, said: bool) -> None:
    """One line at the start."""
    with serving(MENAGERIE_API_KEYS=hashes) as server:
        server.process.terminate()
        log = server.process.communicate(timeout=60)[1]
    assert log.count("no API keys are set") == said


def test_nothing_that_is_asked_changes_anything() -> None:
    """There is no route that an admin key would have to guard; whoever adds one has to think of that here."""
    verbs = ("/predict", "/explain", "/infer", ":predict", ":classify", "/v2/repository/index")
    for route in ROUTES:
        assert route.method == "GET" or (route.method == "POST" and route.path.endswith(verbs)), route


def test_a_guarded_answer_is_not_kept(guarded: Server) -> None:
    """Neither by a cache nor for another caller: a refusal carries what every answer does."""
    answer = requests.post(f"{guarded.url}/predict", GOOD, headers=JSON, timeout=10)
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.content)["request_id"] == answer.headers["X-Request-ID"]
