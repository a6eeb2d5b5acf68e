"""What happened to a model in the store, and what each worker has loaded of it, by its name alone.

A model that was never loaded has events too, but no schema.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from service.inference.registry import Event, Registry
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.version_table import MAX_VERSIONS, VersionTable

EVENTS = ("loaded", "refused", "forward", "back")
_GAUGES = slice(len(EVENTS), len(EVENTS) + 2)
_LOADS = _GAUGES.stop
_LOAD_FIELDS = 3


class WorkerState(NamedTuple):
    """The version that a worker serves, 0 if there is none, and how many versions it currently refuses."""

    serves: int
    refused: int


class Load(NamedTuple):
    """The end of a version's training and the last time that a worker loaded it, both as Unix time; 0 if unknown."""

    trained_s: int
    loaded_ms: int


class ModelState:
    """The events and gauges of the model of a ``name``.

    Raises:
        RegionsFullError: there is no memory for them.
    """

    def __init__(self, counters: SharedCounters, name: str) -> None:
        self._counters = counters
        self._block = counters.model_block(f"state/{name}", _LOADS + MAX_VERSIONS * _LOAD_FIELDS)
        self._loads = VersionTable(self._block, _LOAD_FIELDS, _LOADS)

    def count(self, event: Event) -> None:
        """Count an event; note the time if the version was loaded."""
        with self._counters.lock:
            self._block.here[EVENTS.index(event.kind)] += 1
            if event.kind == "loaded":
                self._loads.here(event.version)[1:] = _unix_time(event.trained), time.time_ns() // 1_000_000

    def report(self, registry: Registry | None) -> None:
        """Set this worker's gauges; None once the model is dropped."""
        serving = registry.serving if registry else None
        self._block.here[_GAUGES] = serving.model.version if serving else 0, len(registry.refused) if registry else 0

    def events(self) -> Mapping[str, int]:
        """The number of events by name."""
        return dict(zip(EVENTS, self._block.sums().tolist(), strict=False))

    def loads(self) -> dict[int, Load]:
        """When each version was trained, and loaded last by any worker."""
        return {version: Load(*cells.max(axis=0).tolist()[1:]) for version, cells in self._loads.by_version().items()}

    def workers(self) -> dict[int, WorkerState]:
        """What each living worker reported last, by slot."""
        slots = self._counters.living
        return {
            slot: WorkerState(*row) for slot, row in zip(slots, self._block.of(slots)[:, _GAUGES].tolist(), strict=True)
        }


def _unix_time(timestamp: str) -> int:
    """Seconds since 1970, or 0 if a manifest's timestamp can't be read."""
    try:
        return int(datetime.fromisoformat(timestamp).timestamp())
    except (ValueError, OverflowError):
        return 0
