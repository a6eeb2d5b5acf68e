"""The most recent rows of each version, counted in memory that all workers share."""

import time
from typing import NamedTuple

import numpy as np

from service.inference.binning.bins import Counts
from service.monitoring.shared_regions import SharedRegions

PANES = 10
_READ_ATTEMPTS = 5


class Window(NamedTuple):
    """The number of rows, the Unix time of the oldest pane, and how many of the rows fall in each cell."""

    rows: int
    since: float | None
    counts: Counts


def empty_window(cells: int) -> Window:
    """The window of a version without rows."""
    return Window(0, None, np.zeros(cells, np.int64))


class Windows:
    """Windows of the last ``rows`` rows, each of ``cells`` cells, for a number of ``versions`` of the model ``name``.

    A window has ten panes. Rows are added to the newest pane; once that is full, the oldest is emptied and becomes the
    newest, so that a window holds at least nine tenths of ``rows``. No worker owns a pane: each adds its rows under the
    ``lock``, which the kernel releases if the worker dies. A worker that is killed while it adds may leave some of its
    rows counted in part.

    Raises:
        RegionsFullError: there is no memory for them.
    """

    def __init__(self, regions: SharedRegions, name: str, rows: int, versions: int, cells: int) -> None:
        self._pane_rows = -(-rows // PANES)
        pane = np.dtype([("rows", "i8"), ("since", "f8"), ("counts", "i8", (cells,))])
        window = np.dtype([("key", "u8"), ("newest", "i8"), ("written", "f8"), ("panes", pane, (PANES,))])
        region = regions.get(f"drift/{name}", versions * window.itemsize)
        self.lock = region.lock
        windows = region.memory.view(window)
        self._keys, self._newest, self._written = windows["key"], windows["newest"], windows["written"]
        self._panes = panes = windows["panes"]
        self._rows, self._since, self._counts = panes["rows"], panes["since"], panes["counts"]

    def add(self, key: int, rows: Counts) -> None:
        """Count rows, each given by its cells [rows, any], in the window of a version; hold the `lock` to call it."""
        index, now = self._index(key), time.time()
        self._written[index] = now
        newest = self._newest[index]
        while len(rows):
            room = self._pane_rows - self._rows[index, newest]
            if room <= 0:
                newest = (newest + 1) % PANES
                self._panes[index, newest] = 0
                self._newest[index] = newest
                continue
            if room == self._pane_rows:
                self._since[index, newest] = now
            counted, rows = rows[:room], rows[room:]
            self._counts[index, newest] += np.bincount(counted.ravel(), minlength=self._counts.shape[-1])
            self._rows[index, newest] += len(counted)

    def read(self, key: int) -> Window:
        """The current window of a version."""
        with self.lock.attempt(_READ_ATTEMPTS):  # read even without it: at worst a batch that is being added is missing
            panes = self._panes[self._keys == np.uint64(key)]
        panes = panes[panes["rows"] > 0]
        since = float(panes["since"].min()) if len(panes) else None
        return Window(int(panes["rows"].sum()), since, panes["counts"].sum(axis=0))

    def _index(self, key: int) -> int:
        """The index of a version's window; a new version replaces the one that was written to least recently."""
        keys = self._keys.tolist()
        if key in keys:
            return int(keys.index(key))
        index = int(self._written.argmin())
        self._keys[index] = 0  # nobody must read a window that is half emptied
        self._panes[index] = 0
        self._newest[index] = 0
        self._keys[index] = key
        return index
