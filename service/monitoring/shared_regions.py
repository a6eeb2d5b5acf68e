"""Memory by name, which any process of the service allocates or finds while it serves.

The regions lie in a file without a name, which workers inherit from the master. A directory at its start says which
names there are; a process that needs a name looks there, and adds it if it is new. So all processes find the same
memory, in whatever order they meet a model, and also those that are forked later.
"""

import fcntl
import logging
import mmap
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_REGIONS = 4096  # a few for each model, and for each pair of versions of which one is a shadow
MAX_REGION_BYTES = 1 << 27  # 65,536 counters for each of 256 processes; what nobody has written to takes no memory
_KEY_BYTES = 16
_ENTRY = np.dtype([("key", "u8", (_KEY_BYTES // 8,)), ("offset", "i8"), ("end", "i8")])
_DIRECTORY = np.dtype([("count", "i8"), ("entries", _ENTRY, (MAX_REGIONS,))])
_RETRY_SECONDS = 0.001
_T = TypeVar("_T")
_log = logging.getLogger("menagerie")


class RegionsFullError(Exception):
    """There is no room for another region; the message says why. Whoever needed it goes on without."""


class FileLock:
    """A lock of one byte of a file, for one thread of all processes; the kernel releases it if its holder dies.

    A process loses its locks of a file when it closes any descriptor of the file, and a memory map has one of its own:
    the ``file`` must never be mapped.
    """

    def __init__(self, file: int, position: int) -> None:
        self._file = file
        self._position = position
        self._thread_lock = threading.Lock()  # the kernel's lock belongs to the process, so to all of its threads

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Hold the lock, however long others do before."""
        with self._thread_lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._position)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._position)

    @contextmanager
    def attempt(self, attempts: int = 1) -> Iterator[bool]:
        """Try to hold the lock; whether it succeeded, within so many ms."""
        if not self._thread_lock.acquire(timeout=(attempts - 1) * _RETRY_SECONDS):
            yield False
            return
        try:
            is_locked = self._lock_file(attempts)
            try:
                yield is_locked
            finally:
                if is_locked:
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._position)
        finally:
            self._thread_lock.release()

    def _lock_file(self, attempts: int) -> bool:
        for remaining in reversed(range(attempts)):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._position)
            except OSError:  # another process holds it
                if remaining:
                    time.sleep(_RETRY_SECONDS)
            else:
                return True
        return False


class Region(NamedTuple):
    """Memory [bytes] that all processes share under a name, zeroed at first; ``lock`` is for whoever wants it alone."""

    memory: NDArray[np.uint8]
    lock: FileLock


class SharedRegions:
    """The regions of a process and of those that it forks.

    The file is mapped in segments: a map for each region would take a file descriptor each. A region is never freed: a
    model that comes back finds its counts.
    """

    def __init__(self) -> None:
        self._file, self.lock_file = anonymous_file(), anonymous_file()
        for file in (self._file, self.lock_file):
            weakref.finalize(self, os.close, file)
        self._lock = FileLock(self.lock_file, 0)
        self._segments: dict[int, NDArray[np.uint8]] = {}
        self._regions: dict[bytes, Region] = {}  # one for all threads, as they must share its lock

    def get(self, name: str, size: int) -> Region:
        """The region of a name and a size in bytes: the same memory in every process.

        Raises:
            RegionsFullError: there is no room for it.
        """
        if size > MAX_REGION_BYTES:
            raise RegionsFullError(f"{name} needs {size} bytes of shared memory, and may have {MAX_REGION_BYTES}")
        key = blake2b(f"{size} {name}".encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
        if region := self._regions.get(key):
            return region
        with self._lock.wait():
            if key not in self._regions:
                try:
                    offset = self._find_or_allocate(key, name, size)
                    self._regions[key] = Region(self._map(offset, size), FileLock(self.lock_file, offset))
                except OSError as error:  # a limit of the system
                    raise RegionsFullError(f"no shared memory for {name}: {error.strerror}") from None
        return self._regions[key]

    def _find_or_allocate(self, key: bytes, name: str, size: int) -> int:
        """The offset of a region, which is new if the directory has none of this key.

        A process may be killed between any two lines: the count comes last, and makes the entry known. What was
        written or extended before that, the next process writes again.
        """
        self._extend_file(_DIRECTORY.itemsize)
        directory = self._map(0, _DIRECTORY.itemsize).view(_DIRECTORY)
        words, entries, count = np.frombuffer(key, np.uint64), directory["entries"][0], int(directory["count"][0])
        found = np.flatnonzero((entries["key"][:count] == words).all(axis=1))
        if len(found):
            return int(entries["offset"][found[0]])
        if count == MAX_REGIONS:
            raise RegionsFullError(f"no shared memory for {name}: there are {count} regions; a restart frees them")
        offset = _first_fit(int(entries["end"][count - 1]) if count else _DIRECTORY.itemsize, size)
        self._extend_file(offset + size)
        entries[count] = (words, offset, offset + size)
        directory["count"] = count + 1
        return offset

    def _extend_file(self, size: int) -> None:
        """Let the file have at least so many bytes, in whole segments."""
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, _round_up(size, MAX_REGION_BYTES))

    def _map(self, offset: int, size: int) -> NDArray[np.uint8]:
        """Memory of the file, [size], which lies in one segment."""
        segment, start = divmod(offset, MAX_REGION_BYTES)
        if segment not in self._segments:
            memory = mmap.mmap(self._file, MAX_REGION_BYTES, offset=segment * MAX_REGION_BYTES)
            self._segments[segment] = np.frombuffer(memory, np.uint8)
        return self._segments[segment][start : start + size]


def unless_full(make: Callable[[], _T]) -> _T | None:
    """What is made in a region, or None if there is no room for it: a model is rather not counted than not served."""
    try:
        return make()
    except RegionsFullError as error:
        _log.error("not counted: %s", error)
        return None


def anonymous_file() -> int:
    """The descriptor of a file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("menagerie")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _first_fit(end: int, size: int) -> int:
    """Where a region begins after the ``end`` of the last one: on a page of its own, and within one segment."""
    offset = _round_up(end, mmap.PAGESIZE)  # so that what nobody uses takes no memory
    fits = offset % MAX_REGION_BYTES + size <= MAX_REGION_BYTES
    return offset if fits else _round_up(offset, MAX_REGION_BYTES)


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
