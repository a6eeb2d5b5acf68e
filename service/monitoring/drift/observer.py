"""Input drift: every worker counts recent rows, GET /drift and /metrics compare them with the training rows."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from service.arrays import Prediction, join_indices, join_rows
from service.http.context import RequestContext
from service.http.messages import Request, Response, json_response
from service.http.routing import Declare, Protocol
from service.inference.binning.bins import Bins, Counts, count_cells
from service.inference.catalog import Catalog
from service.inference.model import Model, PerModel
from service.monitoring.drift.document import document
from service.monitoring.drift.verdict import Verdict, judge, judge_without_sample
from service.monitoring.drift.window import Window, Windows, empty_window
from service.monitoring.observations import by_model
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.shared_regions import unless_full
from service.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_declare = Declare(Protocol.SERVICE)


class _ModelDrift:
    """The bins of a model version, its model's windows, and rows that are not in the windows yet."""

    def __init__(self, settings: Settings, counters: SharedCounters, model: Model) -> None:
        self._has_class = bool(model.labels)
        self._window_rows = settings.drift_rows
        self._cells = count_cells(model.manifest)
        self._key = int(model.fingerprint[:16], 16) or 1  # 0 is that of an unused window
        self.bins = Bins(model.manifest)
        self.binned: deque[Counts] = deque()  # not in the windows yet: another worker held the lock
        self._lock = threading.Lock()  # of these: requests for the report take from them in other threads
        self.windows = unless_full(
            lambda: Windows(counters.regions, model.name, settings.drift_rows, settings.keep_versions + 1, self._cells)
        )

    def bin(self, inferences: Sequence[RequestContext]) -> None:
        """Bin the rows of completed inferences, and values that were rejected as out of bounds."""
        if not self.windows:
            return
        binned = []
        if predictions := [each.prediction for each in inferences if each.prediction is not None]:
            binned.append(self._bin_predicted(predictions))
        if rejections := [each.out_of_bounds for each in inferences if each.out_of_bounds]:
            binned.append(self.bins.bin_out_of_bounds(rejections))
        with self._lock:
            self.binned.extend(binned)
            self._drop_oldest()

    def add_to_windows(self) -> bool:
        """Add the binned rows to the windows; False if another worker holds the lock, and some are left."""
        if self.windows and self.binned:
            with self.windows.lock.attempt() as is_locked:
                while is_locked and (rows := self._take_oldest()) is not None:
                    self.windows.add(self._key, rows)
        return not self.binned

    def read(self) -> Window:
        """The window of the version."""
        self.add_to_windows()
        return self.windows.read(self._key) if self.windows else empty_window(self._cells)

    def _bin_predicted(self, predictions: Sequence[Prediction]) -> Counts:
        """The cells of the last rows that a window can hold."""
        last = slice(-self._window_rows, None)
        rows = join_rows([each.rows for each in predictions])[last]
        labels = join_indices([each.labels for each in predictions])[last]
        outputs = None if self._has_class else join_rows([each.outputs for each in predictions])[last]
        return self.bins.bin_predicted(rows, labels, outputs)

    def _take_oldest(self) -> Counts | None:
        with self._lock:
            return self.binned.popleft() if self.binned else None

    def _drop_oldest(self) -> None:
        """Let no more rows wait for the lock than a window holds."""
        sizes = [len(rows) for rows in self.binned]
        while sum(sizes[1:]) >= self._window_rows:
            sizes.pop(0)
            self.binned.popleft()


class Drift:
    """Compares the most recent rows of each model version with its training rows.

    It keeps only which bins the rows fall in. The windows of each model lie in memory that all workers share.
    """

    def __init__(self, settings: Settings, counters: SharedCounters, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self._drifts = PerModel(lambda model: _ModelDrift(settings, counters, model))
        self._unfinished: set[_ModelDrift] = set()

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count the rows of completed inferences, and values that were rejected as out of bounds."""
        for model, own in by_model(contexts).items():
            if model.manifest.reference:
                drift = self._drifts.of(model)
                drift.bin([each for each in own if each.route and each.route.inference])
                self._unfinished.add(drift)
        self._unfinished = {drift for drift in self._unfinished if not drift.add_to_windows()}

    def judge(self, model: Model) -> Verdict:
        """The verdict on the most recent rows of a version."""
        if not model.manifest.reference:
            return judge_without_sample(model, self._settings)
        drift = self._drifts.of(model)
        return judge(model, drift.bins, drift.read(), self._settings)

    def collect(self) -> Iterator["Metric"]:
        """The drift metrics of every loaded version of every model."""
        from service.monitoring.drift.metric_families import drift_families  # importing it takes 20 ms

        yield from drift_families([self.judge(model) for model in self._catalog.models])


class DriftReport:
    """GET /drift; ``flush`` brings the counts up to date."""

    def __init__(self, drift: Drift, catalog: Catalog, flush: Callable[[], object]) -> None:
        self._drift = drift
        self._catalog = catalog
        self._flush = flush

    @_declare("GET", "[/models/{model}]/drift", "Drift")
    def drift(self, request: Request) -> Response:
        """Whether recent input looks like the training rows."""
        model = self._catalog.select(request).model
        self._flush()
        return json_response(document(self._drift.judge(model)))
