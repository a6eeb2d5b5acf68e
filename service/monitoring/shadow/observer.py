"""What a shadow would have answered: computed for rows that were predicted, after their responses, and compared.

The observer puts the rows of completed predictions into a bounded queue. A thread computes them in bulk, a piece at a
time. It keeps no request waiting for long: a piece takes about as long as Python's switch interval, 0.5 ms in a worker,
the thread rests after each, and it computes nothing while the worker is overloaded.
"""

import logging
import threading
import time
from collections.abc import Sequence
from random import random  # seeded anew in every worker

from service.http.context import RequestContext
from service.inference.catalog import Catalog
from service.inference.model import Model
from service.monitoring.shadow.pairs import Pairs
from service.monitoring.shadow.row_queue import RowQueue
from service.monitoring.shadow.worker_load import WorkerLoad
from service.monitoring.shared_counters import SharedCounters
from service.settings import Settings

MAX_TIME_SHARE = 0.2  # in which the thread works, also if an engine has threads of its own
_INTERVAL = 0.25  # seconds: a round takes 0.8 ms, mostly to get its data back into the caches
_PIECE_ROWS, _MIN_PIECE_ROWS = 200, 16
_PIECE_NUMBERS = 4_000  # of rows and outputs: a request may have to wait while they are compared

_log = logging.getLogger("menagerie")


class Shadow:
    """Compares the shadows of all models with the versions that serve; ``pairs`` has the counts.

    Until `start` is called, rows are compared at once, as in a process without threads of its own.
    """

    def __init__(self, settings: Settings, catalog: Catalog, counters: SharedCounters) -> None:
        self.share = settings.shadow_share
        self.pairs = Pairs(catalog, counters)
        self._queue = RowQueue(settings.shadow_rows)
        self._has_threads = False
        self._thread: threading.Thread | None = None
        self._is_overloaded = False

    def start(self) -> None:
        """From now on compare in a thread; call it once in each worker. The thread runs while there is a shadow."""
        self._has_threads = True

    def close(self) -> None:
        """Count the rows that still wait as dropped; call it before a worker exits."""
        self._queue.drop_all("exit")
        self._count_dropped()

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Let the rows that a serving version predicted be compared, if it has a shadow."""
        shadows = self.pairs.shadows()
        for model in shadows:
            if not self.pairs.fault(model):
                self._put(model, contexts)
        if not self._has_threads:
            self._compare_all()
        elif shadows and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def _put(self, model: Model, contexts: Sequence[RequestContext]) -> None:
        chosen = [each.prediction for each in contexts if each.model is model and self._is_chosen(each)]
        if predictions := [each for each in chosen if each is not None]:
            self._queue.put(model, predictions, "overload" if self._is_overloaded else "queue")

    def _is_chosen(self, context: RequestContext) -> bool:
        is_inference = context.route is not None and context.route.inference and not context.error
        return is_inference and (self.share == 1 or random() < self.share)  # noqa: S311 (no secret)

    def _run(self) -> None:
        """Compare rows as long as there is a shadow, at most `MAX_TIME_SHARE` of the time."""
        load = WorkerLoad()
        while self.pairs.refresh():
            self._is_overloaded = load.is_overloaded()
            started, is_busy = time.perf_counter(), False
            try:
                is_busy = not self._is_overloaded and self._compare_piece()
                self._count_dropped()
            except Exception:  # noqa: BLE001 (the next piece may be another)
                _log.exception("a comparison with a shadow failed")
            took = time.perf_counter() - started
            time.sleep(max(took * (1 / MAX_TIME_SHARE - 1), 0 if is_busy else _INTERVAL))
        self.close()  # nothing is to be left for a later shadow, nor in memory until then

    def _compare_all(self) -> None:
        self.pairs.refresh()
        while self._compare_piece():
            pass
        self._count_dropped()

    def _compare_piece(self) -> bool:
        """Compare some of the rows that wait; false if none do."""
        taken = self._queue.take(_piece_rows)
        if taken is None:
            return False
        model, rows = taken
        if pair := self.pairs.find(model):
            pair.compare(rows)
        return True

    def _count_dropped(self) -> None:
        for (model, reason), rows in self._queue.take_dropped().items():
            if pair := self.pairs.find(model):
                pair.count_uncompared(reason, rows)


def _piece_rows(model: Model) -> int:
    """How many rows of a model to compute at a time."""
    width = len(model.features) + len(model.column_names)
    return min(_PIECE_ROWS, max(_MIN_PIECE_ROWS, _PIECE_NUMBERS // width))
