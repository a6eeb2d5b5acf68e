"""`GET /metrics`: who reads the format can read it, the numbers are right, the documentation says what is there."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from support.gunicorn_server import ROOT
from support.handmade_bundles import Network, publish
from support.known_animals import KNOWN

from models.bundle import CURRENT
from service.app.asgi import Application
from service.app.flask_app import carry, raising
from service.app.pipeline import Gate
from service.app.routes import Service
from service.http.errors import RequestError
from service.http.messages import Reply, Request, Route
from service.inference.model import Model
from service.monitoring.metric_families import of_versions
from service.monitoring.model_metrics import Ledger
from service.monitoring.request_metrics import Tally
from service.monitoring.shared_counters import Memory
from service.settings import Settings

OPENMETRICS = "application/openmetrics-text"
PATH = "/v2/models/{model}"


@pytest.fixture
def asked(settings: Settings) -> FlaskClient:
    """A service of its own that was asked this and that, and whose worker has said how it is."""
    service = Service.open(settings)
    Application(service).tell(connections=3, late=0.25)
    client = carry(service).test_client()
    client.post("/predict", json={"features": KNOWN["dog"]})
    client.post("/predict", data=b"{", content_type="application/json")
    return client


def parsed(families: Iterable[Metric]) -> dict[str, Metric]:
    return {family.name: family for family in families}


def values(client: FlaskClient, name: str) -> dict[tuple[str, ...], float]:
    """A family's values by its labels' values, in the labels' alphabetical order."""
    found = [one for family in prometheus_text(client.get("/metrics").text) for one in family.samples]
    return {tuple(one.labels[key] for key in sorted(one.labels)): one.value for one in found if one.name == name}


def test_both_formats_say_the_same(asked: FlaskClient) -> None:
    """As `Accept` wants it; asking is counted, but not before it is answered."""
    plain = asked.get("/metrics")
    opened = asked.get("/metrics", headers={"Accept": f"{OPENMETRICS};version=1.0.0,text/plain;q=0.5,*/*;q=0.1"})
    assert plain.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert opened.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    one, other = parsed(prometheus_text(plain.text)), parsed(open_metrics(opened.text))  # type: ignore[no-untyped-call]
    assert {name.removesuffix("_info") for name in one} == set(other)
    for name in ("menagerie_predictions", "menagerie_rejections", "menagerie_connections"):
        assert one[name].samples == other[name].samples
    assert (
        asked.get("/metrics", headers={"Accept": f'{OPENMETRICS};version="\\";x'}).content_type == opened.content_type
    )


def test_prometheus_own_tool_finds_no_fault(asked: FlaskClient) -> None:
    """`promtool check metrics`: names, types, units, help."""
    tool = shutil.which("promtool")
    if not tool:
        pytest.skip("no promtool here: install Debian's package prometheus")
    told = subprocess.run(
        [tool, "check", "metrics"], input=asked.get("/metrics").data, capture_output=True, check=False
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


def test_every_metric_is_documented(asked: FlaskClient) -> None:
    """The table of docs/operations.md has each with its type, its labels and what it says of itself, and no other."""
    asked.post("/predict", json={"instances": [KNOWN["dog"]] * 200})  # fewer say nothing of drift
    page = (ROOT / "docs" / "operations.md").read_text()
    documented = re.findall(r"^\| `(menagerie_\w+)` \| (\w+) \|(.*?)\| (.*) \|$", page, re.MULTILINE)
    assert [(name, kind, set(re.findall(r"`(\w+)`", labels)), said) for name, kind, labels, said in documented] == [
        (
            family.name + "_total" * (family.type == "counter"),
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
            family.documentation.rstrip("."),
        )
        for family in prometheus_text(asked.get("/metrics").text)
    ]


def test_what_was_asked_is_counted(asked: FlaskClient) -> None:
    """By route and not by path; what is no route is counted together, whatever a caller makes up."""
    asked.get("/v2/models/animals")
    asked.get("/v2/models/plants")
    asked.head("/v2/models/animals")
    for number in range(3):
        asked.get(f"/nowhere/{number}")
        asked.open("/predict", method=f"BREW{number}")
    assert values(asked, "menagerie_requests_total") == {
        ("POST", "native", "/predict", "200"): 1,
        ("POST", "native", "/predict", "400"): 1,
        ("GET", "v2", PATH, "200"): 1,
        ("GET", "v2", PATH, "404"): 1,
        ("HEAD", "v2", PATH, "200"): 1,
        ("none", "none", "none", "404"): 3,
        ("none", "none", "none", "405"): 3,
    }
    durations = values(asked, "menagerie_request_duration_seconds_count")
    assert durations["none", "none", "none", "4xx"] == 6
    assert durations["GET", "v2", PATH, "4xx"] == 1


def kinds(kind: type[RequestError] = RequestError) -> list[type[RequestError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in kinds(child))]


@pytest.mark.parametrize("kind", kinds())
def test_every_error_has_its_reason(kind: type[RequestError]) -> None:
    """Whatever is refused is counted under what it is called in the answer."""
    tally = Tally(Memory(), [Route("GET", PATH, lambda _: Reply(200, b""))])
    gate = Gate(observers=[tally.observe])
    error = kind([]) if kind.__name__ == "UnacceptableError" else kind("what to do")  # type: ignore[arg-type]
    reply = gate.answer(Request("GET", PATH, {}, bytes, {}, PATH), raising(error))
    assert {reason for reason, count in tally.rejections().items() if count} == {kind.problem}
    assert [(asked.route, status, count) for asked, status, count in tally.answers()] == [(PATH, reply.status, 1)]


@pytest.mark.parametrize(
    ("nanoseconds", "bucket"), [(0, 0), (100_000, 0), (100_001, 1), (10**10, 15), (10**10 + 1, 16)]
)
def test_a_duration_is_counted_in_the_bucket_that_it_fits(nanoseconds: int, bucket: int) -> None:
    """Up to and with its bound."""
    tally = Tally(Memory(), [])
    request = Request("GET", "/", {}, bytes)
    request.record.laps.append(("render", request.record.started + nanoseconds))
    tally.observe(request, Reply(500, b""))
    ((asked, name, durations),) = tally.durations()
    assert (asked.route, name, durations.spent) == ("none", "5xx", nanoseconds)
    assert durations.buckets == [int(index == bucket) for index in range(17)]


def test_any_name_of_a_feature_can_be_told(model: Model) -> None:
    """Quotes, backslashes, line ends and other scripts come back from the parser as they were."""
    nasty = 'a"b\\c\nd{e="f"} \u00b5'
    features = [model.features[0].model_copy(update={"name": nasty}), *model.features[1:]]
    ledger = Ledger(Memory())
    ledger.of(model.manifest).loaded()

    class Told:
        def collect(self) -> Iterable[Metric]:
            return of_versions(ledger, model.manifest.model_copy(update={"features": tuple(features)}))

    found = parsed(prometheus_text(generate_latest(Told()).decode()))
    assert found["menagerie_warnings"].samples[0].labels["feature"] == nasty


def test_what_becomes_of_versions_is_counted(tmp_path: Path) -> None:
    """Loaded, refused (once, however often it is looked at), taken over from, gone back to."""
    for seed in (1, 2):
        publish(tmp_path, Network.random((3, 4, 2), seed=seed))
    home = tmp_path / "handmade"
    service = Service.open(Settings(model_store=tmp_path, model_name=home.name))
    client = carry(service).test_client()

    def told() -> list[float]:
        loads = values(client, "menagerie_model_loads_total")
        return [*loads.values(), *values(client, "menagerie_model_takeovers_total").values()]

    assert told() == [2, 0, 0, 0]
    publish(tmp_path, Network.random((3, 4, 2), seed=3))
    service.registry.refresh()
    assert told() == [3, 0, 1, 0]
    (home / CURRENT).write_text("2")
    (home / "4").mkdir()
    for _ in range(3):
        service.registry.refresh()
    assert told() == [3, 1, 1, 1]
    assert list(values(client, "menagerie_model_last_load_timestamp_seconds")) == [("1",), ("2",), ("3",)]
