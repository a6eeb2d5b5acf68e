"""Input drift: every worker counts recent rows, GET /drift and /metrics compare them with the training rows."""

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
from service.inference.registry import Registry
from service.monitoring.drift.document import document
from service.monitoring.drift.verdict import Verdict, judge, judge_without_sample
from service.monitoring.drift.window import Windows
from service.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_declare = Declare(Protocol.SERVICE)


class Drift:
    """Compares the most recent rows of each model version with its training rows.

    It keeps only which bins the rows fall in. The windows lie in a ``file`` that all workers inherit.
    """

    def __init__(self, settings: Settings, file: int, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._bins = PerModel(lambda model: Bins(model.manifest, int(model.fingerprint[:16], 16) or 1))
        self._window_rows = settings.drift_rows
        self._binned: deque[tuple[int, Counts]] = deque()  # not in the windows yet: another worker held the lock
        cells = count_cells(registry.current.model.manifest)
        self._windows = Windows(file, settings.drift_rows, settings.keep_versions + 1, cells)

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count the rows of completed inferences, and values that were rejected as out of bounds."""
        for model in {each.model for each in contexts if each.model and each.model.manifest.reference}:
            inferences = [each for each in contexts if each.model is model and each.route and each.route.inference]
            bins = self._bins.of(model)
            if predictions := [each.prediction for each in inferences if each.prediction is not None]:
                self._binned.append((bins.key, self._bin(model, bins, predictions)))
            if rejections := [each.out_of_bounds for each in inferences if each.out_of_bounds]:
                self._binned.append((bins.key, bins.bin_out_of_bounds(rejections)))
        self._drop_oldest()
        self._add_to_windows()

    def judge(self, model: Model) -> Verdict:
        """The verdict on the most recent rows of a version."""
        if not model.manifest.reference:
            return judge_without_sample(model, self._settings)
        self._add_to_windows()
        bins = self._bins.of(model)
        return judge(model, bins, self._windows.read(bins.key), self._settings)

    def collect(self) -> Iterator["Metric"]:
        """The drift metrics of every loaded version."""
        from service.monitoring.metric_families import drift_families  # importing it takes 20 ms

        yield from drift_families([self.judge(model) for model in self._registry.models])

    def _bin(self, model: Model, bins: Bins, predictions: Sequence[Prediction]) -> Counts:
        """The cells of the last rows that a window can hold."""
        last = slice(-self._window_rows, None)
        rows = join_rows([each.rows for each in predictions])[last]
        labels = join_indices([each.labels for each in predictions])[last]
        outputs = None if model.labels else join_rows([each.outputs for each in predictions])[last]
        return bins.bin_predicted(rows, labels, outputs)

    def _drop_oldest(self) -> None:
        """Let no more rows wait for the lock than a window holds."""
        sizes = [len(rows) for _, rows in self._binned]
        while sum(sizes[1:]) >= self._window_rows:
            sizes.pop(0)
            self._binned.popleft()

    def _add_to_windows(self) -> None:
        """Add the binned rows to the windows; if another worker holds the lock, leave them for the next call."""
        with self._windows.lock() as is_locked:
            while is_locked and self._binned:
                self._windows.add(*self._binned.popleft())


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
