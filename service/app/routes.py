"""Every route, and the one place where the parts of the service are put together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.app.api_keys import ApiKeys
from service.app.cors import CorsPolicy
from service.app.pipeline import Pipeline
from service.app.single_row import SingleRow
from service.http.context import TraceContext
from service.http.messages import Handler, Request
from service.http.routing import Route, handlers_of, move_routes, protocol_finder, routes_of
from service.inference.catalog import Catalog
from service.inference.model import Model
from service.inference.registry import Registry
from service.inference.sandbox import SandboxCheck, no_check
from service.monitoring import spans, trace_context
from service.monitoring.access_log import AccessLog, RefusalLog
from service.monitoring.drift.observer import Drift, DriftReport
from service.monitoring.metrics import Metrics
from service.monitoring.model_metrics import ModelMetrics
from service.monitoring.observations import Observations
from service.monitoring.request_metrics import RequestMetrics
from service.monitoring.shadow.observer import Shadow
from service.monitoring.shadow.report import ShadowReport
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.spans import Spans
from service.monitoring.worker_metrics import WorkerMetrics
from service.openapi.endpoint import OpenApi
from service.openapi.swagger_ui import SwaggerUi
from service.protocols.clouds import azureml, sagemaker, vertex
from service.protocols.clouds.azureml import AzureMl
from service.protocols.clouds.sagemaker import SageMaker
from service.protocols.clouds.vertex import Vertex
from service.protocols.explain import Explain
from service.protocols.explanations import Explanations
from service.protocols.health import Health
from service.protocols.native import Native
from service.protocols.oip import Oip
from service.protocols.readiness import Readiness
from service.protocols.tfserving import TfServing
from service.settings import Settings
from service.web.page import Page

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PARTS = (Native, Explain, Oip, TfServing, Health, Metrics, DriftReport, ShadowReport, OpenApi, SwaggerUi, Page)
ROUTES: Sequence[Route] = [route for part in PARTS for route in routes_of(part)]


@dataclass(frozen=True)
class Service:
    """The parts that adapters and gunicorn's workers need; ``handlers`` has every route.

    ``predict_path`` is where to send a row in the native protocol: to the platform's route if there is one.
    """

    settings: Settings
    pipeline: Pipeline
    single_row: SingleRow | None
    handlers: Mapping[Route, Handler]
    predict_path: str
    catalog: Catalog
    readiness: Readiness
    observations: Observations
    shadow: Shadow
    refusal_log: RefusalLog
    request_metrics: RequestMetrics
    model_metrics: ModelMetrics
    worker_metrics: WorkerMetrics
    spans: Spans | None

    @property
    def registry(self) -> Registry:
        """The versions of the default model."""
        return self.catalog.default

    def start_threads(self) -> None:
        """Poll the store, and observe requests in bulk; call it once in each worker."""
        self.catalog.watch(self.model_metrics.count_event)
        self.shadow.start()
        self.observations.start()

    def observe_refusal(self, status: int, reason: str) -> None:
        """Count and log an error response that gunicorn sends by itself."""
        self.refusal_log.observe(status, self.request_metrics.count_refused_connection(status), reason)

    def close(self, seconds: float) -> None:
        """Observe the last requests, and send their spans within some seconds; call it before a worker exits."""
        self.observations.flush()
        self.shadow.close()
        if self.spans:
            self.spans.close(seconds)


def build_service(
    settings: Settings, check: SandboxCheck = no_check, counters: SharedCounters | None = None
) -> Service:
    """Load the model's versions, each once it has passed ``check``, and put all parts together.

    ``counters`` are those that a master shares with its workers; without them the process has its own.

    Raises:
        StartupError, BundleError: the service cannot start; the message is one line with the reason.
    """
    counters = counters or SharedCounters()
    api_keys = ApiKeys(settings.api_keys, settings.api_keys_file) if settings.requires_key else None
    cors = CorsPolicy(settings.cors_origins) if settings.cors_origins else None
    catalog = Catalog(settings, check)
    readiness = Readiness(catalog, settings)
    platform_handlers, predict_path = _build_platform(settings, catalog, readiness)
    routes = _join_routes(platform_handlers)

    # What observes requests, and what it has counted.
    preflights = cors.preflight_handlers(routes) if cors else {}
    request_metrics = RequestMetrics(counters, [*routes, *preflights])
    model_metrics = ModelMetrics(counters)
    for event in catalog.startup_events:
        model_metrics.count_event(event)
    worker_metrics = WorkerMetrics(counters)
    drift = Drift(settings, counters, catalog)
    access_log = AccessLog(settings.log_rate, settings.log_failure_rate)
    tracing = Spans() if spans.is_enabled() else None
    shadow = Shadow(settings, catalog, counters)
    observers = [access_log.observe, request_metrics.observe, model_metrics.observe, drift.observe, shadow.observe]
    observations = Observations([*observers, tracing.observe] if tracing else observers)

    def collect() -> Iterator["Metric"]:
        from service.monitoring import metric_families as families  # importing it takes 20 ms

        yield from families.service_families(counters, settings.engine)
        yield from families.request_families(request_metrics)
        registries = catalog.registries
        yield from families.model_families(model_metrics, registries)
        yield from families.store_families(model_metrics.states(registries))
        yield from families.worker_families(worker_metrics)

    def statistics(model: Model) -> Mapping[str, int]:
        observations.flush()
        return model_metrics.totals(model)

    # What handles requests.
    explanations = Explanations(settings.shapley_evaluations, settings.max_explained_connections)
    shadow_report = ShadowReport(shadow, catalog, observations.flush)
    parts = [
        Native(catalog),
        Explain(catalog, explanations),
        Oip(catalog, readiness, statistics),
        TfServing(catalog, readiness, explanations, settings.max_explained_rows),
        Health(catalog, readiness, (lambda request: api_keys.accepts(request.headers)) if api_keys else lambda _: True),
        Metrics([collect, drift.collect, shadow_report.collect], observations.flush),
        DriftReport(drift, catalog, observations.flush),
        shadow_report,
        OpenApi(settings, catalog, routes, requires_key=settings.requires_key),
        SwaggerUi(),
        Page(catalog),
    ]
    handlers: dict[Route, Handler] = dict(platform_handlers)
    for part in parts:
        handlers |= handlers_of(part)
    handlers = {route: handlers[route] for route in routes}
    pipeline = Pipeline(
        api_keys=api_keys,
        cors=cors,
        protocol_of=protocol_finder([*platform_handlers, *ROUTES]),  # of /v1, say, it stays that of the service's own
        begin_trace=tracing.begin if tracing else _continue_trace,
        observe=observations.add,
        server_timing=settings.server_timing,
    )
    single_row = SingleRow(
        catalog=catalog,
        api_keys=api_keys,
        codecs={route: route.row_codec for route in routes if route.row_codec},
        observe=observations.add,
        server_timing=settings.server_timing,
    )
    return Service(
        settings=settings,
        pipeline=pipeline,
        single_row=None if cors or tracing else single_row,  # they need to see each request
        handlers=handlers | preflights,
        predict_path=predict_path,
        catalog=catalog,
        readiness=readiness,
        observations=observations,
        shadow=shadow,
        refusal_log=RefusalLog(settings.log_failure_rate),
        request_metrics=request_metrics,
        model_metrics=model_metrics,
        worker_metrics=worker_metrics,
        spans=tracing,
    )


def _build_platform(settings: Settings, catalog: Catalog, readiness: Readiness) -> tuple[Mapping[Route, Handler], str]:
    """The handlers of the cloud platform's routes, and the path of its predictions; none and the service's own."""
    match settings.platform:
        case "sagemaker":
            part = SageMaker(catalog, readiness, settings.max_body_bytes, settings.threads)
            return handlers_of(part), sagemaker.PREDICT_PATH
        case "vertex":
            paths = {
                vertex.HEALTH_PATH: settings.vertex_health_route,
                vertex.PREDICT_PATH: settings.vertex_predict_route,
            }
            return move_routes(handlers_of(Vertex(catalog, readiness)), paths), settings.vertex_predict_route
        case "azureml":
            return handlers_of(AzureMl(catalog)), azureml.PREDICT_PATH
        case "none":
            return {}, "/predict"


def _join_routes(platform_routes: Iterable[Route]) -> Sequence[Route]:
    """All routes; those of the platform replace others of the same method and path."""
    own = list(platform_routes)
    taken = {(route.method, route.path) for route in own}
    return [*(route for route in ROUTES if (route.method, route.path) not in taken), *own]


def _continue_trace(request: Request) -> TraceContext | None:
    return trace_context.continue_trace(request.headers.get("traceparent", ""))
