"""Every route and who answers it: the service as a whole, before any adapter carries it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from service.app.api_keys import Keys
from service.app.cors import Origins
from service.app.pipeline import Gate, Observer
from service.http.messages import Route
from service.inference import sandbox
from service.inference.model import Model
from service.inference.registry import Shelf
from service.inference.sandbox import Trial
from service.inference.validation import Validator
from service.monitoring import metrics, spans, trace_context
from service.monitoring.access_log import Access
from service.monitoring.drift.observer import Drift
from service.monitoring.metrics import Collect
from service.monitoring.model_metrics import Ledger
from service.monitoring.request_metrics import Tally
from service.monitoring.shared_counters import Memory
from service.monitoring.spans import Spans
from service.monitoring.worker_metrics import Vitals
from service.openapi import endpoint, swagger_ui
from service.protocols import explain, health, native, oip, tfserving
from service.settings import Settings
from service.web import page

if TYPE_CHECKING:
    from prometheus_client.core import Metric


@dataclass(frozen=True)
class Service:
    """The parts that every adapter needs."""

    settings: Settings
    pipeline: Gate
    registry: Shelf
    drift: Drift
    routes: Sequence[Route]
    tally: Tally
    vitals: Vitals
    spans: Spans | None

    @classmethod
    def open(cls, settings: Settings, stand: Trial = sandbox.pass_over, memory: Memory | None = None) -> Self:
        """Load the model's versions, each once it has stood its trial, and build every handler around them.

        What is counted goes to ``memory``, which is the process's own unless told.

        Raises:
            StartupError, BundleError: it cannot start; the message says why in one line.
        """
        guarded = settings.api_keys or settings.api_keys_file
        keys = Keys(settings.api_keys, settings.api_keys_file) if guarded else None
        origins = Origins(settings.cors_origins) if settings.cors_origins else None
        traced = Spans() if spans.wanted() else None
        memory = memory or Memory()
        drift = Drift(settings, memory.file)
        access = Access(settings.log_rate, settings.log_failure_rate)
        observers: list[Observer] = [access.tell, drift.tell, *([traced.tell] if traced else [])]
        gate = Gate(
            observers=observers,
            keys=keys,
            origins=origins,
            begin=traced.begin if traced else trace_context.take_over,
            timed=settings.server_timing,
        )
        ledger, collects = Ledger(memory), list[Collect]()
        whole = [*page.routes(health.index), *swagger_ui.routes(), *metrics.routes(collects)]
        shelf = Shelf.open(settings, partial(_equip, settings, gate, drift, whole), stand, ledger)
        routes = [*whole, *health.routes(shelf, gate), *shelf.routes]
        routes += origins.preflights(routes) if origins else []
        gate.open = frozenset(route.handler for route in routes if route.open)
        tally, vitals = Tally(memory, routes), Vitals(memory)
        observers.append(tally.observe)
        collects.append(partial(_found, settings.engine, memory, shelf, ledger=ledger, tally=tally, vitals=vitals))
        collects.append(drift.collect)
        return cls(settings, gate, shelf, drift, routes, tally, vitals, traced)


def _found(  # noqa: PLR0913 (all that is counted)
    engine: str, memory: Memory, shelf: Shelf, *, ledger: Ledger, tally: Tally, vitals: Vitals
) -> Iterator["Metric"]:
    """Every metric of the service's own."""
    from service.monitoring import metric_families  # it imports what takes 20 ms

    yield from metric_families.of_the_service(memory, engine)
    yield from metric_families.of_answers(tally)
    yield from metric_families.of_versions(ledger, shelf.current.model.manifest)
    yield from metric_families.of_the_store(ledger)
    yield from metric_families.of_workers(vitals)


def _equip(  # noqa: PLR0913, PLR0917 (what a version needs to have routes)
    settings: Settings, gate: Gate, drift: Drift, whole: Sequence[Route], shelf: Shelf, model: Model
) -> list[Route]:
    """Every route that one version of the model answers; ``whole`` are those that all versions share."""
    validator = Validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
    routes = [
        *health.model_routes(model),
        *page.model_routes(model),
        *drift.routes(model),
        *native.routes(model, validator),
        *explain.routes(model, validator),
        *oip.routes(model, validator, shelf, gate),
        *tfserving.routes(model, validator, shelf, gate),
    ]
    described = [*whole, *health.routes(shelf, gate), *routes]
    return [*routes, *endpoint.routes(model.manifest, settings.max_rows, described, guarded=gate.guarded)]
