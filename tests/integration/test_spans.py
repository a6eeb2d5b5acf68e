"""Spans of a real service with two workers in a collector, and what happens without a collector."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest
import requests
from support.bad_input import GOOD
from support.gunicorn_server import ROOT, Server, await_workers, environment, parse_log, serving, workers
from support.known_animals import LLAMA
from support.otlp_collector import Collector, ReceivedSpan, running_collector

from service.http.messages import Request
from service.monitoring import spans
from service.monitoring.spans import Spans

JSON = {"Content-Type": "application/json"}
ROWS = json.dumps({"instances": [LLAMA] * 3}).encode()
TRACE, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Traced(NamedTuple):
    """The responses by name, the collector with their spans, and the lines of the log."""

    responses: dict[str, requests.Response]
    collector: Collector
    log: list[dict[str, str]]


def trace_headers(trace_id: str = TRACE, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-{flags}", "tracestate": "congo=t61rcWkgMzE,rojo=1"}


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    """Some requests to two workers, which then exit."""
    with (
        running_collector() as collector,
        serving(
            WEB_CONCURRENCY="2", MENAGERIE_DRAIN_SECONDS="0", OTEL_BSP_SCHEDULE_DELAY="100", **{ENDPOINT: collector.url}
        ) as server,
    ):

        def post(path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
            return requests.post(server.url + path, body, headers=JSON | headers, timeout=10)

        responses = {
            "sampled": post("/predict", ROWS, trace_headers()),
            "unsampled": post("/predict", GOOD, trace_headers(flags="00")),
            "untraced": post("/predict", GOOD, {}),
            "invalid": post("/predict", GOOD, {"traceparent": "00-what"}),
            "rejected": post("/v2/models/animals/infer", b"{", {}),
            "explained": post("/explain", GOOD, {}),
            "nowhere": post("/nowhere?zebra=1", b"", {}),
        }
        await_workers(server, lambda now: len(now) == 2)
        for worker, numbers in zip(workers(server), (range(1, 21), range(21, 41)), strict=True):
            os.kill(worker, signal.SIGSTOP)  # so that the other handles the requests
            responses |= {
                f"many {number}": post("/predict", GOOD, trace_headers(f"{number:032x}")) for number in numbers
            }
            os.kill(worker, signal.SIGCONT)
        server.process.terminate()
        yield Traced(responses, collector, parse_log(server.process.communicate(timeout=60)[1]))


def sampled_span(traced: Traced) -> ReceivedSpan:
    """The span of the request with the client's sampled trace."""
    (received,) = (each for each in traced.collector.spans if (each.trace_id, each.parent_id) == (TRACE, CLIENT_SPAN))
    return received


def test_a_request_is_a_child_of_the_clients_span(traced: Traced) -> None:
    """In the client's trace, with its state, the conventional attributes, and the span id of the response."""
    received = sampled_span(traced)
    assert traced.responses["sampled"].headers["traceresponse"] == f"00-{TRACE}-{received.span_id}-01"
    assert (received.span.name, received.span.kind, received.span.trace_state) == (
        "POST /predict",
        received.span.SPAN_KIND_SERVER,
        "congo=t61rcWkgMzE,rojo=1",
    )
    assert received.attributes == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "url.path": "/predict",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "menagerie.request_id": traced.responses["sampled"].headers["X-Request-ID"],
        "menagerie.model.name": "animals",
        "menagerie.model.version": 1,
        "menagerie.rows": 3,
    }
    assert received.resource["service.name"] == "menagerie"


def test_each_stage_is_a_child_span(traced: Traced) -> None:
    """One after the other, from the start of the request's span to its end."""
    received = sampled_span(traced)
    stages = traced.collector.children(received)
    assert [stage.span.name for stage in stages] == ["admit", "parse", "validate", "infer", "render"]
    times = [(stage.span.start_time_unix_nano, stage.span.end_time_unix_nano) for stage in stages]
    assert all(stage[1] == following[0] for stage, following in pairwise(times))
    assert all(start <= end for start, end in times)
    assert times[0][0] - received.span.start_time_unix_nano < 10_000_000  # two readings of the clock
    assert times[-1][1] == received.span.end_time_unix_nano
    assert all(stage.trace_id == TRACE for stage in stages)


def test_every_span_is_sent_once(traced: Traced) -> None:
    """By both workers, up to their last request."""
    servers = [each for each in traced.collector.spans if each.span.kind == each.span.SPAN_KIND_SERVER]
    traces = {each.trace_id for each in servers if each.attributes.get("http.route") != "/readyz"}
    assert len(traces) == len(traced.responses) - 1  # one was not sampled
    assert {f"{number:032x}" for number in range(1, 41)} < traces
    assert len({each.span_id for each in traced.collector.spans}) == len(traced.collector.spans)
    pids = {line["pid"] for line in traced.log if line.get("trace_id") in traces}
    assert len(pids) == 2


def test_an_unsampled_trace_is_not_recorded(traced: Traced) -> None:
    """The response says so."""
    traceresponse = traced.responses["unsampled"].headers["traceresponse"]
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", traceresponse)
    assert traceresponse[36:52] not in {each.span_id for each in traced.collector.spans}


@pytest.mark.parametrize("name", ["untraced", "invalid", "rejected", "explained", "nowhere"])
def test_a_request_without_a_trace_starts_one(traced: Traced, name: str) -> None:
    """Its response and its log line have the ids; a client error does not mark the span as failed."""
    response = traced.responses[name]
    trace_id = response.headers["traceresponse"].split("-")[1]
    (received,) = (each for each in traced.collector.spans if each.trace_id == trace_id and not each.parent_id)
    (line,) = (line for line in traced.log if line.get("trace_id") == trace_id)
    assert (line["span_id"], line["request_id"]) == (received.span_id, response.headers["X-Request-ID"])
    assert received.attributes["http.response.status_code"] == response.status_code
    assert received.attributes.get("menagerie.error", "") == line.get("error", "")
    assert received.span.status.code == received.span.status.STATUS_CODE_UNSET
    assert traced.collector.children(received)[-1].span.name == "render"


def test_spans_have_no_content_of_requests(traced: Traced) -> None:
    """Neither values nor query strings."""
    everything = "".join(str(each.span) for each in traced.collector.spans)
    assert "zebra" not in everything
    assert "38.6" not in everything
    assert "/nowhere" in everything


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("is_down", [True, False])
def test_a_dead_collector_delays_nothing(silent_server: str, is_down: bool) -> None:
    """Neither requests nor the exit; a warning reports the loss."""
    url = "http://127.0.0.1:9" if is_down else silent_server
    with serving(MENAGERIE_DRAIN_SECONDS="0", OTEL_BSP_SCHEDULE_DELAY="100", **{ENDPOINT: url}) as server:
        for _ in range(50):
            assert requests.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=5).ok
        server.process.terminate()
        lines = parse_log(server.process.communicate(timeout=20)[1])
    assert server.process.returncode == 0
    assert [line for line in lines if "the last spans were lost" in line["message"]]
    assert not [
        line for line in lines if line["level"] in {"error", "critical"} and "opentelemetry" not in line["logger"]
    ]


def test_without_an_endpoint_opentelemetry_is_not_imported(server: Server) -> None:
    """And responses have no trace header."""
    program = (
        "import sys; from service.app import asgi; asgi.load_app(); "
        "sys.exit(any('opentelemetry' in name for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), check=True)
    response = requests.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=5)
    assert "traceresponse" not in response.headers


def test_an_endpoint_without_the_packages_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service runs without spans."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    assert not spans.is_enabled({ENDPOINT: "http://127.0.0.1:9"})
    assert "run `pip install -r requirements/otel.txt`" in caplog.text


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({ENDPOINT: "http://x", "OTEL_SDK_DISABLED": "true"}, False),
        ({ENDPOINT: "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_opentelemetrys_variables_enable_spans(environment: dict[str, str], expected: bool) -> None:
    """As in every program that uses OpenTelemetry."""
    assert spans.is_enabled(environment) == expected


@pytest.mark.parametrize(("sampler", "flags"), [("always_on", "01"), ("always_off", "00"), ("traceidratio", "00")])
def test_opentelemetrys_variables_choose_the_sampler(monkeypatch: pytest.MonkeyPatch, sampler: str, flags: str) -> None:
    """A sampler that is not parent-based overrides the client's decision."""
    with running_collector() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
        tracing = Spans()
        tracing.start("https")
        trace = tracing.begin(Request("BREW", "/\udcff", trace_headers(), lambda: b""))
        assert trace
        assert trace.header.startswith(f"00-{TRACE}-")
        assert trace.header.endswith(f"-{flags}")
        tracing.close(5)
