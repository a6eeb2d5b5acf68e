"""What is counted of every answer: how often it was given, how fast and, where it is a refusal, why."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

from service.http.errors import RequestError
from service.http.messages import Reply, Request, Route
from service.monitoring.shared_counters import Memory

SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BOUNDS = [round(seconds * 1e9) for seconds in SECONDS]
_STATUSES = {status.value: index for index, status in enumerate(HTTPStatus)}
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_SPENT = len(_BOUNDS) + 1  # the sum of all durations stands behind the buckets
_WIDTH = _SPENT + 1
_PROTOCOLS = {"/v1": "v1", "/v2": "v2", "/predict": "native", "/explain": "native", "none": "none"}
# Why a connection is refused before there is a request that any route could answer; what is not here is malformed.
_OF_A_CONNECTION = {408: "slow-head", 431: "long-head", 503: "too-many-connections"}
_MALFORMED = "malformed-head"


class Asked(NamedTuple):
    """What was asked for, as labels; ``none`` where no route was."""

    protocol: str
    route: str
    method: str


class Durations(NamedTuple):
    """How many answers took how long, by bucket, and all together in ns."""

    buckets: list[int]
    spent: int


class Tally:
    """Counts the answers to each of these ``routes``, and all others together."""

    def __init__(self, memory: Memory, routes: Iterable[Route]) -> None:
        asked = {(route.path, route.method) for route in routes}
        asked |= {(path, "HEAD") for path, method in asked if method == "GET"}
        pairs = [("none", "none"), *sorted(asked)]
        self._asked = {pair: index for index, pair in enumerate(pairs)}
        self._labels = [Asked(_protocol(route), route, method) for route, method in pairs]
        reasons = [*sorted(_problems(RequestError)), *_OF_A_CONNECTION.values(), _MALFORMED]
        self._reasons = {reason: index for index, reason in enumerate(reasons)}
        self._memory = memory
        self._answers = memory.block(len(self._asked) * len(_STATUSES))
        self._durations = memory.block(len(self._asked) * len(_CLASSES) * _WIDTH)
        self._rejections = memory.block(len(reasons))

    def observe(self, request: Request, reply: Reply) -> None:
        """Count an answer of the gate's."""
        record, status, memory = request.record, reply.status, self._memory
        spent, cells = record.spent, memory.cells
        index = self._asked.get((request.route, request.method), 0)
        answers = memory.base + self._answers.start + index * len(_STATUSES) + _STATUSES[status]
        durations = memory.base + self._durations.start + (index * len(_CLASSES) + status // 100 - 1) * _WIDTH
        with memory.lock:
            cells[answers] += 1
            cells[durations + bisect_left(_BOUNDS, spent)] += 1
            cells[durations + _SPENT] += spent
            if record.error:
                cells[self._rejections.mine + self._reasons[record.error]] += 1

    def refuse(self, status: int) -> None:
        """Count what is refused before it is a request: nobody knows what was asked, nor since when."""
        reason = self._reasons[_OF_A_CONNECTION.get(status, _MALFORMED)]
        with self._memory.lock:
            self._memory.cells[self._answers.mine + _STATUSES[status]] += 1
            self._memory.cells[self._rejections.mine + reason] += 1

    def answers(self) -> Iterator[tuple[Asked, int, int]]:
        """What was asked for, the status, how often; only what has been."""
        for asked, counts in zip(self._labels, _rows(self._answers.sums().tolist(), len(_STATUSES)), strict=True):
            for status, count in zip(_STATUSES, counts, strict=True):
                if count:
                    yield asked, status, count

    def durations(self) -> Iterator[tuple[Asked, str, Durations]]:
        """What was asked for, the class of the status, how long it took; only what has been."""
        classes = ((asked, name) for asked in self._labels for name in _CLASSES)
        for (asked, name), cells in zip(classes, _rows(self._durations.sums().tolist(), _WIDTH), strict=True):
            if any(cells):
                yield asked, name, Durations(cells[:_SPENT], cells[_SPENT])

    def rejections(self) -> dict[str, int]:
        """How often each reason was told."""
        return dict(zip(self._reasons, self._rejections.sums().tolist(), strict=True))


def _rows(cells: list[int], width: int) -> list[list[int]]:
    return [cells[start : start + width] for start in range(0, len(cells), width)]


def _problems(kind: type[RequestError]) -> set[str]:
    """What a kind of error and all kinds below it are called."""
    return {kind.problem}.union(*map(_problems, kind.__subclasses__()))


def _protocol(route: str) -> str:
    return next((name for start, name in _PROTOCOLS.items() if route.startswith(start)), "service")
