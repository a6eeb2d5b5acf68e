"""The log of a real service: its content and format, and that no request waits for it."""

import fcntl
import json
import os
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from support.bad_input import GOOD
from support.gunicorn_server import GUNICORN, ROOT, Server, await_ready, environment, free_port, parse_log, serving

JSON = {"Content-Type": "application/json"}
BROKEN = """
import threading, warnings
from service.app import asgi
from service.protocols.explain import Explain

def fail(part, request, depth=300):
    if depth:
        fail(part, request, depth - 1)
    warnings.warn("look out")
    threading.Thread(target=lambda: 1 / 0).start()
    raise ZeroDivisionError("so it is")

fail.routes = Explain.explain.routes
Explain.explain = fail
load_app = asgi.load_app
"""


def stop_and_read_log(server: Server) -> list[dict[str, Any]]:
    """End the service; all lines of its log."""
    server.process.terminate()
    return parse_log(server.process.communicate(timeout=60)[1])


def test_a_request_is_one_json_document() -> None:
    """With the fields that an operator needs; all other lines, gunicorn's included, have the same format."""
    with serving(MENAGERIE_DRAIN_SECONDS="0") as server:
        identified = {"X-Request-ID": "mine", "traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
        requests.post(f"{server.url}/predict?secret=1", GOOD, headers=JSON | identified, timeout=5)
        requests.post(f"{server.url}/v2/models/plants/infer", b"{", headers=JSON, timeout=5)
        requests.get(f"{server.url}/no\x1b[31mwhere?secret=1", timeout=5)
        lines = stop_and_read_log(server)
    assert all({"time", "level", "logger", "pid", "message"} <= line.keys() for line in lines)
    requested = [line for line in lines if "method" in line and line.get("route") != "/readyz"]
    good, unknown, nowhere = sorted(requested, key=lambda line: line["time"])  # each worker writes ten times a second
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", good["time"])
    assert abs((datetime.fromisoformat(good["time"]) - datetime.now(UTC)).total_seconds()) < 60
    assert re.fullmatch("[0-9a-f]{16}", good.pop("span_id"))
    assert 0 < good.pop("duration_ms") < 10_000
    assert isinstance(good.pop("pid"), int)
    del good["time"]
    assert good == {
        "level": "info",
        "logger": "menagerie.requests",
        "message": "POST /predict 200",
        "request_id": "mine",
        "trace_id": "a" * 32,
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "rows": 1,
        "model": "animals",
        "version": 1,
    }
    assert (unknown["route"], unknown["status"], unknown["error"]) == ("/v2/models/{model}/infer", 404, "no-model")
    assert (nowhere["path"], nowhere["status"], nowhere["error"]) == (r"/no\x1b[31mwhere", 404, "not-found")
    assert {"gunicorn.error", "menagerie.requests"} == {line["logger"] for line in lines}


def test_each_internal_error_is_one_line(tmp_path: Path) -> None:
    """A traceback with the request id, an uncaught exception of a thread, a warning of Python's."""
    (tmp_path / "broken.py").write_text(BROKEN)
    with serving("broken:load_app()", PYTHONPATH=str(tmp_path), MENAGERIE_DRAIN_SECONDS="0") as server:
        headers = JSON | {"X-Request-ID": "mine"}
        assert requests.post(f"{server.url}/explain", GOOD, headers=headers, timeout=5).status_code == 500
        lines = stop_and_read_log(server)
    (traceback,) = (line for line in lines if line["message"] == "request mine failed")
    assert (traceback["level"], traceback["request_id"]) == ("error", "mine")
    assert traceback["exception"].startswith("Traceback")
    assert traceback["exception"].endswith("\nZeroDivisionError: so it is")
    (answered,) = (line for line in lines if line["message"] == "POST /explain 500")
    assert (answered["level"], answered["request_id"], answered["error"]) == ("error", "mine", "internal")
    (uncaught,) = (line for line in lines if line["message"] == "uncaught exception: a thread exits")
    assert uncaught["exception"].endswith("\nZeroDivisionError: division by zero")
    (warned,) = (line for line in lines if "look out" in line["message"])
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")


def send_at_once(server: Server, count: int, clients: int = 8) -> None:
    def send(client: int) -> None:
        with requests.Session() as session:
            for number in range(count // clients):
                headers = JSON | {
                    "X-Request-ID": f"{client}-{number}",
                    "Connection": ["close", "keep-alive"][number % 2],
                }
                assert session.post(f"{server.url}/predict", GOOD, headers=headers, timeout=10).ok

    threads = [threading.Thread(target=send, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def start_reading(server: Server) -> tuple[list[str], threading.Thread]:
    """The lines that a thread reads from the log as they are written, and the thread."""
    read: list[str] = []
    assert server.process.stderr
    thread = threading.Thread(target=read.extend, args=(server.process.stderr,))
    thread.start()
    return read, thread


def test_lines_of_workers_do_not_mix() -> None:
    """Three workers write into one pipe at the same time: each request is there, once and complete."""
    with serving(MENAGERIE_LOG_RATE="1e9", MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="3") as server:
        read, thread = start_reading(server)
        send_at_once(server, 1600)
        server.process.terminate()
        thread.join()
    lines = [json.loads(line) for line in read]
    asked = Counter(line["request_id"] for line in lines if line.get("route") == "/predict")
    assert asked == Counter(f"{client}-{number}" for client in range(8) for number in range(200))


def test_lines_beyond_the_rate_are_left_out_and_counted() -> None:
    """Lines and the requests that they count as left out are all requests."""
    with serving(MENAGERIE_LOG_RATE="5", MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="1") as server:
        read, thread = start_reading(server)
        send_at_once(server, 400)
        requests.get(f"{server.url}/nowhere", timeout=5)
        server.process.terminate()
        thread.join()
    lines = [line for line in map(json.loads, read) if line.get("method")]
    of_readiness = sum(line.get("route") == "/readyz" for line in lines)
    assert len(lines) < 200
    assert len(lines) - of_readiness + sum(line.get("left_out", 0) for line in lines) >= 401
    assert sum(line.get("left_out", 0) for line in lines) + len(lines) <= 401 + of_readiness + 100


def test_an_unread_log_delays_no_request() -> None:
    """Once the pipe is full, lines are dropped and counted; requests are answered as before."""
    with serving(MENAGERIE_LOG_RATE="1e9", MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="1") as server:
        assert server.process.stderr
        fcntl.fcntl(server.process.stderr, fcntl.F_SETPIPE_SZ, 65_536)
        send_at_once(server, 800)  # 300 bytes each
        read, thread = start_reading(server)
        await_silence(read)
        requests.get(f"{server.url}/nowhere", timeout=5)
        server.process.terminate()
        thread.join()
    lines = [json.loads(line) for line in read]
    written = sum(line.get("route") == "/predict" for line in lines)
    (lost,) = (line["message"] for line in lines if "log lines were dropped" in line["message"])
    assert written < 800
    assert int(lost.split()[0]) == 800 - written


def await_silence(read: list[str]) -> None:
    before = -1
    while len(read) != before:
        before = len(read)
        time.sleep(0.5)


def run_on_a_terminal(send: Callable[[str], object], **settings: str) -> str:
    """The log of a service on a terminal that gets some requests."""
    ours, terminal = os.openpty()
    port = free_port()
    command = [*GUNICORN, "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(**settings), stderr=terminal, text=True) as process:
        os.close(terminal)
        chunks: list[bytes] = []

        def read() -> None:
            try:
                while chunk := os.read(ours, 65536):
                    chunks.append(chunk)
            except OSError:  # how a terminal ends
                pass

        thread = threading.Thread(target=read)
        thread.start()
        await_ready(Server(f"http://127.0.0.1:{port}", port, process))
        send(f"http://127.0.0.1:{port}")
        process.terminate()
        process.wait(30)
        thread.join()
    os.close(ours)
    return b"".join(chunks).decode()


def test_a_terminal_gets_text() -> None:
    """The curl command has a line of its own; MENAGERIE_LOG_FORMAT=json holds there too."""

    def send(url: str) -> None:
        requests.get(f"{url}/nowhere", headers={"X-Request-ID": "mine"}, timeout=5)

    text = run_on_a_terminal(send, MENAGERIE_DRAIN_SECONDS="0")
    assert re.search(
        r"^\[[\d: +-]+\] \[\d+\] \[INFO\] GET '/nowhere' 404 request_id=mine duration_ms=[\d.]+ error=not-found\r$",
        text,
        re.MULTILINE,
    )
    assert re.search(r"^curl http://localhost", text, re.MULTILINE)
    assert parse_log(run_on_a_terminal(send, MENAGERIE_DRAIN_SECONDS="0", MENAGERIE_LOG_FORMAT="json"))


def test_the_operators_log_configuration_wins(tmp_path: Path) -> None:
    """Gunicorn's settings override the service's: another file, another level."""
    file = tmp_path / "log"
    with serving("--log-file", str(file), "--log-level", "warning", MENAGERIE_DRAIN_SECONDS="0") as server:
        requests.get(f"{server.url}/nowhere", timeout=5)
        server.process.terminate()
        assert server.process.communicate(timeout=30)[1] == ""
    assert file.read_text() == ""
    with serving("--log-file", str(file), MENAGERIE_DRAIN_SECONDS="0") as server:
        requests.get(f"{server.url}/nowhere", timeout=5)
        server.process.terminate()
        server.process.communicate(timeout=30)
    assert "GET '/nowhere' 404" in {line["message"] for line in parse_log(file.read_text())}
