"""Containers are replaced one after the other under load, as a platform does it, and live with little memory."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
from docker import DockerClient
from docker.models.containers import Container
from support import runaway_networks
from support.closed_loop_clients import Exchange, mixed_exchanges, post
from support.fault_reports import Report, merge, repeat_under_load, require_nothing_lost
from support.gunicorn_server import free_port
from support.known_animals import KNOWN
from support.mutated_networks import write_bundle
from support.nginx_balancer import balancing

from models.bundle import MANIFEST

pytestmark = [pytest.mark.alone, pytest.mark.container]

Run = Callable[..., AbstractContextManager[Container]]

SHORT, LONG = 4_000, 50_000  # requests
INSIDE = 8000


@contextmanager
def running(engine: DockerClient, image: str, port: int, store: Path, megabytes: int = 1000) -> Iterator[Container]:
    """A ready container of the image, with a store and a memory limit."""
    container = engine.containers.run(
        image,
        detach=True,
        ports={f"{INSIDE}/tcp": ("127.0.0.1", port)},
        volumes={str(store): {"bind": "/app/models/store", "mode": "ro"}},
        read_only=True,
        mem_limit=f"{megabytes}m",
        memswap_limit=f"{megabytes}m",
        environment={"MENAGERIE_POLL_SECONDS": "1"},
    )
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.05)
        yield container
    finally:
        container.remove(force=True)


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


def stop(container: Container) -> None:
    """As `docker stop` does, with its default of 10 s, within which the container has to exit."""
    container.stop()
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0, container.logs().decode()[-2000:]


def pids(container: Container) -> set[str]:
    return {pid for (pid,) in container.top(ps_args="-eo pid")["Processes"]}


def noting_versions(versions: list[str]) -> list[Exchange]:
    """Every way that a request can go; the responses' versions are appended to the list."""

    def note(body: bytes) -> bool:
        versions.append(json.loads(body)["model"]["version"])
        return True

    return [
        *mixed_exchanges(),
        *[Exchange(post("/predict", json.dumps({"features": KNOWN["cat"]}).encode()), note)] * 40,
    ]


@pytest.fixture
def stores(store: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The shipped one, and one with a second version of the same network."""
    newer = Path(shutil.copytree(store, tmp_path / "newer"))
    added = Path(shutil.copytree(store / "animals" / "1", newer / "animals" / "2"))
    manifest = json.loads((added / MANIFEST).read_text())
    (added / MANIFEST).write_text(json.dumps(manifest | {"version": 2}))
    return store, newer


@pytest.fixture
def run(engine: DockerClient, image: str) -> Run:
    return partial(running, engine, image)


def test_containers_are_replaced_one_after_the_other(
    run: Run, stores: tuple[Path, Path], tmp_path: Path, long: bool, report: Report
) -> None:
    """`docker stop` of one of two behind nginx, a new one with a new version, then the other: nothing is lost.

    While both versions run, responses name either; afterwards only the new one.
    """
    ports, folder = [free_port(), free_port()], tmp_path / "nginx"
    folder.mkdir()
    old, new = stores
    marks: list[int] = []
    versions: list[str] = []
    with ExitStack() as stack:
        containers = {port: stack.enter_context(run(port, old)) for port in ports}
        port = stack.enter_context(balancing(folder, *ports))

        def replace() -> None:
            replaced = ports[len(marks) // 2 % 2]
            marks.append(len(versions))
            stop(containers[replaced])
            containers[replaced] = stack.enter_context(run(replaced, new))
            while not (folder / str(replaced)).exists():
                time.sleep(0.05)
            marks.append(len(versions))

        busy, calm, times = repeat_under_load(port, LONG if long else SHORT, replace, noting_versions(versions))
        errors = (folder / "errors").read_text()
    report("`docker stop` behind nginx, rolling", times, merge(busy, calm))
    require_nothing_lost(busy, calm)
    assert "upstream" not in errors
    begin, end = marks[0], marks[3]
    assert set(versions[:begin]) == {"1"}
    assert set(versions[begin:end]) == {"1", "2"}
    assert set(versions[end:]) == {"2"}


def test_a_version_out_of_memory_ends_only_its_sandbox(run: Run, store: Path, tmp_path: Path) -> None:
    """It exceeds the container's memory limit, but not the sandbox's: the kernel ends the sandbox."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with run(port, store, megabytes=400) as container:
        before = pids(container)
        write_bundle(tmp_path, runaway_networks.build_greedy(times=40_000), version=2).rename(store / "animals" / "2")
        deadline = time.monotonic() + 60
        while not (refused := requests.get(f"{url}/health", timeout=5).json()["refused"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "SIGKILL" in refused["2"]
        assert before <= pids(container)
        assert requests.post(f"{url}/predict", json={"features": KNOWN["cat"]}, timeout=5).json()["label"] == "cat"
