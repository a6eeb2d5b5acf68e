"""The load generators, their statistics and the tables of results."""

import itertools
import json
import socket
import threading
import time

import numpy as np
import pytest
from support.gunicorn_server import Server
from support.published_bundles import newest_version

from benchmarks import closed_loop_client, open_loop_client, peers, regression, results
from benchmarks.benchmark_run import BenchmarkRun
from models.bundle import Bundle
from service.settings import Settings

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
    connections = [open_loop_client.Connection(server.port, REQUEST, due) for due in schedules]
    refused = open_loop_client.Connection(server.port, REQUEST.replace(b"livez", b"nowhere"), [time.perf_counter()])

    open_loop_client.run([*connections, refused])

    summary = open_loop_client.summarize(connections)
    assert (summary["planned"], summary["unsent"], summary["failures"]) == (250, 0, 0)
    assert 0 < summary["p50_ms"] <= summary["p99_ms"] <= summary["max_ms"]
    assert refused.failures == 1


def test_the_load_generator_reconnects() -> None:
    """A broken connection fails its request, and the next request opens another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_connections() -> None:
            for _ in range(3):
                listener.accept()[0].close()

        threading.Thread(target=close_connections, daemon=True).start()
        now = time.perf_counter()
        connection = open_loop_client.Connection(listener.getsockname()[1], REQUEST, [now, now + 0.1, now + 0.2])
        open_loop_client.run([connection])
    assert (connection.failures, len(connection.latencies)) == (3, 3)


def test_an_unsent_request_counts_as_slow() -> None:
    """A server that stalls is charged for the requests that were due meanwhile (coordinated omission)."""
    connection = open_loop_client.Connection(port=0, request=b"", due=[0.0] * 100)
    connection.latencies = [0.001] * 50

    summary = open_loop_client.summarize([connection])

    assert (summary["planned"], summary["unsent"]) == (100, 50)
    assert summary["p99_ms"] == summary["max_ms"] == open_loop_client.MAX_DELAY * 1e3


def test_the_table_shows_median_range_and_ratio_to_the_first_subject() -> None:
    """The first subject is the reference for the others."""
    table = results.format_table({"ours": {"cpu_us": [50.0, 40.0, 60.0]}, "theirs": {"cpu_us": [100.0]}})

    assert table.splitlines()[2:] == ["| ours | 50 µs (40 to 60) |", "| theirs | 100 µs, 2x |"]


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


def test_every_peer_receives_the_same_row() -> None:
    """Each in the format of its protocol."""
    settings = Settings()
    manifest = Bundle.read(newest_version(settings.model_store / settings.model_name)).manifest
    row = manifest.golden[0].features

    named = json.loads(peers.read_peer("fastapi").request_body(manifest, row))
    tensor = json.loads(peers.read_peer("mlserver").request_body(manifest, row))

    assert list(named["features"].values()) == tensor["inputs"][0]["data"] == pytest.approx(row, rel=1e-3)


def test_the_requests_that_compare_two_checkouts_are_answered_as_expected(server: Server) -> None:
    """Every kind of request gets its status; any other status ends the measurement."""
    settings = Settings()
    shipped = Bundle.read(newest_version(settings.model_store / settings.model_name))
    exchanges = regression.build_exchanges(BenchmarkRun(shipped, (0,), (), rounds=1, seconds=1, open_seconds=1))

    for exchange in exchanges.values():
        assert closed_loop_client.saturate(server.port, exchange, seconds=0.1) >= exchange.connections
    with pytest.raises(peers.PeerError, match="/predict answers 422 instead of 200"):
        closed_loop_client.saturate(server.port, exchanges["422"]._replace(status=200), seconds=0.1)


def test_each_traced_request_has_its_own_identifiers() -> None:
    """They defeat caches of parsed headers, which repeated requests would favour."""
    first, second, *_ = itertools.islice(
        closed_loop_client.repeat_request(closed_loop_client.Exchange("/predict", b"{}", traced=True)), 2
    )

    assert first != second
    assert first.splitlines()[3:5] == [b"traceparent: 00-%032x-%016x-01" % (1, 1), b"X-Request-ID: request-1"]


def test_a_comparison_of_checkouts_shows_medians_and_the_ratio_of_each_round() -> None:
    """A disturbance in one round widens the range but leaves the median."""
    table = regression.format_table([{"list": 100.0}, {"list": 100.0}, {"list": 200.0}], [{"list": 110.0}] * 3)

    assert table.splitlines()[2:] == ["| list | 100 µs (100 to 200) | 110 µs | 1.1 x (0.55 to 1.1) |"]
