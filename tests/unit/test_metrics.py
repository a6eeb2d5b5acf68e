"""`GET /metrics`: both formats parse, the numbers are right, and the documentation lists every metric."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from support import headed_bundles
from support.gunicorn_server import ROOT
from support.handmade_bundles import Network, publish
from support.known_animals import KNOWN

from models.bundle import CURRENT, write_shadow_version
from models.feature import Feature
from service.app.asgi import AsgiApp
from service.app.flask_app import flask_app
from service.app.pipeline import Pipeline
from service.app.routes import build_service
from service.http.context import RequestContext
from service.http.errors import RequestError, failing_handler
from service.http.messages import Request
from service.http.routing import Protocol, Route
from service.monitoring.request_metrics import RequestMetrics
from service.monitoring.shared_counters import SharedCounters
from service.settings import Settings

OPENMETRICS = "application/openmetrics-text"
PATH = "/v2/models/{model}"


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    """A service of its own that handled two requests, and whose worker has reported its gauges."""
    service = build_service(settings)
    AsgiApp(service).report_worker(connections=3, loop_lag=0.25)
    client = flask_app(service).test_client()
    client.post("/predict", json={"features": KNOWN["dog"]})
    client.post("/predict", data=b"{", content_type="application/json")
    return client


def by_name(families: Iterable[Metric]) -> dict[str, Metric]:
    return {family.name: family for family in families}


def values(client: FlaskClient, name: str) -> dict[tuple[str, ...], float]:
    """A family's values by its labels' values, in the labels' alphabetical order."""
    samples = [sample for family in prometheus_text(client.get("/metrics").text) for sample in family.samples]
    return {
        tuple(sample.labels[key] for key in sorted(sample.labels)): sample.value
        for sample in samples
        if sample.name == name
    }


def test_both_formats_have_the_same_samples(client: FlaskClient) -> None:
    """`Accept` decides; a scrape is counted, but not in its own response."""
    text = client.get("/metrics")
    openmetrics = client.get("/metrics", headers={"Accept": f"{OPENMETRICS};version=1.0.0,text/plain;q=0.5,*/*;q=0.1"})
    assert text.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    text_families = by_name(prometheus_text(text.text))
    openmetrics_families = by_name(open_metrics(openmetrics.text))  # type: ignore[no-untyped-call]
    assert {name.removesuffix("_info") for name in text_families} == set(openmetrics_families)
    for name in ("menagerie_predictions", "menagerie_rejections", "menagerie_connections"):
        assert text_families[name].samples == openmetrics_families[name].samples
    for accept in (f"{OPENMETRICS};q=0.5, text/plain", f"{OPENMETRICS};q=0, */*", f"x-{OPENMETRICS}", "*/*", "text/*"):
        assert client.get("/metrics", headers={"Accept": accept}).content_type == text.content_type
    for accept in (OPENMETRICS.title(), "text/plain;q=0.5, application/*", f"*/*, {OPENMETRICS}"):
        assert client.get("/metrics", headers={"Accept": accept}).content_type == openmetrics.content_type
    nasty = client.get("/metrics", headers={"Accept": f'{OPENMETRICS};version="\\";x'})
    assert nasty.content_type == openmetrics.content_type


def test_every_metric_is_documented(client: FlaskClient, tmp_path: Path) -> None:
    """The table of docs/operations.md has each with its type, labels and help text, and no other.

    First those of the shipped model, in their order, and among them those that only other kinds of outputs have.
    """
    client.post("/predict", json={"instances": [KNOWN["dog"]] * 200})  # with fewer rows, drift has no index
    shipped = list(prometheus_text(client.get("/metrics").text))
    for _ in range(2):
        headed_bundles.publish(tmp_path, headed_bundles.MIXED)
    write_shadow_version(tmp_path / "headed", 2)
    other = flask_app(build_service(Settings(model_store=tmp_path, model_name="headed"))).test_client()
    assert other.post("/predict", json={"instances": [[0, 0, 0]] * 200}).status_code == 200
    families: dict[str, Metric] = {}
    for family in [*shipped, *prometheus_text(other.get("/metrics").text)]:
        families.setdefault(family.name, family).samples += family.samples
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(menagerie_\w+)` \| (\w+) \|(.*?)\| (.*) \|$", page, re.MULTILINE)
    documented = {name: (type_, set(re.findall(r"`(\w+)`", labels)), text) for name, type_, labels, text in rows}
    assert documented == {
        family.name + "_total" * (family.type == "counter"): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
            family.documentation.rstrip("."),
        )
        for family in families.values()
    }
    names = [family.name for family in shipped]
    assert [name for row in rows if (name := row[0].removesuffix("_total")) in names] == names


def test_requests_are_counted_by_route(client: FlaskClient) -> None:
    """By route and not by path; requests that match no route share one label, whatever a client makes up."""
    client.get("/v2/models/animals")
    client.get("/v2/models/plants")
    client.head("/v2/models/animals")
    client.get("/v1/models/animals")
    for number in range(3):
        client.get(f"/nowhere/{number}")
        client.open("/predict", method=f"BREW{number}")
    assert values(client, "menagerie_requests_total") == {
        ("POST", "native", "/predict", "200"): 1,
        ("POST", "native", "/predict", "400"): 1,
        ("GET", "oip", PATH, "200"): 1,
        ("GET", "oip", PATH, "404"): 1,
        ("HEAD", "oip", PATH, "200"): 1,
        ("GET", "tfserving", "/v1/models/{model}", "200"): 1,
        ("none", "none", "none", "404"): 3,
        ("none", "none", "none", "405"): 3,
    }
    durations = values(client, "menagerie_request_duration_seconds_count")
    assert durations["none", "none", "none", "4xx"] == 6
    assert durations["GET", "oip", PATH, "4xx"] == 1


def with_subclasses(error: type[RequestError] = RequestError) -> list[type[RequestError]]:
    return [error, *(each for child in error.__subclasses__() for each in with_subclasses(child))]


@pytest.mark.parametrize("error_class", with_subclasses())
def test_every_error_has_its_reason(error_class: type[RequestError]) -> None:
    """The reason is the problem code of the response."""
    route = Route("GET", PATH, "", "", "", Protocol.OIP, {})
    metrics = RequestMetrics(SharedCounters(), [route])
    pipeline = Pipeline(
        api_keys=None,
        cors=None,
        protocol_of=lambda _: Protocol.SERVICE,
        begin_trace=lambda _: None,
        observe=lambda context: metrics.observe([context]),
        server_timing=False,
    )
    detail = [] if error_class.__name__ == "UnacceptableError" else "what to do"
    error = error_class(detail)  # type: ignore[arg-type]
    response = pipeline.handle(Request("GET", PATH, {}, bytes, {}, route), failing_handler(error))
    assert {reason for reason, count in metrics.rejections().items() if count} == {error_class.problem}
    assert list(metrics.responses()) == [(("oip", PATH, "GET"), response.status, 1)]


@pytest.mark.parametrize(
    ("nanoseconds", "bucket"), [(0, 0), (100_000, 0), (100_001, 1), (10**10, 15), (10**10 + 1, 16)]
)
def test_a_bucket_includes_its_upper_bound(nanoseconds: int, bucket: int) -> None:
    """As in Prometheus, `le` is "less than or equal to"."""
    metrics = RequestMetrics(SharedCounters(), [])
    context = RequestContext("GET", "/", None)
    context.status, context.duration = 500, nanoseconds
    metrics.observe([context])
    ((labels, status_class, buckets, total),) = metrics.durations()
    assert (labels.route, status_class, total) == ("none", "5xx", nanoseconds)
    assert buckets == [int(index == bucket) for index in range(17)]


def test_feature_names_are_escaped(tmp_path: Path) -> None:
    """Quotes, backslashes, line ends and other scripts come back from the parser as they were."""
    nasty = 'a"b\\c\nd{e="f"} \u00b5'
    features = [Feature(name=name, minimum=-3, maximum=3) for name in (nasty, "f2", "f3")]
    publish(tmp_path, Network.random((3, 4, 2)), features=features)
    client = flask_app(build_service(Settings(model_store=tmp_path, model_name="handmade"))).test_client()
    families = by_name(prometheus_text(client.get("/metrics").text))
    assert families["menagerie_warnings"].samples[0].labels["feature"] == nasty


def test_loads_and_takeovers_of_versions_are_counted(tmp_path: Path) -> None:
    """Loaded, refused (once, at however many polls), taken over from, gone back to."""
    for seed in (1, 2):
        publish(tmp_path, Network.random((3, 4, 2), seed=seed))
    home = tmp_path / "handmade"
    service = build_service(Settings(model_store=tmp_path, model_name=home.name))
    client = flask_app(service).test_client()

    def refresh() -> None:
        for event in service.registry.refresh():
            service.model_metrics.count_event(event)

    def counts() -> list[float]:
        loads = values(client, "menagerie_model_loads_total")
        return [*loads.values(), *values(client, "menagerie_model_takeovers_total").values()]

    assert counts() == [2, 0, 0, 0]
    publish(tmp_path, Network.random((3, 4, 2), seed=3))
    refresh()
    assert counts() == [3, 0, 1, 0]
    (home / CURRENT).write_text("2")
    (home / "4").mkdir()
    for _ in range(3):
        refresh()
    assert counts() == [3, 1, 1, 1]
    assert list(values(client, "menagerie_model_last_load_timestamp_seconds")) == [
        ("handmade", number) for number in "123"
    ]
