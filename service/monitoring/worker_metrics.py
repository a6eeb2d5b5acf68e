"""Gauges of the living workers, reported by each once a second."""

import resource
import sys
import time
from pathlib import Path

from service.monitoring.shared_counters import SharedCounters

FIELDS = (
    "looked_ms",
    "draining",
    "leaving",
    "in_flight",
    "queued",
    "connections",
    "pending_bytes",
    "late_us",
    "resident_bytes",
    "cpu_us",
)


class WorkerMetrics:
    """One row of numbers for each living worker."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters
        self._block = counters.block(len(FIELDS))

    def report(self, **values: int) -> None:
        """Set this worker's `FIELDS`, all but those that any process can measure of itself."""
        values |= {"resident_bytes": _resident_bytes(), "cpu_us": time.process_time_ns() // 1000}
        self._block.here[:] = [values[name] for name in FIELDS]
        self._counters.mark_alive()

    def living(self) -> dict[int, dict[str, int]]:
        """The last report of each living worker by slot."""
        slots = self._counters.living
        rows = self._block.of(slots).tolist()
        return {slot: dict(zip(FIELDS, row, strict=True)) for slot, row in zip(slots, rows, strict=True)}


def _resident_bytes() -> int:
    """Resident memory of this process; where the system has no /proc, the most that it ever was."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
