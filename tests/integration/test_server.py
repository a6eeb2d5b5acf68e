"""The service under gunicorn: sockets, signals, and every way in which the start can fail."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from support import mixed_bundles
from support.bad_input import GOOD
from support.gunicorn_server import (
    GUNICORN,
    ROOT,
    Server,
    await_workers,
    environment,
    free_port,
    parse_log,
    serving,
    workers,
)
from support.known_animals import GREAT_DANE, KNOWN

JSON = {"Content-Type": "application/json"}


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    """Run gunicorn until it exits."""
    settings = {"PORT": str(free_port())} | settings
    return subprocess.run(
        GUNICORN, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )


def flip_bit(store: Path) -> None:
    path = store / "animals" / "1" / "model.tflite"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def change_golden_row(store: Path) -> None:
    path = store / "animals" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["golden"][0]["outputs"]["probabilities"][0] += 0.1
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "settings", "expected"),
    [
        (flip_bit, {}, "model.tflite"),
        (change_golden_row, {}, "fails its self-test"),
        (shutil.rmtree, {}, "no model in"),
        (None, {"MENAGERIE_MODEL_NAME": "plants"}, "no model in"),
        (None, {"MENAGERIE_MODEL_STOR": "x"}, "did you mean MENAGERIE_MODEL_STORE?"),
        (None, {"MENAGERIE_MAX_ROWS": "0"}, "MENAGERIE_MAX_ROWS"),
        (flip_bit, {"MENAGERIE_MODEL_STORE": "x" * 5000}, "(File name too long): name a folder that can be read"),
        (None, {"MENAGERIE_MODEL_STORE": "/etc/passwd"}, "no model in /etc/passwd/animals"),
    ],
)
def test_a_failed_start_is_one_line(
    store: Path, change: Callable[[Path], None] | None, settings: dict[str, str], expected: str
) -> None:
    """It names the cause; the exit code is not 0, there is no traceback, and gunicorn does not retry."""
    if change:
        change(store)
    ended = start(**({"MENAGERIE_MODEL_STORE": str(store)} | settings))
    assert ended.returncode != 0
    assert expected in ended.stderr
    assert "Traceback" not in ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line and '"level":"info"' not in line]
    assert len(lines) == 1, ended.stderr


def test_a_taken_port_fails_the_start(server: Server) -> None:
    """At once, with the port and what to do."""
    ended = start(PORT=str(server.port), GUNICORN_CMD_ARGS=f"--bind 127.0.0.1:{server.port}")
    assert ended.returncode == 1
    assert parse_log(ended.stderr)[-1]["message"] == (
        f"menagerie: cannot listen on 127.0.0.1:{server.port} (Address already in use): "
        "set PORT or --bind to a free port"
    )


def publish_apostrophes(store: Path) -> None:
    """A model whose golden rows have characters that mean something to a shell."""
    mixed_bundles.publish(store, rows=[(*row[:-1], "O'Brien $(exit 1)") for row in mixed_bundles.raw_rows(400)])


@pytest.mark.parametrize("publish", [None, publish_apostrophes], ids=["animals", "apostrophes"])
def test_the_start_message_has_a_working_command(publish: Callable[[Path], None] | None, tmp_path: Path) -> None:
    """The URL, and a curl line that works as it is."""
    port = str(free_port())
    settings = {"PORT": port}
    if publish:
        publish(tmp_path)
        settings |= {"MENAGERIE_MODEL_STORE": str(tmp_path), "MENAGERIE_MODEL_NAME": "mixed"}
    with subprocess.Popen(
        GUNICORN, cwd=ROOT, env=environment(**settings), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        log = ""
        for line in process.stderr:
            log += line
            curl = json.loads(line)["message"].partition("\n")[2]
            if curl:
                break
        answer = subprocess.run(
            f"{curl} --silent --retry 9 --retry-connrefused", shell=True, capture_output=True, check=False
        )
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert f"http://localhost:{port}" in log
    assert answer.stdout.startswith(b'{"label":')
    assert process.returncode == 0


def test_web_concurrency_is_the_number_of_workers() -> None:
    """PORT is used in the tests of the start."""
    with serving(WEB_CONCURRENCY="3") as server:
        await_workers(server, lambda now: len(now) == 3)


def test_no_process_holds_tensorflow(server: Server) -> None:
    """Serving maps neither TensorFlow nor Keras into memory."""
    assert requests.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=5).ok
    for pid in (server.process.pid, *workers(server)):
        assert "tensorflow" not in Path(f"/proc/{pid}/maps").read_text().replace("tensorflow_lite", "")


def test_a_chunked_body_is_read(server: Server) -> None:
    """A body of unknown length is read and bounded like any other."""
    answer = requests.post(f"{server.url}/predict", iter([GOOD[:20], GOOD[20:]]), headers=JSON, timeout=5)
    assert answer.json()["label"] == "cat"
    endless = (b" " * 1_000_000 for _ in range(6))
    assert requests.post(f"{server.url}/predict", endless, headers=JSON, timeout=5).status_code == 413


def test_limits_are_settings() -> None:
    """Rows, bytes and reported faults are bounded by the environment."""
    with serving(MENAGERIE_MAX_ROWS="2", MENAGERIE_MAX_BODY_BYTES="500", MENAGERIE_MAX_ERRORS="3") as server:
        url = f"{server.url}/predict"
        assert requests.post(url, json={"instances": [GREAT_DANE] * 2}, timeout=5).ok
        assert "1 to 2 rows" in requests.post(url, json={"instances": [GREAT_DANE] * 3}, timeout=5).json()["detail"]
        assert "500 bytes" in requests.post(url, b" " * 501, headers=JSON, timeout=5).json()["detail"]
        assert len(requests.post(url, json={"features": ["x"] * 8}, timeout=5).json()["errors"]) == 3


def test_requests_in_flight_are_answered_after_sigterm() -> None:
    """A request half received at SIGTERM is answered, however late; the exit code is 0."""
    with serving(MENAGERIE_DRAIN_SECONDS="0") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(GOOD)}"
            client.sendall(head.encode() + b"\r\n\r\n" + GOOD[:10])
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            client.sendall(GOOD[10:])
            client.settimeout(10)
            answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        assert server.process.wait(30) == 0


READINESS = [
    "/v2/health/ready",
    "/v2/models/animals/ready",
    "/v2/models/animals/versions/1/ready",
    "/v1/models/animals",
    "/v1/models/animals/versions/1",
]


def test_the_service_drains_after_sigterm() -> None:
    """For some seconds it is not ready and goes on answering; an idle connection delays nothing."""
    with serving(MENAGERIE_DRAIN_SECONDS="3") as server, socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        server.process.send_signal(signal.SIGTERM)
        await_all_leaving(server)
        ready, health = (requests.get(f"{server.url}{path}", timeout=5) for path in ("/readyz", "/health"))
        assert (ready.status_code, ready.json()["detail"]) == (503, "the service is shutting down")
        assert ready.headers["Retry-After"] == "1"
        assert (health.status_code, health.json()["ready"]) == (503, False)
        for path in READINESS:
            state = requests.get(server.url + path, timeout=5)
            assert (state.status_code, state.headers["Retry-After"]) == (503, "1"), path
            assert (state.json()["ready"], state.json()["error"]) == (False, "the service is shutting down")
            if path.startswith("/v1"):
                assert [each["state"] for each in state.json()["model_version_status"]] == ["UNLOADING"]
        for path in ("/livez", "/v2/health/live", "/v1/models", "/"):
            assert requests.get(server.url + path, timeout=5).status_code == 200, path
        answer = requests.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=5)
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert server.process.wait(10) == 0


def test_a_worker_that_is_still_starting_ends_with_the_service(tmp_path: Path) -> None:
    """Gunicorn drops a SIGTERM that a worker gets before it has a handler; the worker would be killed after 25 s."""
    config = tmp_path / "slow.conf.py"
    own = ROOT / "service" / "gunicorn.conf.py"
    slow = "def post_fork(server, worker):\n    import time\n    time.sleep(3 * (worker.age > 1))\n"
    config.write_text(f"exec(compile({own.read_text()!r}, {str(own)!r}, 'exec'))\n{slow}")
    with serving("--config", str(config), WEB_CONCURRENCY="2") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0


def await_all_leaving(server: Server) -> None:
    """Return once twenty new connections in a row, spread over the workers, get 503 from ``/readyz``."""
    seen = 0
    while seen < 20:
        seen = seen + 1 if requests.get(f"{server.url}/readyz", timeout=5).status_code == 503 else 0


def test_a_killed_worker_is_replaced(server: Server) -> None:
    """The service goes on answering with a new worker."""
    before = workers(server)
    subprocess.run(["kill", "-KILL", str(before[0])], check=True)
    await_workers(server, lambda now: before[0] not in now and len(now) == len(before))
    assert requests.get(f"{server.url}/readyz", timeout=5).ok


def test_concurrent_clients_get_their_own_responses(server: Server) -> None:
    """Sixteen clients with different animals never get each other's."""
    wrong: list[str] = []

    def call(label: str) -> None:
        with requests.Session() as session:
            for _ in range(50):
                answer = session.post(f"{server.url}/predict", json={"features": KNOWN[label]}, timeout=30)
                if answer.json()["label"] != label:
                    wrong.append(label)

    threads = [threading.Thread(target=call, args=(label,)) for label in list(KNOWN) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_long_batch_delays_no_single_row() -> None:
    """While one worker computes batches of 10,000 rows, many requests with a single row are answered."""
    batch = json.dumps({"instances": [GREAT_DANE] * 10_000}).encode()
    with serving(WEB_CONCURRENCY="1") as server, requests.Session() as single:
        url = f"{server.url}/predict"
        single.post(url, GOOD, headers=JSON, timeout=5)
        answered: list[int] = []

        def send_batches() -> None:
            answered.extend(requests.post(url, batch, headers=JSON, timeout=30).status_code for _ in range(5))

        batches = threading.Thread(target=send_batches)
        batches.start()
        meanwhile = 0
        while batches.is_alive():
            before = len(answered)
            assert single.post(url, GOOD, headers=JSON, timeout=30).json()["label"] == "cat"
            meanwhile += len(answered) == before
        batches.join()
    assert answered == [200] * 5
    assert meanwhile > 2 * len(answered)  # if each waited for a batch, there would be one for each


def test_workers_give_different_request_ids() -> None:
    """Although they are forks of one process."""
    with serving(WEB_CONCURRENCY="3") as server:
        await_workers(server, lambda now: len(now) == 3)
        ids = [requests.get(f"{server.url}/livez", timeout=5).headers["X-Request-ID"] for _ in range(60)]
    assert len(set(ids)) == 60


def test_flask_run_serves_the_application() -> None:
    """`flask --app service.app.flask_app run` is the same application."""
    port = str(free_port())
    command = [sys.executable, "-m", "flask", "--app", "service.app.flask_app", "run", "--port", port]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    answer = requests.post(f"http://127.0.0.1:{port}/predict", GOOD, headers=JSON, timeout=5)
                    break
                except requests.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert answer.json()["label"] == "cat"
