"""Memory is flat under everything at once: all protocols, bad input, slow and new clients, version swaps, SIGHUP."""

import itertools
import json
import random
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import psutil
import pytest
import requests
from support.bad_input import BAD_INPUTS, GOOD
from support.closed_loop_clients import Load, post
from support.fault_reports import Report
from support.gunicorn_server import Server, serving

from models.bundle import CURRENT
from service.settings import SHIPPED_STORE

pytestmark = pytest.mark.alone

SETTINGS = {
    "WEB_CONCURRENCY": "2",
    "MENAGERIE_KEEP_VERSIONS": "1",  # so that each swap loads one version and lets go of the other
    "MENAGERIE_POLL_SECONDS": "0.5",
    "MENAGERIE_HEAD_SECONDS": "2",
    "MENAGERIE_BODY_SECONDS": "2",
    "MENAGERIE_DRAIN_SECONDS": "1",
}
WHOLE = post("/predict", GOOD)
BATCH = post("/predict", b'{"instances": [%s]}' % b", ".join([b"[6.8, 31, 42, 36, 11.4, 8.2, 7.6, 38.6]"] * 2_000))
MAX_MB_PER_HOUR = 10


class Sample(NamedTuple):
    """Resources in use: ``master`` and ``workers`` are MB of their own (USS), ``resident`` is MB of all (RSS)."""

    seconds: float
    master: float
    workers: float
    resident: float
    files: int
    threads: int


def take_sample(server: Server, start: float) -> Sample | None:
    """None while a worker is being replaced."""
    master = psutil.Process(server.process.pid)
    try:
        pids = [master, *(child for child in master.children() if "gunicorn" in " ".join(child.cmdline()))]
        memory = [process.memory_full_info() for process in pids]
        files, threads = sum(one.num_fds() for one in pids), sum(one.num_threads() for one in pids)
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return None
    unshared = [one.uss / 1e6 for one in memory]  # PSS changes with every sandbox that starts and ends
    if len(pids) != 3:
        return None
    return Sample(
        time.monotonic() - start, unshared[0], sum(unshared[1:]), sum(one.rss for one in memory) / 1e6, files, threads
    )


def slope(samples: list[Sample], field: str) -> float:
    """The slope of a field over time (least squares), in MB per hour."""
    return float(np.polyfit([one.seconds / 3600 for one in samples], [getattr(one, field) for one in samples], 1)[0])


@contextmanager
def repeating(pause: float, *actions: Callable[[], None]) -> Iterator[list[Exception]]:
    """Repeat each action in a thread of its own until the end of the block; the exceptions that they raised."""
    is_over, failures = threading.Event(), list[Exception]()

    def repeat(action: Callable[[], None]) -> None:
        while not is_over.wait(pause):
            try:
                action()
            except Exception as error:  # noqa: BLE001 (whatever it is, the test fails)
                failures.append(error)

    threads = [threading.Thread(target=repeat, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def send_bad_input(server: Server) -> Callable[[], None]:
    bad = itertools.cycle(one for one in BAD_INPUTS if one.content_type and len(one.body) < 100_000)

    def send() -> None:
        one = next(bad)
        fields = {"Content-Type": one.content_type, **dict(one.headers)}
        answer = requests.post(f"{server.url}/predict", data=one.body, headers=fields, timeout=60)
        assert answer.status_code == one.status, (one.description, answer.status_code)

    return send


def send_slowly(server: Server) -> Callable[[], None]:
    """Send a part of a request, and leave, or wait to be closed."""
    rng = random.Random(1)  # noqa: S311

    def send() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.sendall(WHOLE[: rng.randrange(len(WHOLE))])
            if rng.random() < 0.5:
                client.recv(65536)

    return send


def leave_early(server: Server) -> Callable[[], None]:
    """Send a batch, and do not wait for the response."""

    def leave() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
            client.sendall(BATCH)

    return leave


def reconnect(server: Server) -> Callable[[], None]:
    return lambda: requests.post(f"{server.url}/explain", data=GOOD, headers=JSON, timeout=60).raise_for_status()


JSON = {"Content-Type": "application/json"}


def swap_version(server: Server, home: Path, swapped: list[str]) -> Callable[[], None]:
    """Make the other version the serving one, and wait until it is."""
    versions = itertools.cycle("21")

    def swap() -> None:
        version, deadline = next(versions), time.monotonic() + 60
        (home / "next").write_text(version)
        (home / "next").rename(home / CURRENT)
        while requests.get(f"{server.url}/health", timeout=60).json()["model"]["version"] != version:
            assert time.monotonic() < deadline, f"version {version} does not serve"
            time.sleep(0.2)
        swapped.append(version)

    return swap


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The shipped bundle as versions 1 and 2."""
    home = Path(shutil.copytree(SHIPPED_STORE, tmp_path / "store")) / "animals"
    shutil.copytree(home / "1", home / "2")
    manifest = home / "2" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 2}))
    return home


def test_memory_is_flat(report: Report, long: bool, home: Path, pytestconfig: pytest.Config) -> None:
    """Nothing lost, nothing wrong, and after warming up no growth that goes on."""
    seconds, pause = (1500.0, 2.0) if long else (10.0, 0.3)
    reload_times = [10.0, 20.0, 30.0] if long else [4.0]  # new workers begin with the least memory
    warm = 600.0 if long else 7.0  # seconds; until memory has grown to the most that may be in use at once
    samples: list[Sample] = []
    swapped: list[str] = []
    with ExitStack() as stack:
        server = stack.enter_context(serving(MENAGERIE_MODEL_STORE=str(home.parent), **SETTINGS))
        actions = [make(server) for make in (send_bad_input, send_slowly, leave_early, reconnect)]
        failures = stack.enter_context(repeating(0.1, *actions))
        swap_failures = stack.enter_context(repeating(2, swap_version(server, home, swapped)))
        load = stack.enter_context(Load(server.port, clients=8, pause=0.02))
        start = time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            if reload_times and now > reload_times[0]:
                reload_times.pop(0)
                server.process.send_signal(signal.SIGHUP)
            samples += filter(None, [take_sample(server, start)])
            time.sleep(pause)
    late = [one for one in samples if one.seconds > warm]
    growth = {field: slope(late, field) for field in ("master", "workers", "resident")}
    notes = ", ".join(f"{field} {megabytes:+.1f}" for field, megabytes in growth.items())
    files, threads = (f"{min(some)} to {max(some)}" for some in ([s.files for s in late], [s.threads for s in late]))
    last = late[-1]
    report(
        f"a mixed load for {seconds:.0f} s",
        1,
        load.result,
        f"MB an hour after {warm:.0f} s: {notes}; at the end {last.master:.1f} and {last.workers:.1f} MB of their own, "
        f"{last.resident:.0f} resident; {files} open files, {threads} threads; {len(swapped)} swaps",
    )
    if picture := pytestconfig.getoption("picture"):
        draw(samples, warm, Path(picture))
    assert not failures + swap_failures
    assert set(swapped) == {"1", "2"}
    assert (load.result.lost, load.result.wrong, set(load.result.statuses)) == (0, 0, {200})
    if long:
        assert growth["workers"] < MAX_MB_PER_HOUR
        assert growth["master"] < MAX_MB_PER_HOUR


def draw(samples: list[Sample], warm: float, path: Path) -> None:
    """Draw the memory of the workers and of the master over time, and the fitted lines."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    late = [one for one in samples if one.seconds > warm]
    for field, name in (("workers", "two workers"), ("master", "master")):
        (line,) = axes.plot([one.seconds / 60 for one in samples], [getattr(one, field) for one in samples], label=name)
        fit = np.polyfit([one.seconds / 60 for one in late], [getattr(one, field) for one in late], 1)
        ends = np.array([late[0].seconds, late[-1].seconds]) / 60
        axes.plot(ends, np.polyval(fit, ends), ":", color=line.get_color(), label=f"{fit[0] * 60:+.1f} MB an hour")
    axes.set(xlabel="minutes", ylabel="MB of their own", ylim=(0, 1.4 * max(one.workers for one in samples)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(ncols=2, frameon=False, loc="upper right")
    figure.savefig(path, dpi=150)
    plt.close(figure)
