"""Pairs of a serving version and its shadow, and the counts of their comparison over all workers."""

import logging
import threading
import time
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from service.comparison.comparison import Comparison
from service.comparison.translation import RowTranslation
from service.inference.catalog import Catalog
from service.inference.model import Model
from service.monitoring.shadow.row_queue import Rows
from service.monitoring.shared_counters import Cells, SharedCounters

DROPPED = ("overload", "queue", "exit")  # the worker was busy; the shadow is too slow; the worker exited
FAILED = ("network", "input")  # the shadow gave no number; it does not take the row
_KEY, _SINCE, *_UNCOMPARED = range(2 + len(DROPPED) + len(FAILED))
_COMPARED = _UNCOMPARED[-1] + 1  # where the cells of the comparison begin

_log = logging.getLogger("menagerie")


class Counts(NamedTuple):
    """The ``cells`` of the rows that were compared, and how many were not, by reason.

    ``since`` is the Unix time at which a worker first compared the two; None if none has.
    """

    cells: Cells
    since: float | None
    dropped: dict[str, int]
    failed: dict[str, int]


class Pair:
    """Two versions of a model, and what workers have counted of them.

    Each worker's cells have the pair's key, without which they are those of an earlier pair: so the memory of a model
    is used again by its next pair.

    Raises:
        RegionsFullError: there is no memory for the counts.
    """

    def __init__(self, counters: SharedCounters, serving: Model, shadow: Model) -> None:
        self.serving, self.shadow = serving, shadow
        self._counters = counters
        self.comparison = Comparison(serving, shadow)
        self._translation = RowTranslation(serving.features, shadow.features)
        self._block = counters.model_block(f"shadow/{serving.name}", _COMPARED + self.comparison.size)
        key = sha256(f"{serving.fingerprint} {shadow.fingerprint}".encode()).digest()
        self._key = int.from_bytes(key[:7]) + 1
        self._has_failed = False

    def compare(self, rows: Rows) -> None:
        """Compute what the shadow gives for some rows, and count how it differs."""
        inputs, is_taken = self._translation.translate(rows.rows)
        if refused := len(inputs) - int(np.count_nonzero(is_taken)):
            self.count_uncompared("input", refused)
            inputs, rows = inputs[is_taken], rows.only(is_taken)
        if not len(inputs):
            return
        try:
            outputs = self.shadow.run(inputs)
        except Exception:  # noqa: BLE001 (whatever a network does with rows that it was not made for)
            self._report_failure()
            outputs = np.full_like(rows.outputs, np.nan)
        is_finite = np.all(np.isfinite(outputs), axis=1)
        if overflowed := len(is_finite) - int(np.count_nonzero(is_finite)):
            self.count_uncompared("network", overflowed)
            outputs, rows = outputs[is_finite], rows.only(is_finite)
        compared = self.comparison.count(*rows, outputs)
        with self._counters.lock:
            self._here()[_COMPARED:] += compared

    def count_uncompared(self, reason: str, rows: int) -> None:
        """Count rows that were dropped or for which the shadow gave nothing."""
        if rows:
            with self._counters.lock:
                self._here()[_UNCOMPARED[(*DROPPED, *FAILED).index(reason)]] += rows

    def read(self) -> Counts:
        """The counts of all workers."""
        cells = self._block.of(self._block.used)
        cells = cells[cells[:, _KEY] == self._key]
        since = cells[:, _SINCE].min(initial=np.iinfo(np.int64).max) if len(cells) else None
        sums = cells.sum(axis=0)
        uncompared = dict(zip((*DROPPED, *FAILED), sums[_UNCOMPARED].tolist(), strict=True))
        return Counts(
            cells=sums[_COMPARED:],
            since=int(since) / 1000 if since else None,
            dropped={reason: uncompared[reason] for reason in DROPPED},
            failed={reason: uncompared[reason] for reason in FAILED},
        )

    def _report_failure(self) -> None:
        if not self._has_failed:
            _log.exception("version %d of %s failed as a shadow", self.shadow.version, self.shadow.name)
        self._has_failed = True

    def _here(self) -> Cells:
        """The cells of this worker; the first time, those of an earlier pair are set to 0."""
        cells = self._block.here
        if cells[_KEY] != self._key:
            cells[_KEY] = 0  # nobody must read cells that are half emptied
            cells[_SINCE:] = 0
            cells[_SINCE] = time.time_ns() // 1_000_000
            cells[_KEY] = self._key
        return cells


class _Found(NamedTuple):
    """What there is of a shadow: the pair, or why it can't be compared."""

    shadow: Model
    pair: Pair | None
    fault: str = ""


class Pairs:
    """The pairs of all models that have a shadow now."""

    def __init__(self, catalog: Catalog, counters: SharedCounters) -> None:
        self._catalog = catalog
        self._counters = counters
        self._lock = threading.Lock()
        self._found: dict[Model, _Found] = {}

    def shadows(self) -> dict[Model, Model]:
        """The shadows of the models that have one, by the serving version."""
        return {
            serving.model: shadow.model
            for registry in self._catalog.by_path.values()
            if (serving := registry.serving) and (shadow := registry.shadow) and serving is not shadow
        }

    def find(self, model: Model) -> Pair | None:
        """The pair of a serving version, as of the last `refresh`."""
        found = self._found.get(model)
        return found.pair if found else None

    @property
    def all(self) -> list[Pair]:
        """All pairs, as of the last `refresh`, by the model's name."""
        pairs = [found.pair for found in self._found.values() if found.pair]
        return sorted(pairs, key=lambda pair: pair.serving.name)

    def fault(self, model: Model) -> str:
        """Why a serving version can't be compared with the shadow that there is."""
        found = self._found.get(model)
        return found.fault if found else ""

    def refresh(self) -> bool:
        """Make the pairs that are new and forget those that have ended; whether there are any."""
        with self._lock:
            found: dict[Model, _Found] = {}
            for serving, shadow in self.shadows().items():
                before = self._found.get(serving)
                if before is None or before.shadow is not shadow:
                    before = self._make(serving, shadow)
                found[serving] = before
            self._found = found
            return bool(found)

    def _make(self, serving: Model, shadow: Model) -> _Found:
        try:
            return _Found(shadow, Pair(self._counters, serving, shadow))
        except Exception as error:  # noqa: BLE001 (a comparison keeps no service from serving)
            _log.exception("version %d of %s cannot be compared", shadow.version, shadow.name)
            return _Found(shadow, None, f"version {shadow.version} cannot be compared: {error}")
