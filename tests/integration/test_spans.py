"""Spans of a real service with two workers, taken by a collector; and what happens where there is none."""

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
from support.otlp_collector import Collector, collecting

from service.http.messages import Request
from service.monitoring import spans
from service.monitoring.spans import Spans

JSON = {"Content-Type": "application/json"}
ROWS = json.dumps({"instances": [LLAMA] * 3}).encode()
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Traced(NamedTuple):
    """What was asked by name, what each answer told of its trace, what the collector took, and what the log said."""

    answers: dict[str, requests.Response]
    collector: Collector
    log: list[dict[str, str]]


def parent(trace_id: str = TRACE, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{CALLER}-{flags}", "tracestate": "congo=t61rcWkgMzE,rojo=1"}


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    """Some requests to two workers, which then end."""
    with (
        collecting() as collector,
        serving(
            WEB_CONCURRENCY="2", MENAGERIE_DRAIN_SECONDS="0", OTEL_BSP_SCHEDULE_DELAY="100", **{ENDPOINT: collector.url}
        ) as server,
    ):

        def ask(path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
            return requests.post(server.url + path, body, headers=JSON | headers, timeout=10)

        answers = {
            "sampled": ask("/predict", ROWS, parent()),
            "unsampled": ask("/predict", GOOD, parent(flags="00")),
            "alone": ask("/predict", GOOD, {}),
            "unreadable": ask("/predict", GOOD, {"traceparent": "00-what"}),
            "refused": ask("/v2/models/animals/infer", b"{", {}),
            "explained": ask("/explain", GOOD, {}),
            "nowhere": ask("/nowhere?zebra=1", b"", {}),
        }
        await_workers(server, lambda now: len(now) == 2)
        for worker, numbers in zip(workers(server), (range(1, 21), range(21, 41)), strict=True):
            os.kill(worker, signal.SIGSTOP)  # so that the other answers
            answers |= {f"many {number}": ask("/predict", GOOD, parent(f"{number:032x}")) for number in numbers}
            os.kill(worker, signal.SIGCONT)
        server.process.terminate()
        yield Traced(answers, collector, parse_log(server.process.communicate(timeout=60)[1]))


def test_a_request_is_a_span_under_its_callers(traced: Traced) -> None:
    """Of the caller's trace and state, with the conventional attributes, and the id that the answer told."""
    (taken,) = (taken for taken in traced.collector.spans if taken.trace_id == TRACE and taken.parent_id == CALLER)
    assert traced.answers["sampled"].headers["traceresponse"] == f"00-{TRACE}-{taken.span_id}-01"
    assert (taken.span.name, taken.span.kind, taken.span.trace_state) == (
        "POST /predict",
        taken.span.SPAN_KIND_SERVER,
        "congo=t61rcWkgMzE,rojo=1",
    )
    assert taken.attributes == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "url.path": "/predict",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "menagerie.request_id": traced.answers["sampled"].headers["X-Request-ID"],
        "menagerie.model.version": 1,
        "menagerie.rows": 3,
    }
    assert taken.resource["service.name"] == "menagerie"


def test_each_stage_is_a_child(traced: Traced) -> None:
    """One after the other, from the span's beginning to its end."""
    (taken,) = (taken for taken in traced.collector.spans if taken.trace_id == TRACE and taken.parent_id == CALLER)
    stages = traced.collector.children(taken)
    assert [stage.span.name for stage in stages] == ["admit", "parse", "validate", "infer", "render"]
    times = [(stage.span.start_time_unix_nano, stage.span.end_time_unix_nano) for stage in stages]
    assert all(one[1] == other[0] for one, other in pairwise(times))
    assert all(one <= other for one, other in times)
    assert times[0][0] - taken.span.start_time_unix_nano < 10_000_000  # two looks at the clock
    assert times[-1][1] == taken.span.end_time_unix_nano
    assert all(stage.trace_id == TRACE for stage in stages)


def test_every_span_is_there_once(traced: Traced) -> None:
    """Of either worker, up to the very end."""
    asked = [taken for taken in traced.collector.spans if taken.span.kind == taken.span.SPAN_KIND_SERVER]
    whole = {taken.trace_id for taken in asked if taken.attributes.get("http.route") != "/readyz"}
    assert len(whole) == len(traced.answers) - 1  # one was not to be recorded
    assert {f"{number:032x}" for number in range(1, 41)} < whole
    assert len({taken.span_id for taken in traced.collector.spans}) == len(traced.collector.spans)
    served = {line["pid"] for line in traced.log if line.get("trace_id") in whole}
    assert len(served) == 2


def test_who_asks_not_to_be_recorded_is_not(traced: Traced) -> None:
    """The answer says so."""
    told = traced.answers["unsampled"].headers["traceresponse"]
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", told)
    assert told[36:52] not in {taken.span_id for taken in traced.collector.spans}


@pytest.mark.parametrize("name", ["alone", "unreadable", "refused", "explained", "nowhere"])
def test_a_trace_begins_where_there_is_none(traced: Traced, name: str) -> None:
    """Its answer and its line in the log lead to it; a caller's fault is no failure of the span's."""
    answer = traced.answers[name]
    trace_id = answer.headers["traceresponse"].split("-")[1]
    (taken,) = (taken for taken in traced.collector.spans if taken.trace_id == trace_id and not taken.parent_id)
    (line,) = (line for line in traced.log if line.get("trace_id") == trace_id)
    assert (line["span_id"], line["request_id"]) == (taken.span_id, answer.headers["X-Request-ID"])
    assert taken.attributes["http.response.status_code"] == answer.status_code
    assert taken.attributes.get("menagerie.error", "") == line.get("error", "")
    assert taken.span.status.code == taken.span.status.STATUS_CODE_UNSET
    assert traced.collector.children(taken)[-1].span.name == "render"


def test_nothing_that_was_asked_is_told(traced: Traced) -> None:
    """Neither values nor queries."""
    everything = "".join(str(taken.span) for taken in traced.collector.spans)
    assert "zebra" not in everything
    assert "38.6" not in everything
    assert "/nowhere" in everything


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of one that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("dead", [True, False])
def test_a_collector_that_does_not_answer_holds_up_nothing(deaf: str, dead: bool) -> None:
    """Neither requests nor the end; what is lost is told of."""
    url = "http://127.0.0.1:9" if dead else deaf
    with serving(MENAGERIE_DRAIN_SECONDS="0", OTEL_BSP_SCHEDULE_DELAY="100", **{ENDPOINT: url}) as server:
        for _ in range(50):
            assert requests.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=5).ok
        server.process.terminate()
        said = parse_log(server.process.communicate(timeout=20)[1])
    assert server.process.returncode == 0
    assert [line for line in said if "the last spans are lost" in line["message"]]
    assert not [
        line for line in said if line["level"] in {"error", "critical"} and "opentelemetry" not in line["logger"]
    ]


def test_without_an_endpoint_nothing_is_loaded(server: Server) -> None:
    """No import, no header, no thread."""
    program = (
        "import sys, service.app.asgi as it; it.serve(); sys.exit(any('opentelemetry' in name for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), check=True)
    answer = requests.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=5)
    assert "traceresponse" not in answer.headers


def test_an_endpoint_without_the_extra_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service serves, without spans."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    assert not spans.wanted({ENDPOINT: "http://127.0.0.1:9"})
    assert "install requirements/otel.txt" in caplog.text


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
def test_the_usual_variables_say_whether(environment: dict[str, str], expected: bool) -> None:
    """As for every program that uses OpenTelemetry."""
    assert spans.wanted(environment) == expected


@pytest.mark.parametrize(("sampler", "flags"), [("always_on", "01"), ("always_off", "00"), ("traceidratio", "00")])
def test_the_usual_variables_say_how_much(monkeypatch: pytest.MonkeyPatch, sampler: str, flags: str) -> None:
    """A sampler that does not heed the caller overrules him."""
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
        recorded = Spans()
        recorded.start("https")
        began = recorded.begin(Request("BREW", "/\udcff", parent(), lambda: b""))
        assert began
        assert began.header.startswith(f"00-{TRACE}-")
        assert began.header.endswith(f"-{flags}")
        recorded.close(5)
