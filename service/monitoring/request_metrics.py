"""Counts of responses by route and status, of durations, and of rejections by reason."""

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

import numpy as np

from service.http.context import RequestContext
from service.http.errors import InternalError, RequestError
from service.http.routing import Route
from service.monitoring.shared_counters import SharedCounters

DURATION_BOUNDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # s
_BOUNDS = [round(seconds * 1e9) for seconds in DURATION_BOUNDS]  # ns
_STATUSES = [status.value for status in HTTPStatus]
_STATUS_INDEX = np.searchsorted(_STATUSES, np.arange(600))
_STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_SUM = len(_BOUNDS) + 1  # the position of the sum of all durations, after the buckets
_WIDTH = _SUM + 1
# Why a connection is refused before there is a request that a route could match; any other status is a malformed head.
_CONNECTION_REASONS = {408: "slow-head", 431: "long-head", 503: "too-many-connections"}
_MALFORMED = "malformed-head"
_REFUSAL_REASONS = {**_CONNECTION_REASONS, 500: InternalError.problem}


class RouteLabels(NamedTuple):
    """The metric labels of a route; ``none`` where no route matched."""

    protocol: str
    route: str
    method: str


class RequestMetrics:
    """Counts the responses of each of ``routes``, and all others together."""

    def __init__(self, counters: SharedCounters, routes: Iterable[Route]) -> None:
        methods = [(route, method) for route in routes for method in _methods_of(route)]
        series = [RouteLabels(route.protocol, route.path, method) for route, method in methods]
        self._labels = [RouteLabels("none", "none", "none"), *sorted(set(series), key=lambda labels: labels[1:])]
        self._indices: dict[tuple[Route | None, str], int] = dict(
            zip(methods, map(self._labels.index, series), strict=True)
        )
        reasons = [*sorted(_problem_codes(RequestError)), *_CONNECTION_REASONS.values(), _MALFORMED]
        self._reasons = {reason: index for index, reason in enumerate(reasons)}
        self._counters = counters
        self._responses = counters.block(len(self._labels) * len(_STATUSES))
        self._durations = counters.block(len(self._labels) * len(_STATUS_CLASSES) * _WIDTH)
        self._rejections = counters.block(len(reasons))

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count completed requests."""
        if not contexts:
            return
        series = np.array([self._indices.get((each.route, each.method), 0) for each in contexts])
        statuses = np.array([each.status for each in contexts])
        durations = np.array([each.duration for each in contexts])
        reasons = np.array([self._reasons[each.error] for each in contexts if each.error], np.intp)
        starts = (series * len(_STATUS_CLASSES) + statuses // 100 - 1) * _WIDTH
        with self._counters.lock:
            np.add.at(self._responses.here, series * len(_STATUSES) + _STATUS_INDEX[statuses], 1)
            np.add.at(self._durations.here, starts + np.searchsorted(_BOUNDS, durations), 1)
            np.add.at(self._durations.here, starts + _SUM, durations)
            np.add.at(self._rejections.here, reasons, 1)

    def count_refused_connection(self, status: int) -> str:
        """Count an error response that the application did not make; the reason that it is counted for."""
        reason = _REFUSAL_REASONS.get(status, _MALFORMED)
        with self._counters.lock:
            self._responses.here[_STATUS_INDEX[status]] += 1
            self._rejections.here[self._reasons[reason]] += 1
        return reason

    def responses(self) -> Iterator[tuple[RouteLabels, int, int]]:
        """Labels, status and count of the responses, where the count is not 0."""
        for labels, counts in zip(self._labels, _split(self._responses.sums().tolist(), len(_STATUSES)), strict=True):
            for status, count in zip(_STATUSES, counts, strict=True):
                if count:
                    yield labels, status, count

    def durations(self) -> Iterator[tuple[RouteLabels, str, list[int], int]]:
        """Labels, status class, the number of responses in each bucket, and the sum of their durations in ns."""
        classes = ((labels, name) for labels in self._labels for name in _STATUS_CLASSES)
        for (labels, name), cells in zip(classes, _split(self._durations.sums().tolist(), _WIDTH), strict=True):
            if any(cells):
                yield labels, name, cells[:_SUM], cells[_SUM]

    def rejections(self) -> dict[str, int]:
        """The number of error responses by reason."""
        return dict(zip(self._reasons, self._rejections.sums().tolist(), strict=True))


def _methods_of(route: Route) -> list[str]:
    return ["GET", "HEAD"] if route.method == "GET" else [route.method]


def _split(cells: list[int], width: int) -> list[list[int]]:
    return [cells[start : start + width] for start in range(0, len(cells), width)]


def _problem_codes(error: type[RequestError]) -> set[str]:
    """The problem codes of an error and of all its subclasses."""
    return {error.problem}.union(*map(_problem_codes, error.__subclasses__()))
