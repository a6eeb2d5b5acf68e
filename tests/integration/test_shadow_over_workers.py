"""A shadow in real workers under load: its report is that of an offline comparison, and clients notice nothing."""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from support import runaway_networks
from support.gunicorn_server import Server, await_workers, serving, workers
from support.handmade_bundles import Network, publish
from support.menagerie_command import run_command
from support.mutated_networks import write_bundle
from support.shadow_networks import OVERFLOW_ABOVE, build_overflowing
from support.waiting import await_everywhere, await_version

from models import bundle
from models.bundle import CURRENT, SHADOW
from service.app import api_keys

Rows = list[list[float]]
SHAPE = (3, 4, 2)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model with two versions, of which none is a shadow yet."""
    for seed in (1, 2):
        publish(tmp_path / "store", Network.random(SHAPE, seed=seed))
    return tmp_path / "store"


def settings(store: Path, **more: str) -> dict[str, str]:
    names = {"MENAGERIE_MODEL_STORE": str(store), "MENAGERIE_MODEL_NAME": "handmade"}
    return names | {"MENAGERIE_POLL_SECONDS": "0.2", "WEB_CONCURRENCY": "2"} | more


def random_rows(count: int, seed: int = 0) -> Rows:
    rows: Rows = np.random.default_rng(seed).uniform(-3, OVERFLOW_ABOVE, (count, 3)).round(4).tolist()
    return rows


def get(server: Server, path: str = "/shadow") -> Any:
    response = requests.get(server.url + path, timeout=30)
    assert response.status_code == 200
    return response.json()


def await_report(server: Server, condition: Callable[[Any], bool]) -> Any:
    """The report once it meets the condition whichever worker gives it."""
    return await_everywhere(partial(get, server), condition)


def known(report: Any) -> int:
    """The rows of which it is known what became."""
    return int(report["rows"] + sum(report["dropped"].values()) + sum(report["failed"].values()))


def send(server: Server, batches: list[Rows]) -> Counter[int]:
    """Send batches as eight clients, each on new connections, so that all workers get some; the statuses."""

    def predict(rows: Rows) -> int:
        document = {"instances": rows} if len(rows) > 1 else {"features": rows[0]}
        return requests.post(f"{server.url}/predict", json=document, timeout=60).status_code

    with ThreadPoolExecutor(8) as clients:
        return Counter(clients.map(predict, batches))


def split(rows: Rows) -> list[Rows]:
    """Batches of one row, mostly, and of some others up to 500."""
    sizes = np.random.default_rng(2).choice([1, 1, 1, 1, 7, 300, 500], 10_000)
    ends = np.minimum(np.cumsum([0, *sizes.tolist()]), len(rows)).tolist()
    return [rows[start:end] for start, end in pairwise(ends) if start < end]


def write_table(path: Path, rows: Rows) -> Path:
    path.write_text("\n".join(["f1,f2,f3", *(",".join(map(str, row)) for row in rows)]))
    return path


def test_report_is_that_of_an_offline_comparison_of_the_same_rows(store: Path, tmp_path: Path) -> None:
    """The shadow is named while the service runs and before it exists; of rows under load, none is missing."""
    (store / "handmade" / "2").rename(tmp_path / "kept")
    rows = random_rows(9_000)
    with serving(**settings(store)) as server:
        bundle.write_shadow_version(store / "handmade", 2)
        await_report(server, lambda report: report["shadow"] is None and "no version 2 yet" in report["reason"])
        (tmp_path / "kept").rename(store / "handmade" / "2")
        await_report(server, lambda report: report["shadow"] == "2")
        assert get(server, "/health")["shadow"] == get(server, "/models")["models"][0]["shadow"] == 2
        batches = split(rows)
        assert send(server, batches) == {200: len(batches)}
        report = await_report(server, lambda report: known(report) >= len(rows))
        scraped = requests.get(f"{server.url}/metrics", timeout=30).text
    assert (report["rows"], known(report), report["share"]) == (9_000, 9_000, 1)
    table = write_table(tmp_path / "rows.csv", rows)
    command = ("score", "--compare", "1", "2", table, "--json", "--quiet")
    completed = run_command(*command, settings=settings(store))
    assert completed.returncode == 0, completed.stderr
    offline = json.loads(completed.stdout)
    fields = report.keys() & offline.keys()
    assert {*report} - fields == {"since", "share", "dropped", "failed"}
    assert {name: report[name] for name in fields} == {name: offline[name] for name in fields}
    counts = re.findall(r'menagerie_shadow_rows_total{.*outcome="(\w+)".*} ([\d.]+)', scraped)
    assert {outcome: float(count) for outcome, count in counts} == {
        "agree": offline["agree"]["rows"],
        "change": 9_000 - offline["agree"]["rows"],
    }


Answer = tuple[int, list[str], bytes]


def ask(server: Server, path: str, document: Any) -> Answer:
    """Status, names of the header fields, and body without the id of the request."""
    response = requests.post(server.url + path, json=document, timeout=30)
    body = re.sub(rb'"request_id": ?"\w+"', b"", response.content)
    return response.status_code, sorted(response.headers), body


def test_responses_are_the_same_with_and_without_a_shadow(store: Path) -> None:
    """Byte for byte, in each protocol, also where rows are refused, and on paths that name a version."""
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [0.5, -1, 2]}
    documents: list[tuple[str, Any]] = [
        *(("/predict", {"features": row}) for row in random_rows(30)),
        ("/predict", {"instances": random_rows(700)}),
        ("/predict", {"features": [9, 9, 9]}),
        ("/explain", {"features": [0.5, -1, 2]}),
        ("/models/handmade/predict", {"features": [0.5, -1, 2]}),
        ("/v1/models/handmade:predict", {"instances": random_rows(3)}),
        ("/v1/models/handmade/versions/2:predict", {"instances": random_rows(3)}),
        ("/v2/models/handmade/infer", {"inputs": [tensor]}),
        ("/v2/models/handmade/versions/1/infer", {"inputs": [tensor]}),
    ]
    (store / "handmade" / CURRENT).write_text("1")
    answers: list[list[Answer]] = []
    for content in ("", "2"):
        if content:
            (store / "handmade" / SHADOW).write_text(content)
        with serving(**settings(store)) as server:
            assert (get(server)["shadow"] or "") == content
            answers.append([ask(server, path, document) for path, document in documents])
            if content:
                await_report(server, lambda report: known(report) == 30 + 700 + 1 + 3 + 1 + 1)  # explanations are none
    assert answers[0] == answers[1]


class Clients:
    """Clients that send without pause and check that each response is of the version that it names."""

    def __init__(self, server: Server) -> None:
        self._url = server.url
        self._networks = {str(seed): Network.random(SHAPE, seed=seed) for seed in (1, 2)}
        self._is_over = False
        self._pool = ThreadPoolExecutor(6)
        self._sent = [self._pool.submit(self._run, client) for client in range(6)]

    def stop(self) -> Counter[str]:
        """The correct responses by version, and the other ones by what was wrong."""
        self._is_over = True
        counts = sum((each.result() for each in self._sent), Counter[str]())
        self._pool.shutdown()
        return counts

    def _run(self, client: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        rows = random_rows(100, seed=client)
        with requests.Session() as session:
            while not self._is_over:
                row = rows[counts.total() % len(rows)]
                try:
                    response = session.post(f"{self._url}/predict", json={"features": row}, timeout=30)
                    document = response.json()
                    version = document["model"]["version"]
                    expected = self._networks[version].outputs(np.array([row]))["probabilities"][0]
                    is_correct = list(document["probabilities"].values()) == pytest.approx(expected, abs=1e-5)
                    counts[version if response.status_code == 200 and is_correct else "wrong"] += 1
                except Exception as error:  # noqa: BLE001 (whatever it is, a request was lost)
                    counts[repr(error)] += 1
        return counts


def test_promoting_the_shadow_loses_nothing(store: Path) -> None:
    """By the command, under load, and back again; whichever file changes first, no other version serves in between."""
    home = store / "handmade"
    bundle.write_shadow_version(home, 2)
    options = ("--store", store, "--name", "handmade")
    with serving(**settings(store)) as server:
        clients = Clients(server)
        await_report(server, lambda report: bool(report["shadow"]) and report["rows"] > 300)
        promoted = run_command("bundle", "promote", "2", *options)
        assert promoted.returncode == 0, promoted.stderr
        await_version(server, "2")
        await_report(server, lambda report: report["shadow"] is None)
        assert not (home / SHADOW).exists()
        assert run_command("bundle", "rollback", *options).returncode == 0
        await_version(server, "1")
        assert run_command("bundle", "shadow", "2", *options).returncode == 0
        await_report(server, lambda report: report["shadow"] == "2")
        (home / SHADOW).unlink()
        await_report(server, lambda report: report["shadow"] is None)
        (home / CURRENT).unlink()
        await_version(server, "2")
        counts = clients.stop()
    assert {*counts} == {"1", "2"}
    assert counts.total() > 500


def test_shadow_that_fails_is_reported_and_seen_by_no_client(store: Path) -> None:
    """One whose output overflows on some rows is compared on the others; one that fails its check is no shadow."""
    home = store / "handmade"
    publish(store, build_overflowing(), weights=False)
    bundle.write_shadow_version(home, 3)
    rows = [*random_rows(40), [3.0, 0, 0], [2.99, 1, 1]]
    with serving(**settings(store)) as server:
        assert send(server, [[row] for row in rows]) == {200: 42}
        report = await_report(server, lambda report: known(report) == 42)
        assert (report["rows"], report["failed"]) == (40, {"network": 2, "input": 0})
    crashing = write_bundle(store.parent / "aside", runaway_networks.build_greedy(), version=4)
    manifest = json.loads((crashing / "manifest.json").read_text())
    (crashing / "manifest.json").write_text(json.dumps(manifest | {"name": "handmade"}))
    crashing.rename(home / "4")
    bundle.write_shadow_version(home, 4)
    with serving(**settings(store)) as server:
        report = get(server)
        assert (report["serving"], report["shadow"]) == ("3", None)
        assert "version 4 is refused: the network in 4 cannot be run" in report["reason"]
        assert send(server, [[row] for row in random_rows(20)]) == {200: 20}
        assert get(server, "/health")["shadow_fault"] == report["reason"]


def test_overload_drops_rows_not_requests(store: Path) -> None:
    """Batches that fill the queue at once, from clients that never pause: each is answered, each row accounted for."""
    bundle.write_shadow_version(store / "handmade", 2)
    with serving(**settings(store, WEB_CONCURRENCY="1", MENAGERIE_SHADOW_ROWS="500")) as server:
        batches = [random_rows(2_000)] * 60
        assert send(server, batches) == {200: 60}
        report = await_report(server, lambda report: known(report) == 120_000)
    assert report["dropped"]["overload"] + report["dropped"]["queue"] >= 1_500 * 40
    assert report["rows"] == 120_000 - sum(report["dropped"].values()) > 0


def test_counts_survive_workers(store: Path) -> None:
    """A worker that is killed loses no more than what waited; one that is replaced loses nothing."""
    bundle.write_shadow_version(store / "handmade", 2)
    with serving(**settings(store)) as server:
        assert send(server, [[row] for row in random_rows(200)]) == {200: 200}
        await_report(server, lambda report: report["rows"] == 200)
        os.kill(workers(server)[0], signal.SIGKILL)
        await_workers(server, lambda now: len(now) == 2)
        await_report(server, lambda report: report["rows"] == 200)
        first = workers(server)
        server.process.send_signal(signal.SIGHUP)
        await_workers(server, lambda now: len(now) == 2 and not {*now} & {*first})
        assert send(server, [[row] for row in random_rows(100)]) == {200: 100}
        report = await_report(server, lambda report: known(report) == 300)
    assert (report["rows"], report["dropped"]["exit"]) == (300, 0)


def test_report_needs_a_key_where_keys_are_set(store: Path) -> None:
    """The reason for no shadow is for clients with a key only."""
    key, digest = api_keys.make()
    (store / "handmade" / SHADOW).write_text("soon")
    with serving(**settings(store, MENAGERIE_API_KEYS=digest)) as server:
        assert requests.get(f"{server.url}/shadow", timeout=30).status_code == 401
        response = requests.get(f"{server.url}/shadow", headers={"X-API-Key": key}, timeout=30)
        assert response.json()["reason"].startswith("SHADOW must contain")
        assert get(server, "/health")["shadow_fault"] == "send an API key to see the reason"
