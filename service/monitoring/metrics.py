"""``GET /metrics``: what there is to be told, as Prometheus reads it. Whichever worker is asked answers for all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from service.http.messages import Reply, Request, Route

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Collect = Callable[[], Iterable["Metric"]]

_OPENMETRICS = "application/openmetrics-text"


def routes(collects: Sequence[Collect]) -> list[Route]:
    """``GET /metrics`` of what these collect. The event loop answers, as it must where all threads are busy."""
    return [Route("GET", "/metrics", partial(_answer, _All(collects)), hot=True)]


class _All:
    def __init__(self, collects: Sequence[Collect]) -> None:
        self._collects = collects

    def collect(self) -> Iterator["Metric"]:
        for collect in self._collects:
            yield from collect()


def _answer(told: _All, request: Request) -> Reply:
    # Imported at first use: it takes 20 ms, which no start should wait for.
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
    from prometheus_client.openmetrics import exposition as openmetrics

    # Not by the library's own choice, which repeats whatever version it is asked for.
    if _OPENMETRICS in request.headers.get("accept", ""):
        rendered: bytes = openmetrics.generate_latest(told)  # type: ignore[no-untyped-call]
        return Reply(200, rendered, openmetrics.CONTENT_TYPE_LATEST)
    return Reply(200, generate_latest(told), CONTENT_TYPE_PLAIN_0_0_4)
