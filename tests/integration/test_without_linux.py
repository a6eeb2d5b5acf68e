"""The service where the names, /proc and /dev/shm that only Linux has are missing, as on macOS; there it is not run."""

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
from support.bad_input import GOOD
from support.gunicorn_server import (
    GUNICORN,
    ROOT,
    Server,
    environment,
    free_port,
    parse_log,
    serving,
)
from support.handmade_bundles import Network, publish
from support.known_animals import KNOWN, named
from support.waiting import await_true

JSON = {"Content-Type": "application/json"}
WITHOUT_LINUX = {"PYTHONPATH": str(ROOT / "tests" / "support" / "without_linux")}
SYSTEMS = {"names hidden": WITHOUT_LINUX, "as macOS": WITHOUT_LINUX | {"PRETENDED_PLATFORM": "darwin"}}


def test_the_names_are_hidden() -> None:
    """Else the other tests of this file prove nothing."""
    program = """
import os, pathlib, resource, socket, sys
names = hasattr(os, "memfd_create"), hasattr(socket, "TCP_USER_TIMEOUT"), hasattr(resource, "prlimit")
assert names == (False,) * 3, names
assert not pathlib.Path("/proc").exists() and not os.path.isdir("/dev/shm")
try:
    open("/proc/self/statm")
except FileNotFoundError:
    print(sys.platform)
"""
    for settings, platform in zip(SYSTEMS.values(), ("linux", "darwin"), strict=True):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment(**settings), capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{platform}\n"


@pytest.fixture(params=SYSTEMS.values(), ids=list(SYSTEMS))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    bundle = publish(tmp_path, Network.random((3, 4, 2)))
    settings = {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODEL_NAME": bundle.manifest.name}
    with serving(MENAGERIE_POLL_SECONDS="0.1", MENAGERIE_DRAIN_SECONDS="1", **settings, **request.param) as ready:
        yield ready


def has_sample(server: Server, name: str) -> bool:
    """Whether a metric has a sample that is not 0; each worker counts a little later than it responds."""
    lines = requests.get(f"{server.url}/metrics", timeout=30).text.splitlines()
    return any(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_it_serves_and_drains(server: Server, tmp_path: Path) -> None:
    """Every kind of route, metrics with memory and drift, a new version, and an end that loses no request."""
    predict = partial(requests.post, f"{server.url}/predict", json={"features": [0.5, -1, 2]}, timeout=30)
    assert predict().ok
    assert requests.post(f"{server.url}/predict", json={"features": [1]}, timeout=30).status_code == 422
    assert requests.post(f"{server.url}/explain", json={"features": [0.5, -1, 2]}, timeout=30).ok
    for path in ("/", "/model", "/health", "/docs", "/openapi.json", "/drift"):
        assert requests.get(f"{server.url}{path}", timeout=30).ok, path
    second = publish(tmp_path / "other", Network.random((3, 4, 2), seed=2), version=2)
    second.folder.rename(tmp_path / second.manifest.name / "2")
    deadline = time.monotonic() + 60
    while predict().json()["model"]["version"] != "2":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for name in ("menagerie_requests_total", "menagerie_worker_resident_memory_bytes", "menagerie_drift_rows"):
        await_true(partial(has_sample, server, name))
    server.process.terminate()
    answers = set()
    while server.process.poll() is None:
        try:
            answer = predict()
        except requests.ConnectionError:
            break
        answers.add((answer.status_code, answer.headers.get("Connection")))
    assert (200, "close") in answers
    assert answers <= {(200, "close"), (200, None)}  # a worker answers until it has the signal as well
    assert server.process.wait(30) == 0


def test_the_log_says_what_is_missing_once() -> None:
    """In one line; the start needs no other, and memory is in bytes where the system counts it in KiB."""
    with serving(**WITHOUT_LINUX) as server:
        deadline = time.monotonic() + 30
        memory: list[str] = []
        while not memory:
            assert time.monotonic() < deadline
            lines = requests.get(f"{server.url}/metrics", timeout=30).text.splitlines()
            memory = [line for line in lines if line.startswith("menagerie_worker_resident_memory_bytes{")]
        server.process.terminate()
        log = parse_log(server.process.communicate(timeout=60)[1])
    assert 2e7 < float(memory[0].rpartition(" ")[2]) < 1e9
    assert [line["message"] for line in log if "this system has no" in line["message"]] == [
        "this system has no TCP_INFO and no TCP_USER_TIMEOUT: an overloaded service may respond too late"
    ]
    assert [line for line in log if line["level"] in {"warning", "error", "critical"}] == []


@pytest.mark.parametrize("settings", SYSTEMS.values(), ids=list(SYSTEMS))
def test_a_model_that_crashes_is_refused(store: Path, settings: dict[str, str]) -> None:
    """The sandbox works without limits on memory, and without a fork on macOS; each worker loads the model there."""
    network = store / "animals" / "1" / "model.tflite"
    network.write_bytes(network.read_bytes()[:-100])
    ended = subprocess.run(
        GUNICORN,
        cwd=ROOT,
        env=environment(MENAGERIE_MODEL_STORE=str(store), PORT=str(free_port()), **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    messages = [line["message"] for line in parse_log(ended.stderr) if line["level"] == "critical"]
    assert messages
    assert all("model.tflite does not match" in message for message in messages)


def test_a_reader_of_the_log_that_stalls_delays_no_request() -> None:
    """The pipe cannot be opened once more without /proc; lines are dropped as elsewhere."""
    with (
        serving(MENAGERIE_LOG_RATE="1e9", WEB_CONCURRENCY="1", **WITHOUT_LINUX) as server,
        requests.Session() as session,
    ):
        assert server.process.stderr
        fcntl.fcntl(server.process.stderr, fcntl.F_SETPIPE_SZ, 65_536)
        for _ in range(400):  # 300 bytes each
            assert session.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=10).ok


def test_tables_are_scored(tmp_path: Path) -> None:
    """`python -m service.score` counts the cores in another way."""
    table, output = tmp_path / "in.csv", tmp_path / "out.csv"
    animal = named(KNOWN["dog"])
    table.write_text(f"{','.join(animal)}\n{','.join(map(str, animal.values()))}\n")
    command = [sys.executable, "-m", "service.score", str(table), str(output)]
    subprocess.run(command, cwd=ROOT, env=environment(**SYSTEMS["as macOS"]), capture_output=True, check=True)
    assert "dog" in output.read_text()
