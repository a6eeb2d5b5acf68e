"""What real workers have observed: all requests a moment later or after a planned exit, nearly all before a kill."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from support.gunicorn_server import Server, await_workers, serving, workers
from support.known_animals import KNOWN
from support.waiting import await_equal, await_metrics

QUIET_SECONDS = 1.0  # within which a worker has observed all of its requests, also on a busy machine
DOG = {"features": KNOWN["dog"]}
REQUESTS = [  # method, path, body, the route's label, status
    ("POST", "/predict", DOG, "/predict", 200),
    ("POST", "/predict", {"features": [1]}, "/predict", 422),
    ("POST", "/predict", {"instances": [KNOWN["dog"]] * 300}, "/predict", 200),
    ("POST", "/v1/models/animals:predict", {"instances": [KNOWN["cat"]]}, "/v1/models/{model}:predict", 200),
    ("GET", "/v2/models/animals", None, "/v2/models/{model}", 200),
    ("GET", "/nowhere", None, "none", 404),
    ("POST", "/v1/nowhere", DOG, "none", 400),
    ("GET", "//predict", None, "none", 405),
]
ROUNDS, CLIENTS = 15, 8
SINGLE = 90  # requests to a worker before it is killed


@contextmanager
def two_workers() -> Iterator[Server]:
    with serving(WEB_CONCURRENCY="2", MENAGERIE_LOG_RATE="1e9", MENAGERIE_LOG_FAILURE_RATE="1e9") as server:
        await_workers(server, lambda now: len(now) == 2)
        yield server


def send_mixed(server: Server) -> Counter[tuple[str, int]]:
    """Send every request in turn from several clients; how many by route and status."""

    def send(_client: int) -> None:
        for _round in range(ROUNDS):
            with requests.Session() as session:  # a new connection goes to any worker
                for method, path, body, _route, status in REQUESTS:
                    response = session.request(method, server.url + path, json=body, timeout=30)
                    assert response.status_code == status

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(send, range(CLIENTS)))
    sent: Counter[tuple[str, int]] = Counter()
    for *_, route, status in REQUESTS:
        sent[route, status] += ROUNDS * CLIENTS
    return sent


def counted(server: Server) -> Counter[tuple[str, int]]:
    """The requests in /metrics by route and status, without those of the tests' own polling."""
    counts: Counter[tuple[str, int]] = Counter()
    for family in text_string_to_metric_families(requests.get(f"{server.url}/metrics", timeout=30).text):
        for sample in family.samples:
            if sample.name == "menagerie_requests_total" and sample.labels["route"] not in {"/readyz", "/metrics"}:
                counts[sample.labels["route"], int(sample.labels["status"])] += int(sample.value)
    return counts


def statistics(server: Server) -> tuple[int, int, int]:
    """Successes, failures and predicted rows in the statistics of the Open Inference Protocol."""
    (version,) = requests.get(f"{server.url}/v2/models/animals/stats", timeout=30).json()["model_stats"]
    outcomes = version["inference_stats"]
    return outcomes["success"]["count"], outcomes["fail"]["count"], version["inference_count"]


def test_counts_become_exact() -> None:
    """And stay so, whichever worker is scraped: it sums what both have counted."""
    with two_workers() as server:
        sent = send_mixed(server)
        await_equal(lambda: counted(server), sent)
        assert counted(server) == counted(server) == sent
        times, rows = ROUNDS * CLIENTS, ROUNDS * CLIENTS * (1 + 300 + 1)
        assert "nowhere" not in await_metrics(server, f'menagerie_rows_total{{model="animals",version="1"}} {rows}.0\n')
        await_equal(lambda: statistics(server), (3 * times, times, rows))


def test_a_planned_exit_loses_nothing() -> None:
    """Workers are told to exit right after their last responses: every request is counted and has its log line."""
    with two_workers() as server:
        sent = send_mixed(server)
        before = workers(server)
        server.process.send_signal(signal.SIGHUP)
        await_workers(server, lambda now: len(now) == 2 and not set(now) & set(before))
        assert counted(server) == sent
        last = send_mixed(server)
        server.process.terminate()
        lines = [json.loads(line) for line in server.process.communicate(timeout=60)[1].splitlines()]
    logged = Counter(
        (line.get("route", "none"), line["status"]) for line in lines if line["logger"].endswith("requests")
    )
    assert {key: count for key, count in logged.items() if key[0] not in {"/readyz", "/metrics"}} == sent + last


@pytest.mark.parametrize("is_quiet", [True, False])
def test_a_killed_worker_loses_at_most_its_last_moment(is_quiet: bool) -> None:
    """Its last 100 ms; nothing if it was idle for as long."""
    with serving(WEB_CONCURRENCY="1") as server, requests.Session() as session:
        responded: list[float] = []
        for _ in range(SINGLE):
            assert session.post(f"{server.url}/predict", json=DOG, timeout=30).ok
            responded.append(time.monotonic())
            time.sleep(0.02)
        time.sleep(QUIET_SECONDS if is_quiet else 0)
        (victim,) = workers(server)
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        await_workers(server, lambda now: len(now) == 1 and now != [victim])
        safe = sum(moment < killed - QUIET_SECONDS for moment in responded)
        assert (SINGLE if is_quiet else safe) <= counted(server)["/predict", 200] <= SINGLE
        assert safe >= 30
