"""Several models under real gunicorn: each answers as it does alone, and none takes another down."""

import json
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from support import headed_bundles, mixed_bundles
from support.gunicorn_server import (
    Server,
    await_message,
    await_workers,
    free_port,
    parse_log,
    serving,
    starting,
    workers,
)
from support.handmade_bundles import Network, publish
from support.named_bundles import publish_named, rename_into

from models.bundle import CURRENT, Bundle
from service.settings import SHIPPED_STORE

MODELS = ("handmade", "headed", "mixed")  # of the formats 1, 2 and 3
ROWS: Mapping[str, list[list[Any]]] = {
    "handmade": [[0.5, -1, 2], [1, 1, 1]],
    "headed": [[0.5, -1, 2, 0], [3, -3, 0.25, 1]],
    "mixed": [list(row) for row in mixed_bundles.raw_rows(2)],
}
ROW = {"features": [0.5, -1, 2]}
TIMEOUT = 30


class Answer(NamedTuple):
    """What a client compares; an id is of one request only."""

    status: int
    media_type: str
    body: Any


class Servers(NamedTuple):
    together: Server
    alone: Mapping[str, Server]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    publish(store, Network.random((3, 4, 2), seed=1))
    headed_bundles.publish(store, headed_bundles.SEVERAL, features=4)
    mixed_bundles.publish(store)
    return store


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast path", "no fast path"])
def servers(store: Path, request: pytest.FixtureRequest) -> Iterator[Servers]:
    settings = {
        "MENAGERIE_MODEL_STORE": str(store),
        "WEB_CONCURRENCY": "1",
        "MENAGERIE_FAST_PATH": request.param,
        "MENAGERIE_POLL_SECONDS": "0",
    }
    with ExitStack() as stack:
        together = stack.enter_context(serving(MENAGERIE_MODELS="mixed,headed,handmade", **settings))
        alone = {name: stack.enter_context(serving(MENAGERIE_MODEL_NAME=name, **settings)) for name in MODELS}
        yield Servers(together, alone)


def ask(server: Server, method: str, path: str, body: bytes | None = None) -> Answer:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    response = requests.request(method, server.url + path, data=body, headers=headers, timeout=TIMEOUT)
    document = response.json()
    if isinstance(document, dict):
        document.pop("request_id", None)
    return Answer(response.status_code, response.headers["Content-Type"], document)


def bodies(name: str) -> Mapping[str, tuple[bytes, ...]]:
    """Valid and invalid bodies for the paths of a model, by protocol."""
    one, two = ROWS[name]
    foreign = [0.5] * 11
    bad: tuple[bytes, ...] = (b"", b"{", b"[]", b"{}", b'{"features": [NaN]}')
    tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    native = [{"features": one}, {"instances": [one, two]}, {"features": foreign}, {"instances": []}]
    return {
        "native": (*(json.dumps(each).encode() for each in native), *bad),
        "tfserving": (
            *(json.dumps({"instances": rows}).encode() for rows in ([one], [one, two], [foreign], [])),
            *bad,
        ),
        "oip": (json.dumps({"inputs": [tensor]}).encode(), *bad),
    }


@pytest.mark.parametrize("name", MODELS)
def test_each_model_answers_as_it_does_alone(servers: Servers, name: str) -> None:
    """To the last bit, in every protocol, requests that are refused included."""
    alone, together, sent = servers.alone[name], servers.together, bodies(name)
    native = [
        *(("POST", "/predict", body) for body in sent["native"]),
        *(("POST", "/explain", body) for body in sent["native"]),
        *(("GET", path, None) for path in ("/predict", "/page/report")),
    ]
    statuses = set()
    for method, path, body in native:
        expected = ask(alone, method, path, body)
        assert ask(together, method, f"/models/{name}{path}", body) == expected, (path, body)
        statuses.add(expected.status)
    assert ask(together, "GET", f"/models/{name}") == ask(alone, "GET", "/model")
    v1, v2 = f"/v1/models/{name}", f"/v2/models/{name}"
    same = [
        *(("POST", f"{v1}:{verb}", body) for verb in ("predict", "explain") for body in sent["tfserving"]),
        *(("POST", f"{v1}:{verb}", body) for verb in ("classify", "regress") for body in sent["native"]),
        *(("POST", f"{v2}/infer", body) for body in sent["oip"]),
        *(("POST", f"{v2}/infer", body) for body in infer_bodies(alone, name)),
        *(("GET", path, None) for path in (v1, v2, f"{v1}/metadata", f"{v2}/config", f"{v2}/ready")),
        *(("GET", path, None) for path in (f"{v1}/versions/1", f"{v2}/versions/1", f"{v2}/versions/7")),
    ]
    for method, path, body in same:
        expected = ask(alone, method, path, body)
        assert ask(together, method, path, body) == expected, (path, body)
        statuses.add(expected.status)
    assert {200, 400, 404, 405, 422} <= statuses


def infer_bodies(server: Server, name: str) -> list[bytes]:
    """A request with a tensor for each input of the model, as its metadata say."""
    row = iter(ROWS[name][0])
    tensors = []
    for tensor in ask(server, "GET", f"/v2/models/{name}").body["inputs"]:
        width = tensor["shape"][1]
        data = [next(row) for _ in range(width)]
        tensors.append({"name": tensor["name"], "datatype": tensor["datatype"], "shape": [1, width], "data": data})
    return [json.dumps({"inputs": tensors}).encode()]


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_default_model_is_the_first_of_the_list(servers: Servers, path: str) -> None:
    """Its paths have a name or none."""
    body = json.dumps({"features": ROWS["mixed"][0]}).encode()
    expected = ask(servers.together, "POST", path, body)
    assert (expected.status, ask(servers.together, "POST", f"/models/mixed{path}", body)) == (200, expected)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/none/predict"),
        ("POST", "/models/none/explain"),
        ("GET", "/models/none"),
        ("GET", "/models/none/drift"),
        ("GET", "/models/none/openapi.json"),
        ("POST", "/v1/models/none:predict"),
        ("GET", "/v1/models/none"),
        ("POST", "/v2/models/none/infer"),
        ("GET", "/v2/models/none/ready"),
    ],
)
def test_unknown_model_gets_404_with_the_known_ones(servers: Servers, method: str, path: str) -> None:
    """In the form of the protocol."""
    answer = ask(servers.together, method, path, b"{}" if method == "POST" else None)
    message = answer.body["error"] if path.startswith("/v") else answer.body["detail"]
    assert (answer.status, message) == (404, "model not found: this service serves handmade, headed, mixed")


def await_status(url: str, status: int, seconds: float = 60) -> None:
    """Return once ten new connections in a row get the status; 0 if nobody listens."""
    deadline, seen, now = time.monotonic() + seconds, 0, -1
    while seen < 10:
        try:
            now = requests.get(url, timeout=10).status_code
        except requests.ConnectionError:
            now = 0
        seen = seen + 1 if now == status else 0
        assert time.monotonic() < deadline, (url, now)


@pytest.mark.parametrize("needed", ["all", "any"])
def test_readiness_follows_the_models_on_both_ports(tmp_path: Path, needed: str) -> None:
    """Liveness does not; a model that is repaired is served without a restart."""
    for name in ("cats", "dogs"):
        publish_named(tmp_path, name)
    (tmp_path / "dogs" / CURRENT).write_text("none")
    port, health_port = free_port(), free_port()
    settings = {
        "MENAGERIE_MODEL_STORE": str(tmp_path),
        "MENAGERIE_MODELS": "cats,dogs",
        "MENAGERIE_READY": needed,
        "MENAGERIE_HEALTH_PORT": str(health_port),
        "MENAGERIE_POLL_SECONDS": "0.2",
    }
    service, probe = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}"
    with starting("--bind", f"127.0.0.1:{port}", **settings) as process:
        await_status(f"{service}/readyz", 200 if needed == "any" else 503)
        await_status(f"{probe}/readyz", 200 if needed == "any" else 503)
        models = {"ready": ["cats"], "unavailable": ["dogs"]}
        assert requests.get(f"{service}/readyz", timeout=TIMEOUT).json()["models"] == models
        assert requests.get(f"{probe}/livez", timeout=TIMEOUT).status_code == 200
        assert requests.post(f"{service}/predict", json=ROW, timeout=TIMEOUT).ok
        if needed == "all":
            detail = requests.get(f"{probe}/readyz", timeout=TIMEOUT).json()["detail"]
            assert detail.startswith("no worker accepts connections and has its models")
        (tmp_path / "dogs" / CURRENT).unlink()
        await_status(f"{service}/readyz", 200)
        await_status(f"{probe}/readyz", 200)
        await_status(f"{service}/v2/models/dogs/ready", 200)
        process.terminate()
        assert process.wait(30) == 0


def test_start_message_names_the_models(tmp_path: Path) -> None:
    """And the curl command asks a model that is there."""
    for name in ("cats", "dogs"):
        publish_named(tmp_path, name)
    (tmp_path / "cats" / CURRENT).write_text("none")
    publish_named(tmp_path, "owls")
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODELS": "cats,owls,dogs"}
    with starting("--bind", f"127.0.0.1:{free_port()}", WEB_CONCURRENCY="1", **settings) as process:
        message = await_message(process, "serving")
    assert message.startswith("serving dogs 1, owls 1 at http://")
    assert "/models/dogs/predict -H" in message


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"MENAGERIE_MODELS": "cats,dogs"}, "none of 2 models can be loaded; cats: "),
        ({"MENAGERIE_MODELS": "*"}, "none of 2 models can be loaded; cats: "),
        ({"MENAGERIE_MODELS": "cats"}, "CURRENT must contain a version number only"),
        ({"MENAGERIE_MODELS": "cats,,dogs"}, "MENAGERIE_MODELS is invalid: '' is not the name of a model"),
        ({"MENAGERIE_MODELS": "cats", "MENAGERIE_MODEL_DIR": "x"}, "MENAGERIE_MODEL_DIR exclude each other"),
    ],
)
def test_service_that_cannot_start_says_why_in_one_line(
    tmp_path: Path, settings: Mapping[str, str], reason: str
) -> None:
    for name in ("cats", "dogs"):
        publish_named(tmp_path, name)
        (tmp_path / name / CURRENT).write_text("none")
    with starting("--bind", "127.0.0.1:0", MENAGERIE_MODEL_STORE=str(tmp_path), **settings) as process:
        log = parse_log(process.communicate(timeout=60)[1])
        assert process.returncode == 1
    errors = [line["message"] for line in log if line["level"] not in {"info", "warning"}]
    assert len(errors) == 1, log
    assert reason in errors[0]


def replace_workers(server: Server) -> None:
    """SIGHUP, and wait until all workers are new ones."""
    old = workers(server)
    server.process.send_signal(signal.SIGHUP)
    await_workers(server, lambda now: len(now) == len(old) and not set(now) & set(old))


def test_new_workers_look_at_the_store_at_once(tmp_path: Path) -> None:
    """They have the models as they were when the service started; a broken one keeps them from none of the others."""
    for name in ("cats", "dogs"):
        publish_named(tmp_path, name)
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODELS": "*", "MENAGERIE_POLL_SECONDS": "30"}
    with serving(WEB_CONCURRENCY="1", **settings) as server:
        publish_named(tmp_path, "owls")
        publish_named(tmp_path, "yaks")
        (tmp_path / "yaks" / CURRENT).write_text("none")
        shutil.rmtree(tmp_path / "dogs")
        replace_workers(server)
        await_states(server, {"cats": "ready", "owls": "ready", "yaks": "unavailable"}, seconds=20)
        assert requests.post(f"{server.url}/models/owls/predict", json=ROW, timeout=TIMEOUT).ok


def await_states(server: Server, expected: Mapping[str, str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (now := states(server)) != expected:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)


def states(server: Server) -> Mapping[str, str]:
    listed = requests.get(f"{server.url}/models", timeout=TIMEOUT).json()["models"]
    return {model["name"]: model["state"] for model in listed}


@pytest.mark.tensorflow
def test_keras_serves_several_models(tmp_path: Path) -> None:
    """Each worker loads them by itself; what it refuses takes no other down."""
    (tmp_path / "animals").symlink_to(SHIPPED_STORE / "animals")
    shipped = SHIPPED_STORE / "animals" / "1"
    rename_into(tmp_path, "beasts", lambda folder: Bundle.read(Path(shutil.copytree(shipped, folder / "1"))))
    publish_named(tmp_path, "cats")  # without a file for Keras
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODELS": "animals,beasts,cats"}
    body = {"features": [61, 78, 78, 47, 31, 14.5, 15.5, 38.4]}
    with serving(MENAGERIE_ENGINE="keras", MENAGERIE_READY="any", WEB_CONCURRENCY="1", **settings) as server:
        assert states(server) == {"animals": "ready", "beasts": "ready", "cats": "unavailable"}
        for path in ("/predict", "/models/beasts/predict"):
            assert requests.post(server.url + path, json=body, timeout=TIMEOUT).json()["label"] == "dog"
        (tmp_path / "animals").unlink()
        shutil.rmtree(tmp_path / "beasts")
        server.process.send_signal(signal.SIGHUP)
        await_message(server.process, "no new worker can start, keeping the old ones")
        assert requests.post(f"{server.url}/predict", json=body, timeout=TIMEOUT).ok
