"""One line in the log for each request: of those that failed always, of the others as many a second as are wanted."""

import logging
from math import inf
from typing import Any

from service.messages import Reply, Request
from service.telemetry import lines

_log = logging.getLogger("menagerie.requests")
_LEVELS = {500: logging.ERROR, 503: logging.WARNING}
_SECOND = 1_000_000_000


class Access:
    """Tells of requests in the log, at most ``rate`` a second of those that got what they asked for.

    Up to a second's worth may come at once. What is left out is counted, and the next line says how many.
    """

    def __init__(self, rate: float) -> None:
        self._step = _SECOND / rate if rate else inf
        self._due = 0.0 if rate else inf  # ns; when the next one that is no failure may be told of
        self._left_out = 0  # without a lock: two threads at the very same moment may count as one

    def tell(self, request: Request, reply: Reply) -> None:
        """A request was answered; neither its values nor its query is told, and its path only if it is no route."""
        if reply.status < 400 and not self._may(request.record.laps[-1][1]):  # noqa: PLR2004 (no failure)
            self._left_out += 1
            return
        level = _level(reply.status)
        if not _log.isEnabledFor(level):
            return
        left_out, self._left_out = self._left_out, 0
        place = request.route or f"'{lines.shown(request.path)}'"
        message = f"{request.method} {place} {reply.status}"
        told = logging.LogRecord(_log.name, level, "", 0, message, None, None)
        told.fields = _fields(request, reply, left_out)
        _log.handle(told)

    def _may(self, now: int) -> bool:
        """Whether another one may be told of now; then it counts."""
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
        told["path"] = lines.shown(request.path)
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
