"""Processes come and go under load: what they had promised to answer is answered."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from support.closed_loop_clients import Load
from support.fault_reports import Report, merge, repeat_under_load, require_nothing_lost
from support.gunicorn_server import ROOT, Server, await_workers, free_port, serving, workers
from support.nginx_balancer import balancing

SHORT, LONG = 4_000, 50_000  # requests
DRAIN = {"MENAGERIE_DRAIN_SECONDS": "1"}


def await_others(server: Server, before: list[int], gone: list[int]) -> None:
    """Return once some workers are gone, and as many as before are there."""
    await_workers(server, lambda now: len(now) == len(before) and not set(now) & set(gone))


def test_a_hang_up_replaces_the_workers(report: Report, long: bool) -> None:
    """SIGHUP: new workers take over from the old, and callers who keep their connections notice only its close."""
    with serving(**DRAIN) as server:

        def hang_up() -> None:
            before = workers(server)
            server.process.send_signal(signal.SIGHUP)
            await_others(server, before, before)

        hurried, calm, times = repeat_under_load(server.port, LONG if long else SHORT, hang_up)
    report("SIGHUP", times, merge(hurried, calm))
    require_nothing_lost(hurried, calm)


def test_a_hang_up_with_a_broken_configuration_changes_nothing(tmp_path: Path) -> None:
    """A file that is no Python does not stop the service: it goes on with what it had."""
    config = tmp_path / "gunicorn.conf.py"
    config.write_text((ROOT / "service" / "gunicorn.conf.py").read_text())
    with serving("--config", str(config), **DRAIN) as server:
        config.write_text("this is no Python")
        while len(before := workers(server)) < 2:
            time.sleep(0.05)
        with Load(server.port) as load:
            server.process.send_signal(signal.SIGHUP)
            await_others(server, before, before)
    require_nothing_lost(load.result)


def test_a_worker_is_replaced_after_so_many_requests(report: Report, long: bool) -> None:
    """max_requests: the worker announces on every answer that it leaves; the service stays ready."""
    least = LONG if long else SHORT
    with serving("--max-requests=1000", "--max-requests-jitter=300", **DRAIN) as server:
        seen = set(workers(server))
        with Load(server.port) as hurried, Load(server.port, clients=30, pause=0.3) as calm:
            while hurried.result.sent < least or len(seen) < 4:
                seen |= set(workers(server))
                time.sleep(0.05)
    report("a worker leaves after 1,000 requests", len(seen) - 2, merge(hurried.result, calm.result))
    require_nothing_lost(hurried.result, calm.result)


def test_one_worker_is_replaced_without_a_gap(report: Report) -> None:
    """Even the only worker: who connects meanwhile waits in the queue of the listener."""
    with serving("--max-requests=500", WEB_CONCURRENCY="1", MENAGERIE_DRAIN_SECONDS="0.2") as server:
        seen = set(workers(server))
        with Load(server.port) as load:
            while len(seen) < 4:
                seen |= set(workers(server))
                time.sleep(0.05)
    report("the only worker leaves after 500", len(seen) - 1, load.result)
    require_nothing_lost(load.result)


def test_a_killed_worker_loses_only_what_it_held(report: Report, long: bool) -> None:
    """SIGKILL: at most one request for each caller is lost, and nobody gets another's answer."""
    with serving() as server:

        def kill() -> None:
            before = workers(server)
            os.kill(before[0], signal.SIGKILL)
            await_others(server, before, before[:1])

        hurried, calm, times = repeat_under_load(server.port, LONG if long else SHORT, kill)
    report(
        "SIGKILL of a worker", times, merge(hurried, calm), f"{(hurried.lost + calm.lost) / times:.1f} lost each time"
    )
    assert hurried.lost <= 16 * times
    assert calm.lost <= 30 * times
    for tally in (hurried, calm):
        assert tally.correct == tally.sent - tally.lost
        assert (tally.wrong, tally.left_open, set(tally.statuses)) == (0, 0, {200})


def test_instances_are_replaced_one_after_the_other(report: Report, long: bool, tmp_path: Path) -> None:
    """SIGTERM to one of two instances behind nginx, which repeats nothing; then a new one, then the other."""
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        running = {port: stack.enter_context(serving(PORT=str(port), **DRAIN)) for port in ports}
        port = stack.enter_context(balancing(tmp_path, *ports))
        turns: list[int] = []

        def replace() -> None:
            turn = ports[len(turns) % 2]
            turns.append(turn)
            running[turn].process.terminate()
            assert running[turn].process.wait(30) == 0
            running[turn] = stack.enter_context(serving(PORT=str(turn), **DRAIN))
            while not (tmp_path / str(turn)).exists():
                time.sleep(0.05)

        hurried, calm, times = repeat_under_load(port, LONG if long else SHORT, replace)
        errors = (tmp_path / "errors").read_text()
    report("SIGTERM behind nginx, rolling", times, merge(hurried, calm))
    require_nothing_lost(hurried, calm)
    assert "upstream" not in errors
