"""Whether what is asked still looks like the training rows: counted by every worker, told by ``GET /drift``."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from service import verdict
from service.bins import Counts, cells_of
from service.messages import Reply, Request, Route, json_reply
from service.model import Model
from service.record import Predicted
from service.settings import Settings
from service.verdict import Verdict
from service.window import Windows

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_EXPLAIN = "/explain"  # a slider of the page asks it again and again, of animals that nobody met
_AT_ONCE = 64  # requests, or rows of one: NumPy takes 100 us for them, and not much less for one
_TICK_SECONDS = 1.0


class _Held(NamedTuple):
    """What one request asked of a version: rows that it answered, or values that it refused, by feature."""

    version: int
    predicted: Predicted | None
    beyond: Mapping[str, int]


class Drift:
    """Holds the last rows that each version was asked about against those that it was trained on.

    Requests are held until there are some of them, or for a second; nothing of a row is kept but which bins it fell in.
    The windows lie in a ``file`` that all workers inherit.
    """

    def __init__(self, settings: Settings, file: int) -> None:
        self._settings = settings
        self._file = file
        self._models: WeakValueDictionary[int, Model] = WeakValueDictionary()
        self._held: deque[_Held] = deque()
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
        if (record.predicted or record.out_of_bounds) and record.version and request.route != _EXPLAIN:
            self._held.append(_Held(record.version, record.predicted, record.out_of_bounds))
            if len(self._held) >= _AT_ONCE or record.rows > _AT_ONCE:
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
        from service.families import of_drift  # it imports what takes 20 ms

        yield from of_drift([self.judge(model) for model in self.models])

    def _answer(self, model: Model, _: Request) -> Reply:
        return json_reply(self.judge(model).document())

    def _watch(self) -> None:
        while True:
            time.sleep(_TICK_SECONDS)
            if self._held or self._placed:
                self.flush()

    def _place(self) -> None:
        """Find the cells of all that is held, of which no more is kept than a window has rows."""
        held = sorted((self._held.popleft() for _ in range(len(self._held))), key=attrgetter("version"))
        for version, group in groupby(held, key=attrgetter("version")):
            if model := self._models.get(version):
                self._placed.extend((model.bins.key, cells) for cells in self._cells(model, list(group)))
        sizes = [len(cells) for _, cells in self._placed]
        while sum(sizes[1:]) >= self._settings.drift_rows:
            sizes.pop(0)
            self._placed.popleft()

    def _cells(self, model: Model, held: list[_Held]) -> list[Counts]:
        predicted = [one.predicted for one in held if one.predicted]
        beyond: Counter[str] = Counter()
        for one in held:
            beyond.update(one.beyond)
        found = [model.bins.of_refused(beyond)] if beyond else []
        if predicted:
            rows, probabilities = map(np.concatenate, zip(*predicted, strict=True))
            last = Predicted(rows[-self._settings.drift_rows :], probabilities[-self._settings.drift_rows :])
            found.append(model.bins.of_predicted(last))
        return found
