"""Prometheus over two real gunicorn masters: it has counted what the clients sent, although workers ended meanwhile."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import requests
from support.closed_loop_clients import Exchange, Load, LoadResult, post
from support.gunicorn_server import Server, serving, workers
from support.known_animals import KNOWN
from support.prometheus_server import Prometheus, running_prometheus
from support.waiting import await_true

WORKERS, BATCH = 3, 300
KILLS = 2
# Of its requests, a killed worker loses those that its observers had not counted: at most 64 that were pending and 64
# that were being counted (`service.monitoring.observations`). A large batch is hardly ever pending.
MAX_LOST_PER_KILL, MAX_LOST_BATCHES_PER_KILL = 128, 2
_COLD = json.dumps({"features": [*KNOWN["dog"][:-1], 30.0]}).encode()  # colder than any dog of the training rows
_MANY = json.dumps({"instances": [KNOWN["dog"]] * BATCH}).encode()
EXCHANGES = {
    ("/predict", 200): Exchange(post("/predict", _COLD), lambda body: json.loads(body)["label"] == "dog"),
    ("/v1/models/{model}:predict", 200): Exchange(post("/v1/models/animals:predict", _MANY), bool),
    ("/predict", 422): Exchange(post("/predict", b'{"features": [1]}'), bool),
    ("/predict", 400): Exchange(post("/predict", b"{", chunked=True), bool),
}
WORKER_QUERIES = {
    "living": "sum by (instance) (menagerie_workers)",
    "started": "menagerie_worker_starts_total",
    "planned exits": 'menagerie_worker_exits_total{kind="planned"}',
    "unplanned exits": 'menagerie_worker_exits_total{kind="unplanned"}',
}
PREDICTED = [  # and how often a single row counts, and how often a batch
    ("menagerie_rows_total", 1, BATCH),
    ('menagerie_predictions_total{label="dog"}', 1, BATCH),
    ("menagerie_prediction_confidence_ratio_count", 1, BATCH),
    ("menagerie_inference_duration_seconds_count", 1, 1),
    ('menagerie_warnings_total{feature="body_temperature_c"}', 1, 0),
]


def by_instance(prometheus: Prometheus, query: str) -> dict[str, float]:
    return {sample["metric"]["instance"]: float(sample["value"][1]) for sample in prometheus.query(query)}


@contextmanager
def under_load(server: Server) -> Iterator[dict[tuple[str, int], LoadResult]]:
    """Two clients for each exchange until the block ends; their results by route and status."""
    with ExitStack() as stack:
        yield {
            key: stack.enter_context(Load(server.port, clients=2, exchanges=[exchange])).result
            for key, exchange in EXCHANGES.items()
        }


def await_replaced(server: Server, before: list[int]) -> None:
    await_true(lambda: len(now := workers(server)) == WORKERS and not set(now) & set(before))


def test_counters_equal_what_clients_counted(tmp_path: Path) -> None:
    """One master's workers are killed, another's are replaced: nothing is counted twice, and no counter starts anew.

    A planned exit loses nothing, a kill no more than the last requests.
    """
    settings = {"WEB_CONCURRENCY": str(WORKERS), "MENAGERIE_DRAIN_SECONDS": "0.5"}
    with serving(**settings) as killed, serving(**settings) as reloaded, running_prometheus(tmp_path) as prometheus:
        query = partial(by_instance, prometheus)
        prometheus.scrape({"menagerie": [killed.port, reloaded.port]})
        both = [f"127.0.0.1:{server.port}" for server in (killed, reloaded)]
        await_true(lambda: query("up == 1").keys() == set(both))
        with under_load(killed) as lossy, under_load(reloaded) as lossless:
            for _ in range(KILLS):
                time.sleep(1)
                victim, before = workers(killed)[0], workers(reloaded)
                os.kill(victim, signal.SIGKILL)
                reloaded.process.send_signal(signal.SIGHUP)
                await_replaced(killed, [victim])
                await_replaced(reloaded, before)
        ended = time.time()
        await_true(lambda: min(query("timestamp(menagerie_start_time_seconds)").values()) > ended + 1)

        assert {name: query(expression) for name, expression in WORKER_QUERIES.items()} == {
            "living": dict.fromkeys(both, WORKERS),
            "started": {both[0]: WORKERS + KILLS, both[1]: WORKERS * (KILLS + 1)},
            "planned exits": {both[0]: 0, both[1]: WORKERS * KILLS},
            "unplanned exits": {both[0]: KILLS, both[1]: 0},
        }
        assert set(query("max by (instance) (resets(menagerie_requests_total[5m]))").values()) == {0}
        uncounted = 0.0
        for (route, status), lost in lossy.items():
            kept = lossless[route, status]
            assert (kept.lost, kept.wrong, lost.wrong) == (0, 0, 0)
            counted = query(f'menagerie_requests_total{{route="{route}", status="{status}"}}')
            assert counted[both[1]] == kept.statuses[status] == kept.sent > 0
            # A request whose connection was cut may have been counted.
            assert lost.sent - lost.lost == lost.statuses[status]
            assert counted[both[0]] <= lost.sent
            uncounted += max(0, lost.statuses[status] - counted[both[0]])
        assert uncounted <= KILLS * MAX_LOST_PER_KILL
        for expression, per_row, per_batch in PREDICTED:
            counted = query(expression)
            lower, upper = bounds(lossless, per_row, per_batch)
            assert lower == counted[both[1]] == upper > 0
            lower, upper = bounds(lossy, per_row, per_batch)
            max_lost = KILLS * (MAX_LOST_PER_KILL * per_row + MAX_LOST_BATCHES_PER_KILL * per_batch)
            assert lower - max_lost <= counted[both[0]] <= upper


def bounds(results: dict[tuple[str, int], LoadResult], per_row: int, per_batch: int) -> tuple[int, int]:
    """The least and the most that a metric may have counted, given its increments for a single row and for a batch."""
    row, batch = results["/predict", 200], results["/v1/models/{model}:predict", 200]
    lower = row.statuses[200] * per_row + batch.statuses[200] * per_batch
    return lower, row.sent * per_row + batch.sent * per_batch


def test_refused_connections_are_counted(server: Server) -> None:
    """What is refused before any route could match has a reason of its own, whichever worker is scraped."""

    def counted(reason: str) -> float:
        metrics = requests.get(f"{server.url}/metrics", timeout=10).text
        return float(metrics.split(f'menagerie_rejections_total{{reason="{reason}"}} ')[1].split("\n")[0])

    sent = {"malformed-head": b"NO SENSE\r\n\r\n", "long-head": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000}
    before = {reason: counted(reason) for reason in sent}
    for head in sent.values():
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(head)
            assert client.recv(1000).startswith(b"HTTP/1.1 4")
    assert {reason: counted(reason) for reason in sent} == {reason: count + 1 for reason, count in before.items()}
