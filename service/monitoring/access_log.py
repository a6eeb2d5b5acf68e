"""The access log: one line for each request, or for as many a second as are wanted."""

import logging
from collections.abc import Sequence
from math import inf
from time import perf_counter_ns, time_ns
from typing import Any

from service.http.context import RequestContext
from service.monitoring.log_format import printable

_log = logging.getLogger("menagerie.requests")
_LEVELS = {500: logging.ERROR, 503: logging.WARNING}  # a client's fault is none of the service's
_SECOND = 1_000_000_000
_FIRST_FAILURE = 400


class AccessLog:
    """Logs up to ``rate`` successful and ``failure_rate`` failed requests a second, so that neither hides the other.

    Up to a second's worth may come at once. The next line says how many were left out.
    """

    def __init__(self, rate: float, failure_rate: float) -> None:
        self._successes, self._failures = _RateLimit(rate), _RateLimit(failure_rate)
        self._left_out = 0

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Log completed requests: neither their values nor their query, and the path only if no route matched."""
        for context in contexts:
            limit = self._failures if context.status >= _FIRST_FAILURE else self._successes
            if context.finished < limit.next:
                self._left_out += 1
            else:
                limit.count(context.finished)
                self._write(context)

    def _write(self, context: RequestContext) -> None:
        level = _LEVELS.get(context.status, logging.INFO)
        if not _log.isEnabledFor(level):
            return
        path = context.route.path if context.route else f"'{printable(context.path)}'"
        message = f"{context.method} {path} {context.status}"
        record = logging.LogRecord(_log.name, level, "", 0, message, None, None)
        record.created = (time_ns() - perf_counter_ns() + context.finished) / 1e9
        record.fields = self._fields(context)
        _log.handle(record)

    def _fields(self, context: RequestContext) -> dict[str, Any]:
        path = {"route": context.route.path} if context.route else {"path": printable(context.path)}
        optional = {
            "rows": context.rows,
            "model": context.model.name if context.model else None,
            "version": context.model.version if context.model else None,
            "error": context.error,
            "left_out": self._left_out,
        }
        self._left_out = 0
        return {
            **request_fields(context),
            "method": context.method,
            **path,
            "status": context.status,
            "duration_ms": context.duration // 1000 / 1000,
            **{name: value for name, value in optional.items() if value},
        }


class RefusalLog:
    """Logs up to ``rate`` refused requests a second: those that get an error response outside of the application.

    It has a limit of its own, so that it needs no lock: requests are logged in another thread.
    """

    def __init__(self, rate: float) -> None:
        self._limit = _RateLimit(rate)
        self._left_out = 0

    def observe(self, status: int, error: str, reason: str) -> None:
        """Log an error response; ``error`` is the label of the metric, ``reason`` repeats nothing of the request."""
        now, level = perf_counter_ns(), _LEVELS.get(status, logging.INFO)
        if now < self._limit.next:
            self._left_out += 1
            return
        self._limit.count(now)
        fields = {"status": status, "error": error, "reason": reason}
        if self._left_out:
            fields["left_out"] = self._left_out
            self._left_out = 0
        _log.log(level, "refused %d: %s", status, reason, extra={"fields": fields})


class _RateLimit:
    """Allows so many events a second; the ``next`` one is allowed at that time, in ns."""

    def __init__(self, rate: float) -> None:
        self._interval = _SECOND / rate if rate else inf
        self.next = 0.0 if rate else inf

    def count(self, now: int) -> None:
        """Count an event that is allowed ``now``."""
        self.next = max(self.next, now - _SECOND) + self._interval


def request_fields(context: RequestContext) -> dict[str, Any]:
    """The fields that identify a request in every log line about it."""
    fields: dict[str, Any] = {"request_id": context.request_id}
    if context.trace:
        fields |= {"trace_id": context.trace.trace_id, "span_id": context.trace.span_id}
    return fields
