"""The last rows of each version, counted in cells of memory that all workers share."""

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
_TRIES = 5
_PAUSE_SECONDS = 0.001


class Window(NamedTuple):
    """How many rows there are, since when in seconds of the epoch, and how many of them fall in each cell."""

    rows: int
    since: float | None
    counts: Counts


class Windows:
    """Windows of the last ``rows`` rows, one for each of so many versions, each of ``cells`` cells, in a ``file``.

    A window has ten panes. Rows are added to the newest; once that is full, the oldest is emptied and becomes the
    newest, so that a window holds nine tenths of ``rows`` or more. The panes belong to no worker: whoever has rows adds
    them, one at a time, under a lock that the kernel takes back from whoever dies. One who is killed while he adds
    leaves, at the worst, some rows of his that are counted in part.
    """

    def __init__(self, file: int, rows: int, versions: int, cells: int) -> None:
        self._pane_rows = -(-rows // PANES)
        pane = np.dtype([("rows", "i8"), ("since", "f8"), ("counts", "i8", (cells,))])
        place = np.dtype([("key", "u8"), ("newest", "i8"), ("written", "f8"), ("panes", pane, (PANES,))])
        self._file = file
        os.ftruncate(file, versions * place.itemsize)
        places = np.frombuffer(mmap.mmap(file, versions * place.itemsize), place)
        self._keys, self._newest, self._written = places["key"], places["newest"], places["written"]
        self._panes = panes = places["panes"]
        self._rows, self._since, self._counts = panes["rows"], panes["since"], panes["counts"]
        self._threads = threading.Lock()  # the kernel's lock is the process's: its threads all have it

    @contextmanager
    def turn(self, tries: int = 1) -> Iterator[bool]:
        """Whether it is this thread's turn, and nobody else's until it is done; it waits for a few ms at most."""
        if not self._threads.acquire(timeout=(tries - 1) * _PAUSE_SECONDS):
            yield False
            return
        try:
            mine = self._lock(tries)
            try:
                yield mine
            finally:
                if mine:
                    fcntl.lockf(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def add(self, key: int, rows: Counts) -> None:
        """Count rows, each given by its cells [rows, any], in the window of a version; only in one's `turn`."""
        at, now = self._place(key), time.time()
        self._written[at] = now
        newest = self._newest[at]
        while len(rows):
            room = self._pane_rows - self._rows[at, newest]
            if room <= 0:
                newest = (newest + 1) % PANES
                self._panes[at, newest] = 0
                self._newest[at] = newest
                continue
            if room == self._pane_rows:
                self._since[at, newest] = now
            counted, rows = rows[:room], rows[room:]
            self._counts[at, newest] += np.bincount(counted.ravel(), minlength=self._counts.shape[-1])
            self._rows[at, newest] += len(counted)

    def read(self, key: int) -> Window:
        """The window of a version as it is now."""
        with self.turn(_TRIES):  # if one who has the lock is held up, what there is may be a batch short
            panes = self._panes[self._keys == np.uint64(key)]
        panes = panes[panes["rows"] > 0]
        since = float(panes["since"].min()) if len(panes) else None
        return Window(int(panes["rows"].sum()), since, panes["counts"].sum(axis=0))

    def _place(self, key: int) -> int:
        """A version's place, which may be that of the one that was asked about least recently."""
        keys = self._keys.tolist()
        if key in keys:
            return int(keys.index(key))
        at = int(self._written.argmin())
        self._keys[at] = 0  # so that nobody takes what is half emptied for his
        self._panes[at] = 0
        self._newest[at] = 0
        self._keys[at] = key
        return at

    def _lock(self, tries: int) -> bool:
        for rest in reversed(range(tries)):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another worker has it
                if rest:
                    time.sleep(_PAUSE_SECONDS)
            else:
                return True
        return False
