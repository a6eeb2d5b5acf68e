"""How busy a worker is beside its shadow."""

import os
import time
from pathlib import Path

_MIN_SECONDS = 0.05  # a shorter time says little: one long request fills it
_OVERLOADED = 0.9


class WorkerLoad:
    """Measures how much of a core the worker needs; all calls must come from the same thread, which does not count.

    What counts is the CPU time of its other threads, and, where the system tells it (Linux), the time that the event
    loop waited for a core although it had work.
    """

    def __init__(self) -> None:
        self._waits = Path(f"/proc/self/task/{os.getpid()}/schedstat")  # of the main thread, in which the loop runs
        self._last = time.monotonic()
        self._last_used = self._used()
        self._is_overloaded = False

    def is_overloaded(self) -> bool:
        """Whether the worker has had hardly a moment to spare since the last measurement."""
        now = time.monotonic()
        if now - self._last >= _MIN_SECONDS:
            used = self._used()
            self._is_overloaded = used - self._last_used > _OVERLOADED * (now - self._last)
            self._last, self._last_used = now, used
        return self._is_overloaded

    def _used(self) -> float:
        """The seconds of a core that the worker has used or wanted so far."""
        return time.process_time() - time.thread_time() + self._waited()

    def _waited(self) -> float:
        try:
            return int(self._waits.read_text(encoding="ascii").split()[1]) * 1e-9
        except (OSError, ValueError, IndexError):
            return 0.0
