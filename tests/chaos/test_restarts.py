"""Processes come and go under load: every request that they accepted is answered."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.closed_loop_clients import Load
from support.fault_reports import Report, merge, repeat_under_load, require_nothing_lost
from support.gunicorn_server import ROOT, Server, await_workers, free_port, serving, workers
from support.nginx_balancer import balancing

pytestmark = pytest.mark.alone

SHORT, LONG = 4_000, 50_000  # requests
DRAIN = {"MENAGERIE_DRAIN_SECONDS": "1"}


def await_replacement(server: Server, before: list[int], gone: list[int]) -> None:
    """Return once some workers are gone, and there are as many as before."""
    await_workers(server, lambda now: len(now) == len(before) and not set(now) & set(gone))


def test_sighup_replaces_the_workers(report: Report, long: bool) -> None:
    """New workers take over from the old; of that a client sees only `Connection: close`."""
    with serving(**DRAIN) as server:

        def reload() -> None:
            before = workers(server)
            server.process.send_signal(signal.SIGHUP)
            await_replacement(server, before, before)

        busy, calm, times = repeat_under_load(server.port, LONG if long else SHORT, reload)
    report("SIGHUP", times, merge(busy, calm))
    require_nothing_lost(busy, calm)


def test_sighup_with_a_broken_configuration_changes_nothing(tmp_path: Path) -> None:
    """A file that is not Python does not stop the service: it keeps the old configuration."""
    config = tmp_path / "gunicorn.conf.py"
    config.write_text((ROOT / "service" / "gunicorn.conf.py").read_text())
    with serving("--config", str(config), **DRAIN) as server:
        config.write_text("this is no Python")
        while len(before := workers(server)) < 2:
            time.sleep(0.05)
        with Load(server.port) as load:
            server.process.send_signal(signal.SIGHUP)
            await_replacement(server, before, before)
    require_nothing_lost(load.result)


def test_a_worker_is_replaced_after_max_requests(report: Report, long: bool) -> None:
    """It announces the close on every response; the service stays ready."""
    min_requests = LONG if long else SHORT
    with serving("--max-requests=1000", "--max-requests-jitter=300", **DRAIN) as server:
        seen = set(workers(server))
        with Load(server.port) as busy, Load(server.port, clients=30, pause=0.3) as calm:
            while busy.result.sent < min_requests or len(seen) < 4:
                seen |= set(workers(server))
                time.sleep(0.05)
    report("a worker leaves after 1,000 requests", len(seen) - 2, merge(busy.result, calm.result))
    require_nothing_lost(busy.result, calm.result)


def test_one_worker_is_replaced_without_a_gap(report: Report) -> None:
    """Even the only worker: new connections wait in the listen backlog meanwhile."""
    with serving("--max-requests=500", WEB_CONCURRENCY="1", MENAGERIE_DRAIN_SECONDS="0.2") as server:
        seen = set(workers(server))
        with Load(server.port) as load:
            while len(seen) < 4:
                seen |= set(workers(server))
                time.sleep(0.05)
    report("the only worker leaves after 500", len(seen) - 1, load.result)
    require_nothing_lost(load.result)


def test_a_killed_worker_loses_only_its_requests(report: Report, long: bool) -> None:
    """SIGKILL: at most one request of each client is lost, and no client gets another's response."""
    with serving() as server:

        def kill() -> None:
            before = workers(server)
            os.kill(before[0], signal.SIGKILL)
            await_replacement(server, before, before[:1])

        busy, calm, times = repeat_under_load(server.port, LONG if long else SHORT, kill)
    report("SIGKILL of a worker", times, merge(busy, calm), f"{(busy.lost + calm.lost) / times:.1f} lost each time")
    assert busy.lost <= 16 * times
    assert calm.lost <= 30 * times
    for result in (busy, calm):
        assert result.correct == result.sent - result.lost
        assert (result.wrong, result.left_open, set(result.statuses)) == (0, 0, {200})


def test_instances_are_replaced_one_after_the_other(report: Report, long: bool, tmp_path: Path) -> None:
    """SIGTERM to one of two instances behind nginx, which retries nothing; then a new one, then the other."""
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        running = {port: stack.enter_context(serving(PORT=str(port), **DRAIN)) for port in ports}
        port = stack.enter_context(balancing(tmp_path, *ports))
        turns: list[int] = []

        def replace() -> None:
            replaced = ports[len(turns) % 2]
            turns.append(replaced)
            running[replaced].process.terminate()
            assert running[replaced].process.wait(30) == 0
            running[replaced] = stack.enter_context(serving(PORT=str(replaced), **DRAIN))
            while not (tmp_path / str(replaced)).exists():
                time.sleep(0.05)

        busy, calm, times = repeat_under_load(port, LONG if long else SHORT, replace)
        errors = (tmp_path / "errors").read_text()
    report("SIGTERM behind nginx, rolling", times, merge(busy, calm))
    require_nothing_lost(busy, calm)
    assert "upstream" not in errors
