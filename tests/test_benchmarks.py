"""The benchmark's arithmetic: schedules, what a late answer costs, how figures are told."""

import json

import pytest

from benchmarks import openloop, peers, results
from models import bundle
from service.settings import Settings


def test_schedule_deals_out_the_rate_evenly() -> None:
    """Together the connections send at the rate, each at its share of it."""
    plan = openloop.schedules(start=10.0, rate=100, seconds=1, connections=4)

    assert sorted(due for connection in plan for due in connection) == pytest.approx([10 + n / 100 for n in range(100)])
    assert plan[1] == pytest.approx([10.01 + n / 25 for n in range(25)])


def test_a_request_that_was_never_sent_counts_as_waiting() -> None:
    """A server that stalls is charged for everyone who would have asked meanwhile (coordinated omission)."""
    caller = openloop.Caller(port=0, path="/", body=b"", due=[0.0] * 100, latencies=[0.001] * 50)

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
    manifest = bundle.read(bundle.newest(settings.model_store, settings.model_name)).manifest
    row = manifest.golden[0].features

    named = json.loads(peers.read("fastapi").question(manifest, row))
    tensor = json.loads(peers.read("mlserver").question(manifest, row))

    assert list(named["features"].values()) == tensor["inputs"][0]["data"] == pytest.approx(row, rel=1e-3)
