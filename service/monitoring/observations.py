"""Completed requests on their way to the observers: each request costs one append, the counting is done in bulk."""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

from service.http.context import RequestContext
from service.inference.model import Model

Observer = Callable[[Sequence[RequestContext]], None]
"""Reads the contexts of completed requests, oldest first, if there are any; two calls never run at the same time."""

_MAX_PENDING = 256  # requests: so many at a time take 1 us each and delay the next one by 0.3 ms
_MAX_ROWS = 256  # of one request: its arrays are not kept alive for long
_INTERVAL = 0.1  # seconds: a process that is killed loses the observations of no more

_log = logging.getLogger("menagerie")


class Observations:
    """Collects request contexts for the observers: access log, metrics, drift, spans.

    Until `start` is called, observers see each request at once, as in a process without threads of its own.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._pending: deque[RequestContext] = deque()
        self._max_pending = 1
        self._lock = threading.Lock()

    def add(self, context: RequestContext) -> None:
        """Note a completed request."""
        self._pending.append(context)
        if context.prediction and len(context.prediction.rows) > _MAX_ROWS:
            self.flush(wait=False)
        # A thread that adds while this one flushes leaves its request to this one.
        while len(self._pending) >= self._max_pending and self.flush(wait=False):
            pass

    def flush(self, *, wait: bool = True) -> bool:
        """Show pending requests to the observers; without ``wait``, return False if another thread is doing so."""
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            contexts = [self._pending.popleft() for _ in range(len(self._pending))]
            for observe in self._observers:
                try:
                    observe(contexts)
                except Exception:  # noqa: BLE001 (a fault of one must not silence the others)
                    _log.exception("an observer failed")
        finally:
            self._lock.release()
        return True

    def start(self) -> None:
        """From now on observe in bulk, and let nothing be pending for long; call it once in each worker."""
        self._max_pending = _MAX_PENDING
        threading.Thread(target=self._flush_regularly, name="observations", daemon=True).start()

    def _flush_regularly(self) -> None:
        while True:
            time.sleep(_INTERVAL)
            self.flush()


def by_model(contexts: Sequence[RequestContext]) -> Mapping[Model, Sequence[RequestContext]]:
    """The requests that a model handled, by that model: a version of it, as it was loaded then."""
    groups: defaultdict[Model, list[RequestContext]] = defaultdict(list)
    for context in contexts:
        if context.model is not None:
            groups[context.model].append(context)
    return groups
