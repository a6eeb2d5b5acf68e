"""The endpoint for Prometheus; whichever worker handles a scrape reports for all of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from service.http.media_types import preferred
from service.http.messages import Request, Response
from service.http.routing import Declare, Protocol

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Collect = Callable[[], Iterable["Metric"]]

_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"
_declare = Declare(Protocol.SERVICE)


class Metrics:
    """GET /metrics: what every collector yields; ``flush`` brings the counts up to date."""

    def __init__(self, collectors: Sequence[Collect], flush: Callable[[], object]) -> None:
        self._collectors = collectors
        self._flush = flush

    @_declare("GET", "/metrics", {_TEXT: ["string"], _OPENMETRICS: ["string"]}, on_event_loop=True)
    def metrics(self, request: Request) -> Response:
        # Imported at first use: it takes 20 ms, for which no start should wait.
        """Metrics of all workers, for Prometheus.

        In the OpenMetrics format if `Accept` prefers it.
        """
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
        from prometheus_client.openmetrics import exposition as openmetrics

        self._flush()
        # Not by the library's own choice, which repeats whatever version the client asks for.
        if preferred(request.headers.get("accept", ""), _TEXT, _OPENMETRICS) == _OPENMETRICS:
            rendered: bytes = openmetrics.generate_latest(self)  # type: ignore[no-untyped-call]
            return Response(200, rendered, openmetrics.CONTENT_TYPE_LATEST)
        return Response(200, generate_latest(self), CONTENT_TYPE_PLAIN_0_0_4)

    def collect(self) -> Iterator["Metric"]:
        """All metrics, as the library's collectors give them."""
        for collect in self._collectors:
            yield from collect()
