"""Compares what is asked with the training rows: counted by every worker, reported by GET /drift."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from service.http.context import RequestContext
from service.http.messages import Request, Response, json_response
from service.http.routing import Declare, Protocol
from service.inference.model import Model
from service.inference.registry import Registry
from service.monitoring.drift import verdict
from service.monitoring.drift.bins import Bins, Counts, cells_of
from service.monitoring.drift.verdict import Verdict
from service.monitoring.drift.window import Windows
from service.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_declare = Declare(Protocol.SERVICE)


class Drift:
    """Holds the last rows of each model version against its training rows.

    Only the bins that rows fall in are kept. The windows lie in a ``file`` that all workers inherit.
    """

    def __init__(self, settings: Settings, file: int, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._bins: WeakKeyDictionary[Model, Bins] = WeakKeyDictionary()
        self._window_rows = settings.drift_rows
        self._binned: deque[tuple[int, Counts]] = deque()  # not in the windows yet: another worker had the lock
        cells = cells_of(registry.current.model.manifest)
        self._windows = Windows(file, settings.drift_rows, settings.keep_versions + 1, cells)

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count the rows of completed inferences, and values that were rejected as out of bounds."""
        inferences = [context for context in contexts if context.route and context.route.inference]
        for model in self._registry.models if inferences else ():
            bins = self._bins_of(model)
            of_model = [context for context in inferences if context.version == model.version]
            if predictions := [context.prediction for context in of_model if context.prediction]:
                rows = np.concatenate([each.rows[-self._window_rows :] for each in predictions])
                labels = np.concatenate([each.labels[-self._window_rows :] for each in predictions])
                binned = bins.of_predicted(rows[-self._window_rows :], labels[-self._window_rows :])
                self._binned.append((bins.key, binned))
            if out_of_bounds := sum((Counter(each.out_of_bounds) for each in of_model), Counter()):
                self._binned.append((bins.key, bins.of_refused(out_of_bounds)))
        self._drop_oldest()
        self._add_to_windows()

    def judge(self, model: Model) -> Verdict:
        """The verdict on the last rows of a version."""
        self._add_to_windows()
        bins = self._bins_of(model)
        return verdict.judge(model, bins, self._windows.read(bins.key), self._settings)

    def collect(self) -> Iterator["Metric"]:
        """The drift metrics of every loaded version."""
        from service.monitoring.metric_families import drift_families  # importing it takes 20 ms

        yield from drift_families([self.judge(model) for model in self._registry.models])

    def _bins_of(self, model: Model) -> Bins:
        bins = self._bins.get(model)
        if not bins:
            self._bins[model] = bins = Bins(model.manifest, int(model.fingerprint[:16], 16) or 1)
        return bins

    def _drop_oldest(self) -> None:
        """Keep no more rows waiting for the lock than a window has."""
        sizes = [len(rows) for _, rows in self._binned]
        while sum(sizes[1:]) >= self._window_rows:
            sizes.pop(0)
            self._binned.popleft()

    def _add_to_windows(self) -> None:
        """Add the binned rows to the windows, unless another worker is adding: then they wait for the next time."""
        with self._windows.turn() as is_ours:
            while is_ours and self._binned:
                self._windows.add(*self._binned.popleft())


class DriftReport:
    """``flush`` brings the counts up to date."""

    def __init__(self, drift: Drift, registry: Registry, flush: Callable[[], None]) -> None:
        self._drift = drift
        self._registry = registry
        self._flush = flush

    @_declare("GET", "/drift", "drift", "Whether what is asked looks like the training rows", "Drift")
    def report(self, request: Request) -> Response:
        model = self._registry.select(request).model
        self._flush()
        return json_response(self._drift.judge(model).document())
