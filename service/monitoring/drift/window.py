"""The most recent rows of each version, counted in memory that all workers share."""

import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

PANES = 10
_READ_ATTEMPTS = 5
_RETRY_SECONDS = 0.001


class Window(NamedTuple):
    """The number of rows, the Unix time of the oldest pane, and how many of the rows fall in each cell."""

    rows: int
    since: float | None
    counts: Counts


class Windows:
    """Windows of the last ``rows`` rows, each of ``cells`` cells, for a number of ``versions``; they lie in ``file``.

    A window has ten panes. Rows are added to the newest pane; once that is full, the oldest is emptied and becomes the
    newest, so that a window holds at least nine tenths of ``rows``. No worker owns a pane: each adds its rows under a
    lock that the kernel releases if the worker dies. A worker that is killed while it adds may leave some of its rows
    counted in part.
    """

    def __init__(self, file: int, rows: int, versions: int, cells: int) -> None:
        self._pane_rows = -(-rows // PANES)
        pane = np.dtype([("rows", "i8"), ("since", "f8"), ("counts", "i8", (cells,))])
        window = np.dtype([("key", "u8"), ("newest", "i8"), ("written", "f8"), ("panes", pane, (PANES,))])
        self._file = file
        os.ftruncate(file, versions * window.itemsize)
        windows = np.frombuffer(mmap.mmap(file, versions * window.itemsize), window)
        self._keys, self._newest, self._written = windows["key"], windows["newest"], windows["written"]
        self._panes = panes = windows["panes"]
        self._rows, self._since, self._counts = panes["rows"], panes["since"], panes["counts"]
        self._thread_lock = threading.Lock()  # the kernel's lock belongs to the process, so to all of its threads

    @contextmanager
    def lock(self, attempts: int = 1) -> Iterator[bool]:
        """Try to lock the windows for one thread of all processes; whether it succeeded, within a few ms."""
        if not self._thread_lock.acquire(timeout=(attempts - 1) * _RETRY_SECONDS):
            yield False
            return
        try:
            is_locked = self._lock_file(attempts)
            try:
                yield is_locked
            finally:
                if is_locked:
                    fcntl.lockf(self._file, fcntl.LOCK_UN)
        finally:
            self._thread_lock.release()

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
        with self.lock(_READ_ATTEMPTS):  # read even without it: at worst a batch that is being added is missing
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

    def _lock_file(self, attempts: int) -> bool:
        for remaining in reversed(range(attempts)):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another worker holds it
                if remaining:
                    time.sleep(_RETRY_SECONDS)
            else:
                return True
        return False
