"""Distributes the tests to the workers of pytest-xdist, and keeps those apart that disturb each other.

One worker runs all tests of a file, as they share fixtures. A test that loads the machine or measures time is marked
``alone``: the other workers wait while it runs. One worker runs all tests with containers and with browsers: when a
container starts or stops, Docker adds or removes a network interface, and Chromium aborts what it is loading with
net::ERR_NETWORK_CHANGED, even from the loopback address.
"""

import fcntl
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SLOW_MARKERS = ("container", "tensorflow")
NETWORK_MARKERS = ("browser", "container")
_GROUPS = "exclusive_tests/groups"  # in pytest's cache


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the slowest files first and the exclusive tests last, so that workers seldom wait for each other."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if _has_any_marker(item, SLOW_MARKERS)}
        items.sort(key=lambda item: (runs_alone(item), item.path not in slow))
        assert config.cache
        config.cache.set(_GROUPS, {item.nodeid: group for item in items if (group := _exclusive_group(item))})


def _exclusive_group(item: pytest.Item) -> str:
    """What tests of several files are grouped by; empty for most tests, which are grouped by their file."""
    return "network" if _has_any_marker(item, NETWORK_MARKERS) else "alone" if runs_alone(item) else ""


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist ships no types
    """Gives each group of tests to one worker.

    xdist's ``--dist loadgroup`` ignores all groups under pytest 9.2 (pytest-xdist#1386), because its workers write them
    into the tests' names; here they write them into pytest's cache.
    """

    def _split_scope(self, nodeid: str) -> str:
        if not hasattr(self, "_groups"):  # all workers have collected by now
            self._groups: dict[str, str] = self.config.cache.get(_GROUPS, {})
        return self._groups.get(nodeid) or nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)  # without xdist there is no such hook
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling:
    return _Scheduling(config, log)


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test, with the set-up and tear-down of its fixtures, once the tests that it must not meet are done."""
    if not hasattr(item.config, "workerinput"):  # there are no other workers
        return (yield)
    assert item.config.cache
    folder = item.config.cache.mkdir("locks")
    with ExitStack() as running:
        with _locked(folder / "queue", fcntl.LOCK_EX):  # first come, first served: an exclusive test does not starve
            running.enter_context(_locked(folder / "machine", fcntl.LOCK_EX if runs_alone(item) else fcntl.LOCK_SH))
        return (yield)
