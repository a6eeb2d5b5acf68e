"""How often each version of the network was asked and how long it took, summed over all workers."""

import mmap
import os
import threading
import time

from service.messages import Handler, Reply, Request

_WORKERS = 64  # processes that can live at once, before two would have to share a slot
_VERSIONS = 16  # that can be counted at once, before two would have to share a place
_FIELDS = ("version", "successes", "success_ns", "failures", "failure_ns", "rows", "runs", "run_ns", "last_ms")
_SUCCESS, _FAILURE, _RUN, _LAST = 1, 3, 5, 8


class Ledger:
    """Counts in memory that the workers inherit and share.

    Each process adds to a slot of its own, which is the next one at every fork, so that none waits for another and no
    count is lost. A slot that is used again after 64 forks goes on from where it was.
    """

    def __init__(self) -> None:
        self._shared = memoryview(mmap.mmap(-1, _WORKERS * _VERSIONS * len(_FIELDS) * 8)).cast("q")
        self._slot = 0
        self._lock = threading.Lock()
        os.register_at_fork(before=self._next_slot)

    def of(self, version: int) -> "Statistics":
        """The counts of one version."""
        return Statistics(self, version)

    def add(self, version: int, field: int, *amounts: int) -> None:
        """Add to neighbouring fields of a version."""
        start = (self._slot * _VERSIONS + version % _VERSIONS) * len(_FIELDS)
        with self._lock:  # threads of one worker share its slot
            if self._shared[start] != version:  # another version had this place
                self._shared[start : start + len(_FIELDS)] = _empty(version)
            for place, amount in enumerate(amounts, start + field):
                self._shared[place] += amount

    def ran(self, version: int, rows: int, nanoseconds: int) -> None:
        """Count one run of the network, now."""
        self.add(version, _RUN, rows, 1, nanoseconds)
        start = (self._slot * _VERSIONS + version % _VERSIONS) * len(_FIELDS)
        self._shared[start + _LAST] = time.time_ns() // 1_000_000

    def totals(self, version: int) -> dict[str, int]:
        """All counts of a version over all workers: requests, rows, runs, times in ns, the last run in ms."""
        size = len(_FIELDS)
        starts = range(version % _VERSIONS * size, len(self._shared), _VERSIONS * size)
        slots = [self._shared[start : start + size].tolist() for start in starts if self._shared[start] == version]
        columns = dict(zip(_FIELDS, zip(*slots, strict=True), strict=True)) if slots else dict.fromkeys(_FIELDS, (0,))
        return {name: max(values) if name == "last_ms" else sum(values) for name, values in columns.items()}

    def _next_slot(self) -> None:
        self._slot = (self._slot + 1) % _WORKERS


class Statistics:
    """The counts of one version."""

    def __init__(self, ledger: Ledger, version: int) -> None:
        self._ledger = ledger
        self._version = version

    def counted(self, handler: Handler) -> Handler:
        """The handler, its successes and failures counted and timed."""

        def answer(request: Request) -> Reply:
            started = time.perf_counter_ns()
            field = _FAILURE
            try:
                reply = handler(request)
                field = _SUCCESS
                return reply
            finally:
                self._ledger.add(self._version, field, 1, time.perf_counter_ns() - started)

        return answer

    def ran(self, rows: int, nanoseconds: int) -> None:
        """Count one run of the network."""
        self._ledger.ran(self._version, rows, nanoseconds)

    def totals(self) -> dict[str, int]:
        """As `Ledger.totals`."""
        return self._ledger.totals(self._version)


def _empty(version: int) -> memoryview:
    return memoryview(bytearray(version.to_bytes(8, "little") + bytes(8 * (len(_FIELDS) - 1)))).cast("q")
