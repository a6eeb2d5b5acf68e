"""Keeps tests apart that disturb each other: while one of them runs, the other workers of pytest-xdist wait.

A test that loads the machine or measures time runs alone: all of tests/chaos, and those marked ``alone``. A container
does not start or stop while a browser is open: Docker then adds or removes a network interface, and Chromium aborts
what it is loading with net::ERR_NETWORK_CHANGED, even from the loopback address.
"""

import fcntl
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent.parent / "chaos"
SLOW_MARKERS = ("container", "tensorflow")
NETWORK_MARKERS = ("browser", "container")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of tests/chaos as ``alone``, and group the tests by the worker that is to run them.

    A file's tests share fixtures, so one worker runs them all. One worker also runs all tests that need the network for
    themselves: two would wait for each other most of the time.
    """
    if item.path.is_relative_to(CHAOS):
        item.add_marker("alone")
    group = "network" if _has_any_marker(item, NETWORK_MARKERS) else str(item.path)
    item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest files first and the exclusive tests last, so that workers seldom wait for each other."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if _has_any_marker(item, SLOW_MARKERS)}
        items.sort(key=lambda item: (runs_alone(item), item.path not in slow))


def runs_alone(item: pytest.Item) -> bool:
    return _has_any_marker(item, ("alone",))


def _has_any_marker(item: pytest.Item, markers: Iterable[str]) -> bool:
    return any(map(item.get_closest_marker, markers))


@contextmanager
def _locked(path: Path, mode: int) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, mode)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a child process may have the file open, too


@contextmanager
def _exclusion(folder: Path, item: pytest.Item) -> Iterator[None]:
    """Hold the locks that the test needs."""
    with ExitStack() as locks:
        if _has_any_marker(item, NETWORK_MARKERS):
            locks.enter_context(_locked(folder / "network", fcntl.LOCK_EX))
        with _locked(folder / "queue", fcntl.LOCK_EX):  # first come, first served: an exclusive test does not starve
            locks.enter_context(_locked(folder / "machine", fcntl.LOCK_EX if runs_alone(item) else fcntl.LOCK_SH))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test, with the set-up and tear-down of its fixtures, once the tests that it must not meet are done."""
    if not hasattr(item.config, "workerinput"):  # there are no other workers
        return (yield)
    assert item.config.cache
    with _exclusion(item.config.cache.mkdir("locks"), item):
        return (yield)
