"""Tests that cannot be beside one another: while one runs, the other workers of pytest-xdist wait.

Whatever loads the machine, or measures time, runs alone: tests/chaos and what is marked ``alone``. And no container
comes or goes while a browser is open: an engine makes and removes network interfaces, upon which Chromium breaks off
whatever it is loading (net::ERR_NETWORK_CHANGED), from this machine's own address too.
"""

import fcntl
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent.parent / "chaos"
LONG = ("container", "tensorflow")
INTERFACES = ("browser", "container")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what breaks things under load."""
    if item.path.is_relative_to(CHAOS):
        item.add_marker("alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, end with what runs alone: so the workers seldom wait for one another."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if _is_any(item, LONG)}
        items.sort(key=lambda item: (is_alone(item), item.path not in long))


def is_alone(item: pytest.Item) -> bool:
    return _is_any(item, ("alone",))


def _is_any(item: pytest.Item, markers: Iterable[str]) -> bool:
    return any(map(item.get_closest_marker, markers))


@contextmanager
def _held(file: Path, how: int) -> Iterator[None]:
    with file.open("w") as opened:
        fcntl.flock(opened, how)
        try:
            yield
        finally:
            fcntl.flock(opened, fcntl.LOCK_UN)  # closing would not do: a child may have the file open as well


@contextmanager
def _turn(folder: Path, item: pytest.Item) -> Iterator[None]:
    with ExitStack() as held:
        if _is_any(item, INTERFACES):
            held.enter_context(_held(folder / "interfaces", fcntl.LOCK_EX))
        with _held(folder / "next", fcntl.LOCK_EX):  # so that nobody passes by who waits to be alone
            held.enter_context(_held(folder / "room", fcntl.LOCK_EX if is_alone(item) else fcntl.LOCK_SH))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test, with the fixtures that it sets up and takes down, when it is its turn."""
    if not hasattr(item.config, "workerinput"):  # there are no other workers
        return (yield)
    assert item.config.cache
    with _turn(item.config.cache.mkdir("turns"), item):
        return (yield)
