"""Tests that load the machine, or measure time, run alone: while one does, the other workers of pytest-xdist wait.

They are those of tests/chaos and whatever is marked ``alone``.
"""

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos"
LONG = ("container", "tensorflow")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what breaks things under load."""
    if item.path.is_relative_to(CHAOS):
        item.add_marker("alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, end with what runs alone: so the workers seldom wait for one another."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if any(map(item.get_closest_marker, LONG))}
        items.sort(key=lambda item: (is_alone(item), item.path not in long))


def is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@contextmanager
def _turn(folder: Path, *, alone: bool) -> Iterator[None]:
    with (folder / "next").open("w") as queue, (folder / "room").open("w") as room:
        fcntl.flock(queue, fcntl.LOCK_EX)  # so that nobody passes by who waits to be alone
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # closing would not do: a child may have the file open as well


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test, with the fixtures that it sets up and takes down, beside others or alone."""
    if not hasattr(item.config, "workerinput"):  # there are no other workers
        return (yield)
    assert item.config.cache
    with _turn(item.config.cache.mkdir("turns"), alone=is_alone(item)):
        return (yield)
