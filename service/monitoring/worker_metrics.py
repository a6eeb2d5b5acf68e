"""What a living worker says of itself, once a second; a dead one says nothing."""

import resource
import time
from pathlib import Path

from service.monitoring.shared_counters import Memory

FIELDS = (
    "serves",
    "looked_ms",
    "refused",
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


class Vitals:
    """One line of numbers for each living worker."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._block = memory.block(len(FIELDS))

    def tell(self, **found: int) -> None:
        """Say all of `FIELDS` but what every process knows of itself."""
        found |= {"resident_bytes": _resident(), "cpu_us": time.process_time_ns() // 1000}
        start = self._block.mine
        for place, name in enumerate(FIELDS, start):
            self._memory.cells[place] = found[name]
        self._memory.live()

    def living(self) -> dict[int, dict[str, int]]:
        """What each has said last, by slot."""
        slots = self._memory.living
        rows = self._block.of(slots).tolist()
        return {slot: dict(zip(FIELDS, row, strict=True)) for slot, row in zip(slots, rows, strict=True)}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
