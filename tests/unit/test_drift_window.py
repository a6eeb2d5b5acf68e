"""The most recent rows of each version, in memory that processes share."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from service.monitoring.drift.window import Windows
from service.monitoring.shared_regions import SharedRegions

ROWS = 100


@given(some.lists(some.integers(1, 250), max_size=40))
def test_a_window_holds_the_last_rows(batches: list[int]) -> None:
    """In batches of any size: all of them while they are few, then nine tenths of its size or more, and none older."""
    ends = np.cumsum([0, *batches]).tolist()
    windows = Windows(SharedRegions(), "model", ROWS, 1, max(ends) + 1)
    for start, end in pairwise(ends):
        windows.add(1, np.arange(start, end)[:, np.newaxis])
        window = windows.read(1)
        assert window.rows == end if end <= ROWS * 9 // 10 else ROWS * 9 // 10 <= window.rows <= ROWS
        assert np.flatnonzero(window.counts).tolist() == list(range(end - window.rows, end))
        assert window.counts.max() == 1


def test_every_version_has_a_window_of_its_own() -> None:
    """One version too many replaces the one that was added to least recently."""
    windows = Windows(SharedRegions(), "model", ROWS, 2, 3)
    for version in (1, 2, 1, 3):
        windows.add(version, np.full((10, 1), version - 1))
    assert [windows.read(version).counts.tolist() for version in (1, 2, 3)] == [[20, 0, 0], [0, 0, 0], [0, 0, 10]]
    assert windows.read(2).since is None
