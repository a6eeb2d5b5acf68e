"""Whether what is asked still looks like the training rows: counted by every worker, told by ``GET /drift``."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from service.http.context import Predicted
from service.http.messages import Reply, Request, Route, json_reply
from service.inference.model import Model
from service.monitoring.drift import verdict
from service.monitoring.drift.bins import Counts, cells_of
from service.monitoring.drift.verdict import Verdict
from service.monitoring.drift.window import Windows
from service.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_EXPLAIN = "/explain"  # a slider of the page asks it again and again, of animals that nobody met
_AT_ONCE = 256  # requests, or rows of one: in a busy server a handful of NumPy's calls takes 400 us for them as for one
_TICK_SECONDS = 1.0
_What = TypeVar("_What")


class Drift:
    """Holds the last rows that each version was asked about against those that it was trained on.

    Requests are held until there are some of them, or for a second; nothing of a row is kept but which bins it fell in.
    The windows lie in a ``file`` that all workers inherit.
    """

    def __init__(self, settings: Settings, file: int) -> None:
        self._settings = settings
        self._file = file
        self._models: WeakValueDictionary[int, Model] = WeakValueDictionary()
        self._most = settings.drift_rows
        self._held: deque[tuple[int, tuple[bytes, bytes]]] = deque()  # rows and probabilities, one request each
        self._refused: deque[tuple[int, Mapping[str, int]]] = deque()
        self._placed: deque[tuple[int, Counts]] = deque()  # held and placed, but another worker had the lock
        self._one = threading.Lock()
        self._windows: Windows

    @property
    def models(self) -> list[Model]:
        """The versions that there are windows of, oldest first."""
        return sorted(self._models.values(), key=attrgetter("number"))

    def routes(self, model: Model) -> list[Route]:
        """``GET /drift`` for one version, which gets a window; the first one's schema is that of all."""
        if not self._models:
            versions = self._settings.keep_versions + 1
            self._windows = Windows(self._file, self._settings.drift_rows, versions, cells_of(model.manifest))
        self._models[model.number] = model
        return [Route("GET", "/drift", partial(self._answer, model))]

    def tell(self, request: Request, _: Reply) -> None:
        """Take note of what a request asked, as an observer of the gate."""
        record = request.record
        if not record.version or request.route == _EXPLAIN:
            return
        many = False
        if record.predicted:
            rows, probabilities = record.predicted
            if many := len(rows) > _AT_ONCE:
                rows, probabilities = rows[-self._most :], probabilities[-self._most :]
            # Copied, so that no large request is kept alive; and 256 live arrays cost 2 us a request.
            self._held.append((record.version, (rows.tobytes(), probabilities.tobytes())))
        elif record.out_of_bounds:
            self._refused.append((record.version, record.out_of_bounds))
        if many or len(self._held) + len(self._refused) >= _AT_ONCE:
            self.flush()

    def watch(self) -> None:
        """Let nothing be held for long, in a thread; call it once in each process that answers."""
        threading.Thread(target=self._watch, name="drift", daemon=True).start()

    def flush(self) -> None:
        """Count what is held, unless that is being done."""
        if not self._one.acquire(blocking=False):
            return
        try:
            self._place()
            with self._windows.turn() as mine:
                while mine and self._placed:
                    self._windows.add(*self._placed.popleft())
        finally:
            self._one.release()

    def judge(self, model: Model) -> Verdict:
        """What the last rows of a version look like, those of this process among them."""
        self.flush()
        return verdict.judge(model, self._windows.read(model.bins.key), self._settings)

    def collect(self) -> Iterator["Metric"]:
        """The metrics of every version that there is a window of."""
        from service.monitoring.metric_families import of_drift  # it imports what takes 20 ms

        yield from of_drift([self.judge(model) for model in self.models])

    def _answer(self, model: Model, _: Request) -> Reply:
        return json_reply(self.judge(model).document())

    def _watch(self) -> None:
        while True:
            time.sleep(_TICK_SECONDS)
            if self._held or self._refused or self._placed:
                self.flush()

    def _place(self) -> None:
        """Find the cells of all that is held, of which no more is kept than a window has rows."""
        for version, predicted in _taken(self._held):
            if model := self._models.get(version):
                both = (np.frombuffer(b"".join(part), np.float32) for part in zip(*predicted, strict=True))
                widths = len(model.features), len(model.labels)
                parts = [part.reshape(-1, width)[-self._most :] for part, width in zip(both, widths, strict=True)]
                self._placed.append((model.bins.key, model.bins.of_predicted(Predicted(*parts))))
        for version, refused in _taken(self._refused):
            if model := self._models.get(version):
                beyond = sum(map(Counter, refused), Counter())
                self._placed.append((model.bins.key, model.bins.of_refused(beyond)))
        sizes = [len(cells) for _, cells in self._placed]
        while sum(sizes[1:]) >= self._most:
            sizes.pop(0)
            self._placed.popleft()


def _taken(held: deque[tuple[int, _What]]) -> list[tuple[int, list[_What]]]:
    """All that is held, by version."""
    found: dict[int, list[_What]] = {}
    for version, what in [held.popleft() for _ in range(len(held))]:
        found.setdefault(version, []).append(what)
    return list(found.items())
