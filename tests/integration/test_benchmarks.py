"""The load generators, their statistics and the tables of results."""

import itertools
import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.gunicorn_server import Server, serving
from support.published_bundles import newest_version

from benchmarks import exchanges, open_loop_client, peers, regression, results, shadow
from benchmarks.server import check_status
from models.bundle import Bundle
from models.manifest import Manifest
from service.app.routes import build_service
from service.settings import SHIPPED_STORE, Settings

REQUEST = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def test_the_connections_share_a_poisson_process() -> None:
    """Together they send at the rate, each an equal share, at the same random moments in every run."""
    schedules = open_loop_client.make_schedules(start=10.0, rate=1000, seconds=10, connections=4)
    gaps = np.diff(sorted(due for schedule in schedules for due in schedule))

    assert schedules == open_loop_client.make_schedules(start=10.0, rate=1000, seconds=10, connections=4)
    assert [len(schedule) for schedule in schedules] == [2500] * 4
    assert gaps.mean() == pytest.approx(0.001, rel=0.05)
    assert gaps.std() == pytest.approx(0.001, rel=0.05)  # a Poisson process has gaps as spread as they are long


def test_the_load_generator_counts_responses_and_failures(server: Server) -> None:
    """Every planned request is sent once and answered; a response other than 200 is a failure."""
    schedules = open_loop_client.make_schedules(time.perf_counter(), rate=500, seconds=0.5, connections=4)
    requests = iter([REQUEST] * 250)
    connections = [open_loop_client.Connection(server.port, requests, due) for due in schedules]
    unknown = iter([REQUEST.replace(b"livez", b"nowhere")])
    refused = open_loop_client.Connection(server.port, unknown, [time.perf_counter()])

    open_loop_client.run([*connections, refused])

    summary = open_loop_client.summarize(connections)
    assert (summary["planned"], summary["unsent"], summary["failures"]) == (250, 0, 0)
    assert 0 < summary["p50_ms"] <= summary["p99_ms"] <= summary["max_ms"]
    assert (refused.failures, next(requests, None)) == (1, None)


def test_the_load_generator_reconnects() -> None:
    """A broken connection fails its request, and the next request opens another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_connections() -> None:
            for _ in range(3):
                listener.accept()[0].close()

        threading.Thread(target=close_connections, daemon=True).start()
        now = time.perf_counter()
        due = [now, now + 0.1, now + 0.2]
        connection = open_loop_client.Connection(listener.getsockname()[1], itertools.repeat(REQUEST), due)
        open_loop_client.run([connection])
    assert (connection.failures, len(connection.latencies)) == (3, 3)


def test_an_unsent_request_counts_as_slow() -> None:
    """A server that stalls is charged for the requests that were due meanwhile (coordinated omission)."""
    connection = open_loop_client.Connection(port=0, requests=iter(()), due=[number / 99 for number in range(100)])
    connection.latencies, connection.last_done = [0.001] * 50, 2.0

    summary = open_loop_client.summarize([connection])

    assert (summary["planned"], summary["unsent"], summary["rate_percent"]) == (100, 50, 25)
    assert summary["p99_ms"] == summary["max_ms"] == open_loop_client.MAX_DELAY * 1e3


def test_the_table_shows_median_range_and_ratio_to_the_first_subject() -> None:
    """The first subject is the reference for the others."""
    table = results.format_table({"ours": {"cpu_us": [50.0, 40.0, 60.0]}, "theirs": {"cpu_us": [100.0]}})

    assert table.splitlines()[2:] == ["| ours | 50 µs (40 to 60) |", "| theirs | 100 µs, 2x |"]


def test_the_results_name_the_servers_that_cannot_keep_up() -> None:
    """The worst round counts, and a server that was not sent requests at a rate is not judged."""
    measured = results.Results(options={})
    measured.add("open loop", "ours", {"rate_percent": 99.9})
    for rate in (100, 83.2):
        measured.add("open loop", "theirs", {"rate_percent": rate})
    measured.add("start", "ours", {"start_s": 1})

    (sentence,) = (line for line in measured.to_markdown().splitlines() if line.startswith("- "))
    assert sentence == "- theirs cannot keep up: it answers 83.2 % of the rate, so its latencies are lower bounds."


def test_the_results_list_what_was_not_measured() -> None:
    """A peer that failed is listed with the reason."""
    measured = results.Results(options={}, failures={"theirs": "cannot be installed"})

    assert "- theirs: not measured: cannot be installed" in measured.to_markdown()


@pytest.mark.parametrize("name", peers.list_peers())
def test_every_peer_has_a_command_a_reason_and_pinned_requirements(name: str) -> None:
    """Its folder is all that describes it."""
    peer = peers.read_peer(name)
    requirements = peer.folder / "requirements.txt"

    assert peer.command
    assert peer.why.endswith(".")
    assert all("==" in line for line in requirements.read_text().splitlines()) if requirements.exists() else True


@pytest.fixture(name="manifest")
def _manifest() -> Manifest:
    settings = Settings()
    return Bundle.read(newest_version(settings.model_store / settings.model_name)).manifest


def test_every_peer_receives_the_same_row(manifest: Manifest) -> None:
    """Each in the format of its protocol."""
    row = manifest.golden_rows[0].tolist()

    named = json.loads(peers.read_peer("fastapi").exchange(manifest, row).body)
    tensor = json.loads(peers.read_peer("mlserver").exchange(manifest, row).body)

    assert list(named["features"].values()) == tensor["inputs"][0]["data"] == pytest.approx(row, rel=1e-3)


def test_every_request_gets_the_status_that_is_measured(server: Server, manifest: Manifest) -> None:
    """Any other status ends the measurement."""
    requests = exchanges.build_exchanges(manifest)

    with serving(MENAGERIE_API_KEYS=exchanges.KEY_HASH) as locked:
        for exchange in requests.values():
            check_status(locked.port if exchange.keyed else server.port, exchange)
    with pytest.raises(peers.PeerError, match="/predict answers 422 instead of 200"):
        check_status(server.port, requests["422, too few values"]._replace(status=200))


def test_each_traced_request_has_its_own_identifiers(manifest: Manifest) -> None:
    """They defeat caches of parsed headers, which repeated requests would favour."""
    requests = exchanges.build_exchanges(manifest)
    copies = requests["list form"].render()
    heads = [copy.partition(b"\r\n\r\n")[0] for copy in copies]

    for name in (b"traceparent", b"X-Request-ID"):
        values = {line for head in heads for line in head.split(b"\r\n") if line.startswith(name + b": ")}
        assert len(values) == len(copies) == exchanges.COPIES
    assert len({len(copy) for copy in copies}) == 1  # the load generators read them from one file
    assert len(requests["the same request repeated"].render()) == 1


def test_requests_are_chosen_by_a_part_of_their_name(manifest: Manifest) -> None:
    """A part that is in no name is an error, which lists the names."""
    requests = exchanges.build_exchanges(manifest)

    assert list(exchanges.choose(requests, ["named", "40"])) == [
        "named form",
        "400, not JSON",
        "401, no API key",
        "404",
    ]
    assert exchanges.choose(requests, []) == requests
    with pytest.raises(ValueError, match="no request has 'nothing' in its name; there are: list form; "):
        exchanges.choose(requests, ["named", "nothing"])


def test_shadow_benchmark_has_a_table_for_each_load() -> None:
    """Medians and ranges over the rounds, without and with a shadow."""
    open_loop = {"cpu_us": 50.0, "p50_ms": 0.2, "p99_ms": 1.0, "p999_ms": 2.0, "max_ms": 3.0, "failures": 0.0}
    closed_loop = {"cpu_us": 20.0, "requests_s": 10_000.0, "failures": 0.0}
    rounds = [
        {
            "open": {"without": open_loop, "with": open_loop | {"p99_ms": p99}},
            "closed": dict.fromkeys(("without", "with"), closed_loop),
        }
        for p99 in (1.0, 3.0)
    ]
    lines = shadow.format_tables(rounds).splitlines()
    assert sum(line.startswith("| without a shadow |") for line in lines) == 2
    assert any(line.startswith("| with a shadow |") and "2 ms (1 to 3)" in line for line in lines)


def test_shadow_benchmark_serves_the_first_of_two_versions(tmp_path: Path) -> None:
    served = Bundle.read(SHIPPED_STORE / "animals" / "1")
    copied = shadow.copy_store(served, tmp_path, shadow=True)
    service = build_service(Settings(model_store=tmp_path))
    assert copied.folder == tmp_path / "animals" / "1"
    assert service.registry.current.model.version == 1
    assert service.registry.shadow
    assert service.registry.shadow.model.version == 2


def test_a_comparison_of_checkouts_shows_medians_and_the_ratio_of_each_round() -> None:
    """A disturbance in one round widens the range but leaves the median."""
    table = regression.format_table([{"list": 100.0}, {"list": 100.0}, {"list": 200.0}], [{"list": 110.0}] * 3)

    assert table.splitlines()[2:] == ["| list | 100 µs (100 to 200) | 110 µs | 1.1 x (0.55 to 1.1) |"]
