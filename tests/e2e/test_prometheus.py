"""Debian's Prometheus over real gunicorn masters: it has counted what the callers did, whoever died meanwhile."""

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
from support.prometheus_server import Prometheus, await_true, scraping

WORKERS, BATCH = 3, 300
_COLD = json.dumps({"features": [*KNOWN["dog"][:-1], 30.0]}).encode()  # no dog of the training rows is so cold
_MANY = json.dumps({"instances": [KNOWN["dog"]] * BATCH}).encode()
ASKED = {
    ("/predict", 200): Exchange(post("/predict", _COLD), lambda body: json.loads(body)["label"] == "dog"),
    ("/v1/models/{model}:predict", 200): Exchange(post("/v1/models/animals:predict", _MANY), bool),
    ("/predict", 422): Exchange(post("/predict", b'{"features": [1]}'), bool),
    ("/predict", 400): Exchange(post("/predict", b"{", chunked=True), bool),
}
LIVES = {
    "now": "sum by (instance) (menagerie_workers)",
    "begun": "menagerie_worker_starts_total",
    "as planned": 'menagerie_worker_exits_total{kind="planned"}',
    "otherwise": 'menagerie_worker_exits_total{kind="unplanned"}',
}
PREDICTED = [  # and how often a row of the one question counts, and a batch of the other
    ("menagerie_rows_total", 1, BATCH),
    ('menagerie_predictions_total{label="dog"}', 1, BATCH),
    ("menagerie_prediction_confidence_ratio_count", 1, BATCH),
    ("menagerie_inference_duration_seconds_count", 1, 1),
    ('menagerie_warnings_total{feature="body_temperature_c"}', 1, 0),
]


def by_instance(prometheus: Prometheus, query: str) -> dict[str, float]:
    return {found["metric"]["instance"]: float(found["value"][1]) for found in prometheus.ask(query)}


@contextmanager
def loaded(server: Server) -> Iterator[dict[tuple[str, int], LoadResult]]:
    """Two callers for each question until the block ends; what became of them, by route and status."""
    with ExitStack() as stack:
        yield {
            asked: stack.enter_context(Load(server.port, clients=2, exchanges=[question])).result
            for asked, question in ASKED.items()
        }


def await_replaced(server: Server, gone: list[int]) -> None:
    await_true(lambda: len(now := workers(server)) == WORKERS and not set(now) & set(gone))


def test_counters_equal_what_callers_counted(tmp_path: Path) -> None:
    """One master's workers are killed, another's are replaced: nothing is lost, counted twice or begun anew."""
    set_up = {"WEB_CONCURRENCY": str(WORKERS), "MENAGERIE_DRAIN_SECONDS": "0.5"}
    with serving(**set_up) as killed, serving(**set_up) as reloaded, scraping(tmp_path) as prometheus:
        ask = partial(by_instance, prometheus)
        prometheus.watch({"menagerie": [killed.port, reloaded.port]})
        both = [f"127.0.0.1:{server.port}" for server in (killed, reloaded)]
        await_true(lambda: ask("up == 1").keys() == set(both))
        with loaded(killed) as lossy, loaded(reloaded) as lossless:
            for _ in range(2):
                time.sleep(1)
                victim, before = workers(killed)[0], workers(reloaded)
                os.kill(victim, signal.SIGKILL)
                reloaded.process.send_signal(signal.SIGHUP)
                await_replaced(killed, [victim])
                await_replaced(reloaded, before)
        ended = time.time()
        await_true(lambda: min(ask("timestamp(menagerie_start_time_seconds)").values()) > ended + 1)

        lives = {kind: ask(query) for kind, query in LIVES.items()}
        assert lives == {
            "now": dict.fromkeys(both, WORKERS),
            "begun": {both[0]: WORKERS + 2, both[1]: WORKERS * 3},
            "as planned": {both[0]: 0, both[1]: WORKERS * 2},
            "otherwise": {both[0]: 2, both[1]: 0},
        }
        assert set(ask("max by (instance) (resets(menagerie_requests_total[5m]))").values()) == {0}
        for (route, status), lost in lossy.items():
            kept = lossless[route, status]
            assert (kept.lost, kept.wrong, lost.wrong) == (0, 0, 0)
            counted = ask(f'menagerie_requests_total{{route="{route}", status="{status}"}}')
            assert counted[both[1]] == kept.statuses[status] == kept.sent > 0
            # Whoever was cut off may have been counted; whoever was answered was.
            assert lost.sent - lost.lost == lost.statuses[status] <= counted[both[0]] <= lost.sent
        for query, of_a_row, of_a_batch in PREDICTED:
            counted = ask(query)
            least, most = at_least_and_most(lossless, of_a_row, of_a_batch)
            assert least == counted[both[1]] == most > 0
            least, most = at_least_and_most(lossy, of_a_row, of_a_batch)
            assert least <= counted[both[0]] <= most


def at_least_and_most(tallies: dict[tuple[str, int], LoadResult], of_a_row: int, of_a_batch: int) -> tuple[int, int]:
    """How often something was counted, if it is so often for a question with one row and with a batch."""
    row, batch = tallies["/predict", 200], tallies["/v1/models/{model}:predict", 200]
    least = row.statuses[200] * of_a_row + batch.statuses[200] * of_a_batch
    return least, row.sent * of_a_row + batch.sent * of_a_batch


def test_what_is_no_request_is_counted(server: Server) -> None:
    """What is refused before any route could answer has a reason of its own, whichever worker is asked for it."""

    def counted(reason: str) -> float:
        found = requests.get(f"{server.url}/metrics", timeout=10).text
        return float(found.split(f'menagerie_rejections_total{{reason="{reason}"}} ')[1].split("\n")[0])

    sent = {"malformed-head": b"NO SENSE\r\n\r\n", "long-head": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000}
    before = {reason: counted(reason) for reason in sent}
    for head in sent.values():
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as caller:
            caller.sendall(head)
            assert caller.recv(1000).startswith(b"HTTP/1.1 4")
    assert {reason: counted(reason) for reason in sent} == {reason: count + 1 for reason, count in before.items()}
