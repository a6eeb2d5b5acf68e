"""What gunicorn refuses by itself is logged and counted, whichever of the fast path and the timeouts are on."""

import itertools
import json
import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support.gunicorn_server import Server, parse_log, serving
from support.hostile_requests import STREAMS, RawRequest, exchange, get, post

SWITCHES = [
    dict(zip(("MENAGERIE_FAST_PATH", "MENAGERIE_TIMEOUTS"), values, strict=True))
    for values in itertools.product(("true", "false"), repeat=2)
]
EVERY_LINE = {"MENAGERIE_LOG_FAILURE_RATE": "1e6", "MENAGERIE_LOG_RATE": "1e6", "WEB_CONCURRENCY": "1"}
WEB_SOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
MORE_STREAMS = [
    RawRequest("a WebSocket", get(b"/livez", WEB_SOCKET + b"MDEyMzQ1Njc4OWFiY2RlZg==\r\n"), (403,)),
    RawRequest("a WebSocket with a bad key", get(b"/livez", WEB_SOCKET + b"zebra\r\n"), (400,)),
    RawRequest("a bad request after a good one", get(b"/livez") + b"zebra\r\n\r\n", (200, 400)),
]


def metric(server: Server, name: str, label: str, **labels: str) -> Counter[str]:
    """The samples of a metric that have these labels, by the value of one label."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    counts: Counter[str] = Counter()
    for sample in samples:
        if sample.name == name and labels.items() <= sample.labels.items():
            counts[sample.labels[label]] += int(sample.value)
    return +counts


def refusals(server: Server) -> list[dict[str, Any]]:
    """End the service; the lines of its log about refused requests."""
    server.process.terminate()
    lines = parse_log(server.process.communicate(timeout=60)[1])
    return [line for line in lines if line["logger"] == "menagerie.requests" and "method" not in line]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda switches: " ".join(switches.values()))
def test_every_refusal_of_gunicorns_is_one_line_and_one_count(switches: dict[str, str]) -> None:
    """A response without an id is gunicorn's own; each has its line, with the reason, and its count."""
    with serving(**EVERY_LINE, **switches) as server:
        with ThreadPoolExecutor(24) as pool:  # each mostly waits
            received = b"".join(pool.map(lambda row: exchange(server.port, row)[1], [*STREAMS, *MORE_STREAMS]))
        heads = re.findall(rb"HTTP/1\.[01] (\d{3} .*?)\r\n\r\n", received, re.DOTALL)
        own = [head for head in heads if b"x-request-id" not in head.lower()]
        statuses = Counter(head[:3].decode() for head in own)
        assert statuses.keys() >= {"400", "403", "414", "426", "431", "501"}
        rejections = metric(server, "menagerie_rejections_total", "reason")
        responses = metric(server, "menagerie_requests_total", "status", route="none")
        lines = refusals(server)
    assert Counter(str(line["status"]) for line in lines) == statuses
    by_error = Counter(line["error"] for line in lines)
    assert by_error == {reason: count for reason, count in rejections.items() if reason in by_error}
    assert statuses <= responses
    for line in lines:
        assert line["message"] == f"refused {line['status']}: {line['reason']}"
        assert line["level"] == "info"
    assert {
        "Bare LF as line terminator, CRLF required (RFC 9112 section 2.2)",
        "Content-Length with Transfer-Encoding",
        "Content-Length has too many digits",
        "Duplicate host header",
        "Invalid character in chunk size",
        "Invalid HTTP Version",
        "Invalid Header Name",
        "Invalid Request Method",
        "Invalid request line",
        "Request line is too large",
        "Too many headers",
        "Unsupported Transfer Coding",
        "Upgrade Required",
        "no route is a WebSocket",
    } <= {line["reason"] for line in lines}


def test_timeouts_and_limits_are_logged() -> None:
    """A slow head, a head without end, and one connection too many."""
    limits = {"MENAGERIE_HEAD_SECONDS": "1", "MENAGERIE_MAX_CONNECTIONS": "2", "MENAGERIE_TIMEOUTS": "true"}
    endless = b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: %b\r\n" % (number, b"b" * 8000) for number in range(9))
    with serving(**EVERY_LINE, **limits) as server:
        assert exchange(server.port, RawRequest("", endless, (431,)))[0] == [431]
        time.sleep(0.1)
        slow = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(2)]
        for client in slow:
            client.sendall(b"GET /liv")
        time.sleep(0.2)
        assert exchange(server.port, RawRequest("", b"", (503,)))[0] == [503]
        for client in slow:
            assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
            client.close()
        rejections = metric(server, "menagerie_rejections_total", "reason")
        lines = refusals(server)
    assert rejections == {"long-head": 1, "too-many-connections": 1, "slow-head": 2}
    assert [(line["status"], line["level"], line["error"]) for line in lines] == [
        (431, "info", "long-head"),
        (503, "warning", "too-many-connections"),
        (408, "info", "slow-head"),
        (408, "info", "slow-head"),
    ]


def test_an_error_of_the_adapter_is_logged_and_counted(tmp_path: Path) -> None:
    """Gunicorn sends a 500 if the application raises; it is no malformed request."""
    (tmp_path / "failing.py").write_text(
        "from service.app import asgi\n"
        "respond = asgi.AsgiApp._respond\n"
        "def fail(app, scope, *more):\n"
        "    return 1 / 0 if scope['path'] == '/model' else respond(app, scope, *more)\n"
        "asgi.AsgiApp._respond = fail\n"
        "load_app = asgi.load_app\n"
    )
    with serving("--pythonpath", str(tmp_path), "failing:load_app()", **EVERY_LINE) as server:
        assert exchange(server.port, RawRequest("", get(b"/model"), (500,)))[0] == [500]
        rejections = metric(server, "menagerie_rejections_total", "reason")
        (line,) = refusals(server)
    assert rejections == {"internal": 1}
    assert (line["message"], line["level"]) == ("refused 500: Internal Server Error", "error")


def test_refusals_are_limited_by_the_failure_rate() -> None:
    """The next line says how many were left out; all are counted."""
    with serving(MENAGERIE_LOG_FAILURE_RATE="5", WEB_CONCURRENCY="1") as server:
        for _ in range(30):
            assert exchange(server.port, RawRequest("", b"zebra\r\n\r\n", (400,)))[0] == [400]
        time.sleep(1)
        assert exchange(server.port, RawRequest("", b"zebra\r\n\r\n", (400,)))[0] == [400]
        assert metric(server, "menagerie_rejections_total", "reason") == {"malformed-head": 31}
        lines = refusals(server)
    assert len(lines) < 31
    assert len(lines) + sum(line.get("left_out", 0) for line in lines) == 31


def test_a_client_that_leaves_is_no_error() -> None:
    """It waits for no response, so none is logged or counted, wherever in the request it leaves."""
    whole = post(b"Transfer-Encoding: chunked\r\n", b"c8\r\n" + b"a" * 200 + b"\r\n")
    with serving(**EVERY_LINE) as server:
        for size in (10, whole.find(b"a" * 200), len(whole)):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
                client.sendall(whole[:size])
                time.sleep(0.1)
        time.sleep(0.2)
        assert not metric(server, "menagerie_rejections_total", "reason")
        assert refusals(server) == []


def test_a_malformed_rest_gets_no_second_response() -> None:
    """The body was refused before it ended; what is wrong with its end is no request."""
    with serving(MENAGERIE_MAX_BODY_BYTES="100", **EVERY_LINE) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(post(b"Transfer-Encoding: chunked\r\n", b"c8\r\n" + b"a" * 200 + b"\r\n"))
            received = client.recv(65_536)
            client.sendall(b"-5\r\n")
            while chunk := client.recv(65_536):
                received += chunk
        lines = refusals(server)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["status"] == 413
    assert lines == []
