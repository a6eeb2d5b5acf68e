"""GET /shadow: what would change if the shadow served."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from models.bundle import SHADOW
from service.http.messages import Request, Response, json_response
from service.http.routing import Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.registry import Registry
from service.monitoring.shadow.observer import Shadow
from service.monitoring.shadow.pairs import Pair

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_declare = Declare(Protocol.SERVICE)
_NO_FILE = f"there is no file {SHADOW} beside the versions of the model"


class ShadowReport:
    """What all workers have counted; ``flush`` brings the counts of this one up to date."""

    def __init__(self, shadow: Shadow, catalog: Catalog, flush: Callable[[], object]) -> None:
        self._shadow = shadow
        self._catalog = catalog
        self._flush = flush

    @_declare("GET", "[/models/{model}]/shadow", "ShadowReport | NoShadow")
    def shadow(self, request: Request) -> Response:
        """What would change if the shadow version served.

        The file `SHADOW` beside a model's versions names one that is computed for the same rows after their responses,
        and compared. Without such a version, `shadow` is null and `reason` says why.
        """
        serving = self._catalog.select(request).model
        self._flush()
        registry = self._catalog.registry_of(request)
        self._shadow.pairs.refresh()
        if pair := self._shadow.pairs.find(serving):
            return json_response(self._document(pair))
        reason = registry.shadow_fault or self._shadow.pairs.fault(serving) or _NO_FILE
        return json_response({**_versions(registry), "shadow": None, "reason": reason})

    def collect(self) -> Iterator["Metric"]:
        """The metrics of every model that has a shadow."""
        from service.monitoring.shadow.metric_families import shadow_families  # importing it takes 20 ms

        yield from shadow_families(self._shadow.pairs.all)

    def _document(self, pair: Pair) -> dict[str, Any]:
        counts = pair.read()
        since = datetime.fromtimestamp(counts.since, UTC).isoformat(timespec="seconds") if counts.since else None
        return {
            **pair.comparison.report(counts.cells),
            "since": since,
            "share": self._shadow.share,
            "dropped": counts.dropped,
            "failed": counts.failed,
        }


def _versions(registry: Registry) -> dict[str, str]:
    return {"model": registry.name, "serving": registry.current.model.identity["version"]}
