"""Memory that a master shares with its workers: what they count outlives them, what they are ends with them.

Each process writes to a slot of its own, so that none waits for another and nothing is lost or counted twice; who reads
adds up all slots. The slot of a worker that has ended goes to a later one, who adds to what stands there. There is no
file, and what nobody has written to takes no memory.
"""

import mmap
import os
import sys
import tempfile
import threading
import time
import weakref
from functools import cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from service.http.errors import StartupError

Cells = NDArray[np.int64]

_SLOTS = 256  # the first is the master's, or that of a process which is the only one
_CELLS = 1 << 16  # of 8 bytes, in each slot
_LAYOUT, _ALIVE, _LEAVES, _BEGUN, _PLANNED, _UNPLANNED = range(6)  # the last three in the first slot's entry only
_ENTRY = 8  # cells for each slot in the directory, which stands before all slots


class Memory:
    """Made before the workers are; each of them lays it out in the same way.

    ``cells`` are those of all slots, ``slots`` the same as [slots, cells]; this process's own begin at ``base``. Its
    threads share them, so whoever adds holds the ``lock``.
    """

    def __init__(self) -> None:
        shared = mmap.mmap(-1, _SLOTS * (_ENTRY + _CELLS) * 8)
        self.cells = memoryview(shared).cast("q")[_SLOTS * _ENTRY :]
        self.lock = threading.Lock()
        whole = np.frombuffer(shared, np.int64)
        self._directory = whole[: _SLOTS * _ENTRY].reshape(_SLOTS, _ENTRY)
        self.slots = whole[_SLOTS * _ENTRY :].reshape(_SLOTS, _CELLS)
        self._taken = {0}
        self.made = time.time()
        self.file = _nameless()  # for whoever needs a lock that ends with its holder
        weakref.finalize(self, os.close, self.file)
        self._end, self._layout = 0, 1
        self.slot = self.base = 0

    def block(self, size: int) -> "Block":
        """Room for ``size`` numbers in every slot.

        Raises:
            StartupError: there is not so much room.
        """
        start, self._end = self._end, self._end + size
        if self._end > _CELLS:
            raise StartupError(f"there is no room to count {size} numbers: has the model thousands of features?")
        self._layout = crc32(b"%d," % size, self._layout)
        return Block(self, start, size)

    def take(self) -> int:
        """A slot for a worker that is about to begin; called in the master."""
        slot = min(set(range(_SLOTS)) - self._taken, default=_SLOTS - 1)
        self._taken.add(slot)
        self._directory[slot, [_ALIVE, _LEAVES]] = 0
        self._directory[0, _BEGUN] += 1
        return slot

    def free(self, slot: int) -> None:
        """The worker has ended: what it counted stays; called in the master."""
        self._directory[0, _PLANNED if self._directory[slot, _LEAVES] else _UNPLANNED] += 1
        self._directory[slot, _ALIVE] = 0
        self._taken.discard(slot)

    def claim(self, slot: int) -> None:
        """Write there from now on; what was counted in another layout (another model's) cannot be added to."""
        if self._directory[slot, _LAYOUT] not in (0, self._layout):
            self.slots[slot] = 0
        self._directory[slot, _LAYOUT] = self._layout
        self.slot, self.base = slot, slot * _CELLS

    def live(self) -> None:
        """What this worker says of itself can be read."""
        self._directory[self.slot, _ALIVE] = 1

    def leave(self) -> None:
        """Say that this worker ends because it should."""
        self._directory[self.slot, _LEAVES] = 1

    @property
    def living(self) -> list[int]:
        """The slots of the workers that live and have said something of themselves."""
        alive: list[int] = np.flatnonzero(self._directory[:, _ALIVE]).tolist()
        return alive

    @property
    def lives(self) -> dict[str, int]:
        """How many workers have begun, have ended because they should, and otherwise."""
        begun, planned, unplanned = self._directory[0, [_BEGUN, _PLANNED, _UNPLANNED]].tolist()
        return {"begun": begun, "planned": planned, "unplanned": unplanned}

    @property
    def used(self) -> list[int]:
        """The slots with counts in them: of the living, of the dead, and the first, which nobody needs to claim."""
        used = self._directory[:, _LAYOUT] == self._layout
        used[0] = True
        found: list[int] = np.flatnonzero(used).tolist()
        return found


class Block:
    """So many numbers in every slot."""

    def __init__(self, memory: Memory, start: int, size: int) -> None:
        self._memory = memory
        self.start = start
        self._size = size

    @property
    def mine(self) -> int:
        """Where in ``Memory.cells`` this process's own begin."""
        return self._memory.base + self.start

    def of(self, slots: list[int]) -> Cells:
        """What stands in some slots, [slots, size]."""
        return self._memory.slots[slots, self.start : self.start + self._size]

    def sums(self) -> Cells:
        """Over all processes that there are or were, [size]."""
        sums: Cells = self.of(self._memory.used).sum(axis=0)
        return sums


def _nameless() -> int:
    """A file without a name, in memory where the system can."""
    if sys.platform == "linux":
        return os.memfd_create("menagerie")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@cache
def shared() -> Memory:
    """The memory of this process and of all that it forks from now on."""
    return Memory()
