"""One line in the log for each request, or for as many a second as are wanted."""

import logging
from math import inf
from typing import Any

from service.http.messages import Reply, Request
from service.monitoring import log_format

_log = logging.getLogger("menagerie.requests")
_LEVELS = {500: logging.ERROR, 503: logging.WARNING}
_SECOND = 1_000_000_000


class Access:
    """Tells of requests in the log: so many a second, and so many that failed, so that neither kind hides the other.

    Up to a second's worth may come at once. What is left out is counted, and the next line says how many.
    """

    def __init__(self, rate: float, failure_rate: float) -> None:
        self._answered, self._failed = _Allowance(rate), _Allowance(failure_rate)
        self._left_out = 0  # without a lock: two threads at the very same moment may count as one

    def tell(self, request: Request, reply: Reply) -> None:
        """A request was answered; neither its values nor its query is told, and its path only if it is no route."""
        allowance = self._answered if reply.status < 400 else self._failed  # noqa: PLR2004 (no failure)
        if not allowance.grants(request.record.laps[-1][1]):
            self._left_out += 1
            return
        level = _level(reply.status)
        if not _log.isEnabledFor(level):
            return
        left_out, self._left_out = self._left_out, 0
        place = request.route or f"'{log_format.shown(request.path)}'"
        message = f"{request.method} {place} {reply.status}"
        told = logging.LogRecord(_log.name, level, "", 0, message, None, None)
        told.fields = _fields(request, reply, left_out)
        _log.handle(told)


class _Allowance:
    """So many lines a second."""

    def __init__(self, rate: float) -> None:
        self._step = _SECOND / rate if rate else inf
        self._due = 0.0 if rate else inf  # ns; from when on there may be another one

    def grants(self, now: int) -> bool:
        """Whether there may be another line now; then it counts."""
        if now < self._due:
            return False
        self._due = max(self._due, now - _SECOND) + self._step
        return True


def identity(request: Request) -> dict[str, Any]:
    """What tells this request from all others, in every line of it."""
    record = request.record
    told: dict[str, Any] = {"request_id": record.request_id}
    if record.trace:
        told |= {"trace_id": record.trace.trace_id, "span_id": record.trace.span_id}
    return told


def _level(status: int) -> int:
    """A caller's fault is none of ours; that we are not ready, or overloaded, is worth a look."""
    return _LEVELS.get(status, logging.INFO)


def _fields(request: Request, reply: Reply, left_out: int) -> dict[str, Any]:
    record = request.record
    told = identity(request)
    told["method"] = request.method
    if request.route:
        told["route"] = request.route
    else:
        told["path"] = log_format.shown(request.path)
    told |= {"status": reply.status, "duration_ms": record.spent // 1000 / 1000}
    if record.rows:
        told["rows"] = record.rows
    if record.version:
        told["version"] = record.version
    if record.error:
        told["error"] = record.error
    if left_out:
        told["left_out"] = left_out
    return told
