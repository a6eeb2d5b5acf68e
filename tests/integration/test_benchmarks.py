"""The benchmark's arithmetic: schedules, what a late answer costs, how figures are told."""

import itertools
import json
import socket
import threading
import time

import numpy as np
import pytest
from support.gunicorn_server import Server

from benchmarks import closed_loop_client, openloop, peers, regression, results
from benchmarks.bench import Bench
from models import bundle
from models.bundle import Bundle
from service.settings import Settings

REQUEST = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def test_schedule_deals_out_the_rate_at_random() -> None:
    """Together the connections send at the rate, each its share, at the same random moments in every run."""
    plan = openloop.schedules(start=10.0, rate=1000, seconds=10, connections=4)
    gaps = np.diff(sorted(due for connection in plan for due in connection))

    assert plan == openloop.schedules(start=10.0, rate=1000, seconds=10, connections=4)
    assert [len(connection) for connection in plan] == [2500] * 4
    assert gaps.mean() == pytest.approx(0.001, rel=0.05)
    assert gaps.std() == pytest.approx(0.001, rel=0.05)  # a Poisson process has gaps as spread as they are long


def test_the_load_generator_counts_what_is_answered(server: Server) -> None:
    """Every planned request is sent once and answered; one that is refused is a failure."""
    plan = openloop.schedules(time.perf_counter(), rate=500, seconds=0.5, connections=4)
    callers = [openloop.Caller(server.port, REQUEST, due) for due in plan]
    refused = openloop.Caller(server.port, REQUEST.replace(b"livez", b"nowhere"), [time.perf_counter()])

    openloop.run([*callers, refused])

    told = openloop.summarize(callers)
    assert (told["planned"], told["unsent"], told["failures"]) == (250, 0, 0)
    assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]
    assert refused.failures == 1


def test_the_load_generator_survives_a_server_that_hangs_up() -> None:
    """A connection that breaks fails its request, and the next one opens it again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(3):
                listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        now = time.perf_counter()
        caller = openloop.Caller(listener.getsockname()[1], REQUEST, [now, now + 0.1, now + 0.2])
        openloop.run([caller])
    assert (caller.failures, len(caller.latencies)) == (3, 3)


def test_a_request_that_was_never_sent_counts_as_waiting() -> None:
    """A server that stalls is charged for everyone who would have asked meanwhile (coordinated omission)."""
    caller = openloop.Caller(port=0, request=b"", due=[0.0] * 100)
    caller.latencies = [0.001] * 50

    told = openloop.summarize([caller])

    assert (told["planned"], told["unsent"]) == (100, 50)
    assert told["p99_ms"] == told["max_ms"] == openloop.GIVE_UP * 1e3


def test_table_tells_median_range_and_ratio_to_the_first() -> None:
    """The first subject is what the others are held to."""
    told = results.table({"ours": {"cpu_us": [50.0, 40.0, 60.0]}, "theirs": {"cpu_us": [100.0]}})

    assert told.splitlines()[2:] == ["| ours | 50 µs (40 to 60) |", "| theirs | 100 µs, 2x |"]


def test_what_was_not_measured_is_said() -> None:
    """A peer that failed stands in the result with its reason."""
    run = results.Results(options={}, failures={"theirs": "cannot be installed"})

    assert "- theirs: not measured: cannot be installed" in run.markdown()


@pytest.mark.parametrize("name", peers.every())
def test_every_peer_is_described_and_pinned(name: str) -> None:
    """A folder is enough: what starts it, why that is fair, and exact versions of what it needs."""
    peer = peers.read(name)
    requirements = peer.folder / "requirements.txt"

    assert peer.command
    assert peer.why.endswith(".")
    assert all("==" in line for line in requirements.read_text().splitlines()) if requirements.exists() else True


def test_every_protocol_asks_the_same_row() -> None:
    """A peer is asked in its own words for the same values."""
    settings = Settings()
    manifest = Bundle.read(bundle.find_newest_version(settings.model_store, settings.model_name)).manifest
    row = manifest.golden[0].features

    named = json.loads(peers.read("fastapi").question(manifest, row))
    tensor = json.loads(peers.read("mlserver").question(manifest, row))

    assert list(named["features"].values()) == tensor["inputs"][0]["data"] == pytest.approx(row, rel=1e-3)


def test_the_requests_that_compare_two_checkouts_are_answered_as_expected(server: Server) -> None:
    """Every kind of request gets its status; any other status ends the measurement."""
    settings = Settings()
    shipped = Bundle.read(bundle.find_newest_version(settings.model_store, settings.model_name))
    exchanges = regression.exchanges(Bench(shipped, (0,), (), rounds=1, seconds=1, open_seconds=1))

    for exchange in exchanges.values():
        assert closed_loop_client.saturate(server.port, exchange, seconds=0.1) >= exchange.connections
    with pytest.raises(peers.PeerError, match="/predict answers 422 instead of 200"):
        closed_loop_client.saturate(server.port, exchanges["422"]._replace(status=200), seconds=0.1)


def test_each_traced_request_has_its_own_identifiers() -> None:
    """So that a cache of parsed headers does not flatter a checkout that has one."""
    first, second, *_ = itertools.islice(
        closed_loop_client.messages(closed_loop_client.Exchange("/predict", b"{}", traced=True)), 2
    )

    assert first != second
    assert first.splitlines()[3:5] == [b"traceparent: 00-%032x-%016x-01" % (1, 1), b"X-Request-ID: request-1"]


def test_a_comparison_of_checkouts_shows_medians_and_the_ratio_of_each_round() -> None:
    """A disturbance of one round stands in the range and not in the median."""
    table = regression.table([{"list": 100.0}, {"list": 100.0}, {"list": 200.0}], [{"list": 110.0}] * 3)

    assert table.splitlines()[2:] == ["| list | 100 µs (100 to 200) | 110 µs | 1.1 x (0.55 to 1.1) |"]
