"""Counters in memory that a master process shares with its workers, so that they survive a worker.

Each process writes to a slot of its own: none waits for another, and nothing is lost or counted twice. A reader sums
all slots. The slot of a worker that has exited goes to a later one, which adds to its counts. There is no file with a
name, and pages that nobody has written to take no memory.
"""

import math
import mmap
import threading
import time
from functools import cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from service.http.errors import StartupError
from service.monitoring.shared_regions import SharedRegions

Cells = NDArray[np.int64]

_SLOTS = 256  # the first is that of the master, or of a process without workers
_CELLS = 1 << 16  # of 8 bytes, in each slot
_LAYOUT, _ALIVE, _PLANNED_EXIT, _ACCEPTING, _REPORTED_MS = range(5)
_STARTS, _PLANNED_EXITS, _UNPLANNED_EXITS = range(5, 8)  # in slot 0 only
_READY = 8
_ENTRY = 9  # cells of each slot in the directory, which precedes the slots


class SharedCounters:
    """Created before the workers are; each of them allocates the same blocks in the same order.

    ``slots`` are the cells of all slots, [slots, cells]; this process writes to those of ``slot``. Threads share them:
    hold the ``lock`` to add. What becomes known only while serving, such as a model, has a `model_block`, in one of the
    ``regions``.
    """

    def __init__(self) -> None:
        memory = mmap.mmap(-1, _SLOTS * (_ENTRY + _CELLS) * 8)
        self.lock = threading.Lock()
        array = np.frombuffer(memory, np.int64)
        self._directory = array[: _SLOTS * _ENTRY].reshape(_SLOTS, _ENTRY)
        self.slots = array[_SLOTS * _ENTRY :].reshape(_SLOTS, _CELLS)
        self._allocated = {0}
        self.created = time.time()
        self.regions = SharedRegions()
        self._end, self._layout = 0, 1
        self.slot = 0

    def block(self, size: int) -> "Block":
        """Allocate ``size`` cells in every slot.

        Raises:
            StartupError: a slot has no room for them.
        """
        start, self._end = self._end, self._end + size
        if self._end > _CELLS:
            raise StartupError(f"no room for {size} counters beside {start} others: a worker has {_CELLS}")
        self._layout = crc32(b"%d," % size, self._layout)
        return Block(self, self.slots[:, start : self._end])

    def model_block(self, name: str, size: int) -> "ModelBlock":
        """``size`` cells in every slot, under a name: the same ones in all processes that ask for both, at any time.

        Raises:
            RegionsFullError: there is no room for them; what they would count is not counted.
        """
        region = self.regions.get(name, _SLOTS * size * 8)
        return ModelBlock(self, region.memory.view(np.int64).reshape(_SLOTS, size))

    def allocate_slot(self) -> int:
        """A slot for a worker that is about to start; called in the master."""
        slot = min(set(range(_SLOTS)) - self._allocated, default=_SLOTS - 1)
        self._allocated.add(slot)
        self._directory[slot, [_ALIVE, _PLANNED_EXIT, _ACCEPTING, _READY]] = 0
        self._directory[0, _STARTS] += 1
        return slot

    def release_slot(self, slot: int) -> None:
        """The worker has ended; its counts stay. Called in the master."""
        self._directory[0, _PLANNED_EXITS if self._directory[slot, _PLANNED_EXIT] else _UNPLANNED_EXITS] += 1
        self._directory[slot, [_ALIVE, _ACCEPTING, _READY]] = 0
        self._allocated.discard(slot)

    def use_slot(self, slot: int) -> None:
        """Write to this slot from now on; counts of another layout (of other routes) are dropped."""
        if self._directory[slot, _LAYOUT] not in (0, self._layout):
            self.slots[slot] = 0
        self._directory[slot, _LAYOUT] = self._layout
        self.slot = slot

    def mark_alive(self) -> None:
        """Let this worker's gauges be read; it calls this once a second, so that others see that it does not hang."""
        self._directory[self.slot, [_ALIVE, _REPORTED_MS]] = 1, time.monotonic_ns() // 1_000_000

    def mark_accepting(self, *, is_accepting: bool) -> None:
        """Note whether this worker accepts connections."""
        self._directory[self.slot, _ACCEPTING] = is_accepting

    def mark_ready(self, *, is_ready: bool) -> None:
        """Note whether this worker has loaded the models that it needs."""
        self._directory[self.slot, _READY] = is_ready

    def mark_planned_exit(self) -> None:
        """Note that this worker is about to exit on request."""
        self._directory[self.slot, _PLANNED_EXIT] = 1

    @property
    def was_used(self) -> bool:
        """Whether any worker has ever had a slot to write to, so that it has loaded the application."""
        return bool(self._directory[1:, _LAYOUT].any())

    def last_report(self, *, accepting: bool) -> float:
        """When a worker last marked itself alive, in seconds of ``time.monotonic``, which all processes share.

        Minus infinity if none has. With ``accepting`` only workers count that accept connections now and are ready;
        without it, also those that have ended.
        """
        workers = self._directory[1:]
        is_counted = workers[:, _ACCEPTING] & workers[:, _READY] if accepting else 1
        last = int((workers[:, _REPORTED_MS] * is_counted).max())
        return last / 1000 if last else -math.inf

    @property
    def living(self) -> list[int]:
        """The slots of the living workers whose gauges can be read."""
        alive: list[int] = np.flatnonzero(self._directory[:, _ALIVE]).tolist()
        return alive

    @property
    def worker_counts(self) -> dict[str, int]:
        """How many workers were started, exited on request, and exited otherwise."""
        names = ("starts", "planned_exits", "unplanned_exits")
        counts = self._directory[0, [_STARTS, _PLANNED_EXITS, _UNPLANNED_EXITS]].tolist()
        return dict(zip(names, counts, strict=True))

    @property
    def used(self) -> list[int]:
        """The slots with counts of this layout: those of workers, living or not, and the first."""
        return self._slots_of(self._directory[:, _LAYOUT] == self._layout)

    @property
    def ever_used(self) -> list[int]:
        """The slots that workers of any layout have had, and the first."""
        return self._slots_of(self._directory[:, _LAYOUT] != 0)

    def _slots_of(self, is_used: NDArray[np.bool_]) -> list[int]:
        is_used[0] = True
        slots: list[int] = np.flatnonzero(is_used).tolist()
        return slots


class Block:
    """Cells at the same position in every slot, [slots, size]."""

    def __init__(self, counters: SharedCounters, cells: Cells) -> None:
        self._counters = counters
        self._cells = cells

    @property
    def here(self) -> Cells:
        """The cells of this process, [size]."""
        here: Cells = self._cells[self._counters.slot]
        return here

    def of(self, slots: list[int]) -> Cells:
        """A copy of the cells of some slots, [slots, size]."""
        return self._cells[slots]

    @property
    def used(self) -> list[int]:
        """The slots that may have counts in this block."""
        return self._counters.used

    def sums(self) -> Cells:
        """The sums over all processes, living or not, [size]."""
        sums: Cells = self.of(self.used).sum(axis=0)
        return sums


class ModelBlock(Block):
    """Cells whose meaning depends on their name only, whatever else the slots hold."""

    @property
    def used(self) -> list[int]:
        """The slots that may have counts in this block."""
        return self._counters.ever_used


@cache
def shared_counters() -> SharedCounters:
    """The counters of this process and of all processes that it forks from now on."""
    return SharedCounters()
