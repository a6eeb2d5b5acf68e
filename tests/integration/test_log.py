"""The log of a real service: what is in it, in which shape, and that nobody waits for it."""

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


def said(server: Server) -> list[dict[str, Any]]:
    """Everything that a service said, after its end."""
    server.process.terminate()
    return parse_log(server.process.communicate(timeout=60)[1])


def test_a_request_is_one_json_document() -> None:
    """With what an operator asks for; and all else that is said, gunicorn's included, has the same shape."""
    with serving(MENAGERIE_DRAIN_SECONDS="0") as server:
        given = {"X-Request-ID": "mine", "traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
        requests.post(f"{server.url}/predict?secret=1", GOOD, headers=JSON | given, timeout=5)
        requests.post(f"{server.url}/v2/models/plants/infer", b"{", headers=JSON, timeout=5)
        requests.get(f"{server.url}/no\x1b[31mwhere?secret=1", timeout=5)
        lines = said(server)
    assert all({"time", "level", "logger", "pid", "message"} <= line.keys() for line in lines)
    good, unknown, nowhere = (line for line in lines if "method" in line and line.get("route") != "/readyz")
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
        "version": 1,
    }
    assert (unknown["route"], unknown["status"], unknown["error"]) == ("/v2/models/{model}/infer", 404, "no-model")
    assert (nowhere["path"], nowhere["status"], nowhere["error"]) == (r"/no\x1b[31mwhere", 404, "not-found")
    assert {"gunicorn.error", "menagerie.requests"} == {line["logger"] for line in lines}


def test_what_goes_wrong_inside_is_one_line_each(tmp_path: Path) -> None:
    """A traceback with the request's id, an exception that nobody caught in a thread, a warning of Python's."""
    (tmp_path / "broken.py").write_text(BROKEN)
    with serving("broken:load_app()", PYTHONPATH=str(tmp_path), MENAGERIE_DRAIN_SECONDS="0") as server:
        headers = JSON | {"X-Request-ID": "mine"}
        assert requests.post(f"{server.url}/explain", GOOD, headers=headers, timeout=5).status_code == 500
        lines = said(server)
    (failed,) = (line for line in lines if line["message"] == "request mine failed")
    assert (failed["level"], failed["request_id"]) == ("error", "mine")
    assert failed["exception"].startswith("Traceback")
    assert failed["exception"].endswith("\nZeroDivisionError: so it is")
    (answered,) = (line for line in lines if line["message"] == "POST /explain 500")
    assert (answered["level"], answered["request_id"], answered["error"]) == ("error", "mine", "internal")
    (uncaught,) = (line for line in lines if line["message"] == "a thread ends")
    assert uncaught["exception"].endswith("\nZeroDivisionError: division by zero")
    (warned,) = (line for line in lines if "look out" in line["message"])
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")


def ask_at_once(server: Server, count: int, callers: int = 8) -> None:
    def ask(caller: int) -> None:
        with requests.Session() as session:
            for number in range(count // callers):
                headers = JSON | {
                    "X-Request-ID": f"{caller}-{number}",
                    "Connection": ["close", "keep-alive"][number % 2],
                }
                assert session.post(f"{server.url}/predict", GOOD, headers=headers, timeout=10).ok

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def reading(server: Server) -> tuple[list[str], threading.Thread]:
    """A thread that reads the log as it comes, and what it has read."""
    read: list[str] = []
    assert server.process.stderr
    thread = threading.Thread(target=read.extend, args=(server.process.stderr,))
    thread.start()
    return read, thread


def test_lines_of_workers_do_not_mix() -> None:
    """Three of them, at the same time, into the same pipe: each request is there, once and whole."""
    with serving(MENAGERIE_LOG_RATE="1e9", MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="3") as server:
        read, thread = reading(server)
        ask_at_once(server, 1600)
        server.process.terminate()
        thread.join()
    lines = [json.loads(line) for line in read]
    asked = Counter(line["request_id"] for line in lines if line.get("route") == "/predict")
    assert asked == Counter(f"{caller}-{number}" for caller in range(8) for number in range(200))


def test_at_high_load_some_are_left_out_and_counted() -> None:
    """Lines, and what they say was left out, are all requests."""
    with serving(MENAGERIE_LOG_RATE="5", MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="1") as server:
        read, thread = reading(server)
        ask_at_once(server, 400)
        requests.get(f"{server.url}/nowhere", timeout=5)
        server.process.terminate()
        thread.join()
    lines = [line for line in map(json.loads, read) if line.get("method")]
    of_readiness = sum(line.get("route") == "/readyz" for line in lines)
    assert len(lines) < 200
    assert len(lines) - of_readiness + sum(line.get("left_out", 0) for line in lines) >= 401
    assert sum(line.get("left_out", 0) for line in lines) + len(lines) <= 401 + of_readiness + 100


def test_a_log_that_nobody_reads_holds_up_nobody() -> None:
    """Once the pipe is full, lines are lost and counted; requests are answered as before."""
    with serving(MENAGERIE_LOG_RATE="1e9", MENAGERIE_DRAIN_SECONDS="0", WEB_CONCURRENCY="1") as server:
        assert server.process.stderr
        fcntl.fcntl(server.process.stderr, fcntl.F_SETPIPE_SZ, 65_536)
        ask_at_once(server, 800)  # 300 bytes each
        read, thread = reading(server)
        await_silence(read)
        requests.get(f"{server.url}/nowhere", timeout=5)
        server.process.terminate()
        thread.join()
    lines = [json.loads(line) for line in read]
    written = sum(line.get("route") == "/predict" for line in lines)
    (lost,) = (line["message"] for line in lines if "lines are lost" in line["message"])
    assert written < 800
    assert int(lost.split()[0]) == 800 - written


def await_silence(read: list[str]) -> None:
    before = -1
    while len(read) != before:
        before = len(read)
        time.sleep(0.5)


def on_a_terminal(ask: Callable[[str], object], **settings: str) -> str:
    """What a person sees of a service that is asked something."""
    ours, theirs = os.openpty()
    port = free_port()
    command = [*GUNICORN, "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(**settings), stderr=theirs, text=True) as process:
        os.close(theirs)
        seen: list[bytes] = []

        def read() -> None:
            try:
                while chunk := os.read(ours, 65536):
                    seen.append(chunk)
            except OSError:  # how a terminal ends
                pass

        thread = threading.Thread(target=read)
        thread.start()
        await_ready(Server(f"http://127.0.0.1:{port}", port, process))
        ask(f"http://127.0.0.1:{port}")
        process.terminate()
        process.wait(30)
        thread.join()
    os.close(ours)
    return b"".join(seen).decode()


def test_a_person_reads_text() -> None:
    """On a terminal, and the command to try stands by itself; unless JSON is wanted."""

    def ask(url: str) -> None:
        requests.get(f"{url}/nowhere", headers={"X-Request-ID": "mine"}, timeout=5)

    seen = on_a_terminal(ask, MENAGERIE_DRAIN_SECONDS="0")
    assert re.search(
        r"^\[[\d: +-]+\] \[\d+\] \[INFO\] GET '/nowhere' 404 request_id=mine duration_ms=[\d.]+ error=not-found\r$",
        seen,
        re.MULTILINE,
    )
    assert re.search(r"^curl http://localhost", seen, re.MULTILINE)
    assert parse_log(on_a_terminal(ask, MENAGERIE_DRAIN_SECONDS="0", MENAGERIE_LOG_FORMAT="json"))


def test_a_log_configuration_of_ones_own_is_heeded(tmp_path: Path) -> None:
    """Gunicorn's settings go before ours: another file, another configuration, another level."""
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
