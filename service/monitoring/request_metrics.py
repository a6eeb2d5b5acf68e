"""Counts of responses by route and status, of durations, and of rejections by reason."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

from service.http.context import RequestContext
from service.http.errors import RequestError
from service.http.routing import Route
from service.monitoring.shared_counters import SharedCounters

DURATION_BOUNDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # s
_BOUNDS = [round(seconds * 1e9) for seconds in DURATION_BOUNDS]  # ns
_STATUSES = {status.value: index for index, status in enumerate(HTTPStatus)}
_STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_SUM = len(_BOUNDS) + 1  # the position of the sum of all durations, after the buckets
_WIDTH = _SUM + 1
# Why a connection is refused before there is a request that a route could match; any other status is a malformed head.
_CONNECTION_REASONS = {408: "slow-head", 431: "long-head", 503: "too-many-connections"}
_MALFORMED = "malformed-head"


class RouteLabels(NamedTuple):
    """The metric labels of a route; ``none`` where no route matched."""

    protocol: str
    route: str
    method: str


class RequestMetrics:
    """Counts the responses of each of ``routes``, and all others together."""

    def __init__(self, counters: SharedCounters, routes: Iterable[Route]) -> None:
        labels = {RouteLabels(route.protocol, route.path, route.method) for route in routes}
        labels |= {each._replace(method="HEAD") for each in labels if each.method == "GET"}
        self._labels = [RouteLabels("none", "none", "none"), *sorted(labels, key=lambda each: each[1:])]
        self._indices = {each[1:]: index for index, each in enumerate(self._labels)}
        reasons = [*sorted(_problem_codes(RequestError)), *_CONNECTION_REASONS.values(), _MALFORMED]
        self._reasons = {reason: index for index, reason in enumerate(reasons)}
        self._counters = counters
        self._responses = counters.block(len(self._labels) * len(_STATUSES))
        self._durations = counters.block(len(self._labels) * len(_STATUS_CLASSES) * _WIDTH)
        self._rejections = counters.block(len(reasons))

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count completed requests."""
        counters = self._counters
        cells, responses, durations = counters.cells, self._responses.start_here, self._durations.start_here
        with counters.lock:
            for context in contexts:
                key = (context.route.path, context.method) if context.route else ("none", "none")
                index, status, duration = self._indices.get(key, 0), context.status, context.duration
                cells[responses + index * len(_STATUSES) + _STATUSES[status]] += 1
                start = durations + (index * len(_STATUS_CLASSES) + status // 100 - 1) * _WIDTH
                cells[start + bisect_left(_BOUNDS, duration)] += 1
                cells[start + _SUM] += duration
                if context.error:
                    cells[self._rejections.start_here + self._reasons[context.error]] += 1

    def count_refused_connection(self, status: int) -> None:
        """Count an error response to a connection that sent no request which could be matched to a route."""
        reason = self._reasons[_CONNECTION_REASONS.get(status, _MALFORMED)]
        with self._counters.lock:
            self._counters.cells[self._responses.start_here + _STATUSES[status]] += 1
            self._counters.cells[self._rejections.start_here + reason] += 1

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


def _split(cells: list[int], width: int) -> list[list[int]]:
    return [cells[start : start + width] for start in range(0, len(cells), width)]


def _problem_codes(error: type[RequestError]) -> set[str]:
    """The problem codes of an error and of all its subclasses."""
    return {error.problem}.union(*map(_problem_codes, error.__subclasses__()))
