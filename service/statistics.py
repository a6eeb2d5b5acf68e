"""How often the network was asked and how long it took, summed over all workers."""

import mmap
import os
import threading
import time

from service.messages import Handler, Reply, Request

_WORKERS = 64  # processes that can live at once, before two would have to share a slot
_FIELDS = ("successes", "success_ns", "failures", "failure_ns", "rows", "runs", "run_ns", "last_ms")
_SUCCESS, _FAILURE, _RUN, _LAST = 0, 2, 4, 7


class Statistics:
    """Counts in memory that the workers inherit and share.

    Each process adds to a slot of its own, which is the next one at every fork, so that none waits for another and no
    count is lost. A slot that is used again after 64 forks goes on from where it was.
    """

    def __init__(self) -> None:
        self._shared = memoryview(mmap.mmap(-1, _WORKERS * len(_FIELDS) * 8)).cast("q")
        self._slot = 0
        self._lock = threading.Lock()
        os.register_at_fork(before=self._next_slot)

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
                self._add(field, 1, time.perf_counter_ns() - started)

        return answer

    def ran(self, rows: int, nanoseconds: int) -> None:
        """Count one run of the network."""
        self._add(_RUN, rows, 1, nanoseconds)
        self._shared[self._slot * len(_FIELDS) + _LAST] = time.time_ns() // 1_000_000

    def totals(self) -> dict[str, int]:
        """All counts, over all workers that there have been: requests, rows, runs, times in ns, the last run in ms."""
        by_field = {name: self._shared[place :: len(_FIELDS)].tolist() for place, name in enumerate(_FIELDS)}
        return {name: sum(values) for name, values in by_field.items()} | {"last_ms": max(by_field["last_ms"])}

    def _add(self, field: int, *amounts: int) -> None:
        with self._lock:  # threads of one worker share its slot
            for place, amount in enumerate(amounts, self._slot * len(_FIELDS) + field):
                self._shared[place] += amount

    def _next_slot(self) -> None:
        self._slot = (self._slot + 1) % _WORKERS
