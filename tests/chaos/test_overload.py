"""Under three times the load that it can carry, the service answers as much as before; the rest is refused cheaply.

Probes of the health port are answered at once all the while. The service has a core of its own, clients and probes have
another. The fast path answers faster than one program can send, so that there three programs that only count share the
service's core.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

import pytest
import requests
from support.bad_input import GOOD
from support.closed_loop_clients import LoadResult, post
from support.fault_reports import Report
from support.gunicorn_server import free_port, kill, serving, workers

from benchmarks.server import pinned_to

pytestmark = pytest.mark.alone

SETTINGS = {"MENAGERIE_MAX_CONCURRENCY": "8", "WEB_CONCURRENCY": "1"}
PROBES = ("/livez", "/readyz")
PROBE_SECONDS = 0.5  # half of what a kubelet waits by default
HEALTH_PATHS = ("/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready")
CORES = sorted(os.sched_getaffinity(0))
BATCH = b'{"instances": [%s]}' % b", ".join([b"[6.8, 31, 42, 36, 11.4, 8.2, 7.6, 38.6]"] * 1_000)
CLIENTS = Path(__file__).resolve().parent.parent / "support" / "open_loop_clients.py"


class Scenario(NamedTuple):
    """A request, how many clients send it to measure the capacity, and further options of the clients."""

    name: str
    request: bytes
    clients: int
    options: tuple[str, ...] = ()
    busy_programs: int = 0  # that share the service's core
    has_room: bool = True  # for new connections to the service's port
    is_short: bool = True  # whether the short form has it


SCENARIOS = [
    Scenario(
        "single rows, a proxy's 500 connections",
        post("/predict", GOOD),
        64,
        ("--max-connections=500",),
        busy_programs=3,
        is_short=False,
    ),
    Scenario(
        "single rows, a new connection if none is idle", post("/predict", GOOD), 64, busy_programs=3, has_room=False
    ),
    Scenario(
        "single rows, each on a new connection",
        post("/predict", GOOD),
        64,
        ("--new-connections",),
        busy_programs=3,
        has_room=False,
    ),
    Scenario("explanations", post("/explain", GOOD), 8),
    Scenario("batches of 1,000 rows", post("/predict", BATCH), 8, is_short=False),
]


class Probes:
    """Requests health again and again, each time on a new connection, as Kubernetes does."""

    def __init__(self, port: int, paths: Sequence[str]) -> None:
        self.max_latency = 0.0
        self.failed: list[object] = []
        self._port = port
        self._paths = paths
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            for path in self._paths:
                sent_at = time.perf_counter()
                answer = requests.get(f"http://127.0.0.1:{self._port}{path}", timeout=60)
                self.max_latency = max(self.max_latency, time.perf_counter() - sent_at)
                self.failed += [] if answer.status_code == 200 else [path, answer.status_code]
                self._is_over.wait(0.05)


def run_clients(scenario: Scenario, port: int, pid: int, seconds: float, *options: str) -> dict[str, Any]:
    """The results of tests/support/open_loop_clients.py."""
    command = [sys.executable, str(CLIENTS), f"--port={port}", f"--pid={pid}", f"--seconds={seconds}"]
    command += [*scenario.options, *options]
    done = subprocess.run(command, input=scenario.request, stdout=subprocess.PIPE, check=True, timeout=seconds + 60)
    results: dict[str, Any] = json.loads(done.stdout)
    return results


@contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """So many programs that take all the CPU time they get."""
    with ExitStack() as stack:
        for _ in range(count):
            program = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(program.kill)
        yield


def merge(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The results of several runs as one: sums of what is counted, maxima of maxima, the median of each p99."""
    outcomes: Counter[str] = sum((Counter(one["outcomes"]) for one in results), Counter())
    sums = {name: sum(one[name] for one in results) for name in ("seconds", "cpu")}
    maxima = {name: max(one[name] for one in results) for name in ("max_lag", "max_latency")}
    return {"outcomes": outcomes, **sums, **maxima, "p99": median(one["p99"] for one in results)}


class Outcome(NamedTuple):
    """What became of three times the load.

    ``kept`` is the share of the capacity that was answered, ``probe_seconds`` the time of the slowest probe.
    """

    kept: float
    probe_seconds: float
    result: LoadResult
    notes: str


def overload(scenario: Scenario, port: int, health_port: int, worker: int, rounds: list[float]) -> Outcome:
    """Measure the capacity, then send three times as much; repeat for each of the ``rounds``, given in seconds.

    Both take turns, because a machine is not always as fast.
    """
    at_capacity, above = [], []
    with (
        Probes(health_port, PROBES) as probes,
        Probes(port, HEALTH_PATHS) if scenario.has_room else nullcontext() as health,
    ):
        for seconds in rounds:
            clients = (f"--clients={scenario.clients}", "--timeout=8", "--warm-up=1")
            one = run_clients(scenario, port, worker, seconds, *clients)
            # A second; longer on a machine where others take away most of what the worker should get.
            timeout = min(8, max(1, one["seconds"] / one["cpu"] / (1 + scenario.busy_programs) / 1.3))
            rate = 3 * one["outcomes"]["good"] / one["seconds"]
            options = (f"--rate={rate}", f"--timeout={timeout}", f"--warm-up={2 * timeout}")
            above.append(run_clients(scenario, port, worker, seconds * timeout, *options))
            at_capacity.append(one)
    assert not probes.failed
    assert not (health and health.failed)
    normal, over = merge(at_capacity), merge(above)
    capacity = normal["outcomes"]["good"] / normal["seconds"]
    outcomes = over["outcomes"]
    goodput = outcomes.get("good", 0) / over["seconds"]
    # By the server's own time, which others on this machine do not change.
    kept = outcomes.get("good", 0) / over["cpu"] / (normal["outcomes"]["good"] / normal["cpu"])
    notes = [
        f"{capacity:,.0f} a second can be answered",
        f"{3 * capacity:,.0f} asked",
        f"{goodput:,.0f} answered ({goodput / capacity:.0%}; by CPU time {kept:.0%})",
        *(
            f"{outcomes[outcome] / over['seconds']:,.0f} {outcome}"
            for outcome in ("refused", "late", "not sent")
            if outcome in outcomes
        ),
        f"within {timeout:.1f} s",
        f"p99 {over['p99'] * 1e3:.0f} ms",
        f"probes {probes.max_latency * 1e3:.0f} ms at worst",
        *([f"health on the service's port {health.max_latency * 1e3:.0f} ms at worst"] if health else []),
        f"requests sent late by {over['max_lag'] * 1e3:.0f} ms at worst",
    ]
    result = LoadResult(sum(outcomes.values()), lost=outcomes.get("broken", 0), wrong=outcomes.get("wrong", 0))
    result.latencies = [over["max_latency"]]
    return Outcome(kept, probes.max_latency, result, "; ".join(notes))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All scenarios in the long form."""
    scenarios = [one for one in SCENARIOS if one.is_short or metafunc.config.getoption("long")]
    metafunc.parametrize("scenario", scenarios, ids=[one.name for one in scenarios])


def test_goodput_holds_under_overload(report: Report, long: bool, scenario: Scenario) -> None:
    """Nearly as much is answered in time as at capacity; nothing is wrong or cut off, and probes succeed in time.

    A machine that stops the clients themselves for a while measures these: then it is tried again.
    """
    # Without the acceptor it was 0.2 and less, as often as one tries; below 0.8 is noise, or a fault.
    tries, rounds, min_kept = (1, [4.0] * 6, 0.6) if long else (4, [3.0], 0.3)
    with ExitStack() as stack:
        with pinned_to(CORES[:1]):
            health_port = free_port()
            server = stack.enter_context(serving(MENAGERIE_HEALTH_PORT=str(health_port), **SETTINGS))
            stack.callback(kill, server)
            stack.enter_context(busy_programs(scenario.busy_programs))
        stack.enter_context(pinned_to(CORES[-1:]))
        _, worker = workers(server)  # the first answers probes
        for number in range(1, tries + 1):
            outcome = overload(scenario, server.port, health_port, worker, rounds)
            report(f"three times the load: {scenario.name}", number, outcome.result, outcome.notes)
            assert (outcome.result.lost, outcome.result.wrong) == (0, 0)
            if outcome.kept > min_kept and outcome.probe_seconds < PROBE_SECONDS:
                return
    pytest.fail(f"{outcome.kept:.0%} of the capacity was answered, the slowest probe in {outcome.probe_seconds:.3f} s")
