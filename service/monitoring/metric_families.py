"""The declaration of metrics: name, labels, help text and values; a test compares it with docs/operations.md.

Those of drift and of shadows are declared in their packages.

Names follow prometheus.io/docs/practices/naming. Importing this takes 20 ms, so it is imported at the first scrape.
"""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from service.inference.model import Model
from service.inference.registry import Registry
from service.monitoring.model_metrics import ModelMetrics, SchemaCounts
from service.monitoring.model_states import ModelState
from service.monitoring.output_counts import Histogram
from service.monitoring.request_metrics import DURATION_BOUNDS, RequestMetrics
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.worker_metrics import WorkerMetrics
from service.version import VERSION

_NANO, _MILLI, _MICRO = 1e-9, 1e-3, 1e-6
_ROUTE_LABELS = ("protocol", "route", "method")
_VERSION_LABELS = ("model", "version")


def service_families(counters: SharedCounters, engine: str) -> Iterator[Metric]:
    """The build, the start time, and how many workers started and exited."""
    build = {"version": VERSION, "python": platform.python_version(), "engine": engine}
    yield InfoMetricFamily("menagerie_build", "Version of the service and of Python, and the engine.", build)
    yield GaugeMetricFamily("menagerie_start_time_seconds", "Start of the service as Unix time.", counters.created)
    yield CounterMetricFamily("menagerie_worker_starts", "Workers started.", counters.worker_counts["starts"])
    exits = CounterMetricFamily(
        "menagerie_worker_exits",
        "Worker exits; unplanned ones are crashes and kills.",
        labels=["kind"],
    )
    for planned in ("planned", "unplanned"):
        exits.add_metric([planned], counters.worker_counts[f"{planned}_exits"])
    yield exits


def request_families(metrics: RequestMetrics) -> Iterator[Metric]:
    """Responses by route and status, their durations, and rejections by reason."""
    requests = CounterMetricFamily(
        "menagerie_requests", "Responses, including errors.", labels=[*_ROUTE_LABELS, "status"]
    )
    for labels, status, count in metrics.responses():
        requests.add_metric([*labels, str(status)], count)
    yield requests
    durations = HistogramMetricFamily(
        "menagerie_request_duration_seconds",
        "Time from the complete request to the response, including errors.",
        labels=[*_ROUTE_LABELS, "status_class"],
    )
    for labels, status_class, counts, total in metrics.durations():
        durations.add_metric([*labels, status_class], _cumulative(DURATION_BOUNDS, counts), total * _NANO)
    yield durations
    rejections = CounterMetricFamily("menagerie_rejections", "Error responses by reason.", labels=["reason"])
    for reason, count in metrics.rejections().items():
        rejections.add_metric([reason], count)
    yield rejections


def model_families(metrics: ModelMetrics, registries: Sequence[Registry]) -> Iterator[Metric]:
    """Rows, runs and predictions of each version of each model."""
    rows = CounterMetricFamily("menagerie_rows", "Rows predicted.", labels=_VERSION_LABELS)
    runs = SummaryMetricFamily(
        "menagerie_inference_duration_seconds", "Time in the network per run.", labels=_VERSION_LABELS
    )
    warnings = CounterMetricFamily(
        "menagerie_warnings",
        "Values outside the training range of the predicted label or among none of its categories, in all protocols, "
        "reported in the response or not.",
        labels=[*_VERSION_LABELS, "feature"],
    )
    counted = [each for registry in registries for each in metrics.counts(registry)]
    for model, versions in counted:
        knows_ranges = _knows_ranges(model)
        for number, (fields, _, features) in versions.items():
            labels = [model.name, str(number)]
            rows.add_metric(labels, fields["rows"])
            runs.add_metric(labels, fields["runs"], fields["run_ns"] * _NANO)
            for feature, count in zip(model.manifest.feature_names if knows_ranges else (), features, strict=False):
                warnings.add_metric([*labels, feature], count)
    yield from (rows, runs, *_output_families(counted))
    if any(_knows_ranges(model) for model, _ in counted):
        yield warnings


def _knows_ranges(model: Model) -> bool:
    """Whether any value of a row can be known to be unusual."""
    return bool(model.manifest.reference) or any(feature.allow_other for feature in model.features)


def _output_families(counted: Sequence[SchemaCounts]) -> Iterator[Metric]:
    """What the outputs of each version predicted; the families that the kinds of outputs of any model need."""
    predictions = CounterMetricFamily(
        "menagerie_predictions", "Rows by predicted label.", labels=[*_VERSION_LABELS, "label"]
    )
    confidences = HistogramMetricFamily(
        "menagerie_prediction_confidence_ratio",
        "Rows by the probability of the predicted label.",
        labels=[*_VERSION_LABELS, "output"],
    )
    values = HistogramMetricFamily(
        "menagerie_prediction_value", "Rows by predicted value.", labels=[*_VERSION_LABELS, "target"]
    )
    for model, versions in counted:
        for number, counts in versions.items():
            own = [model.name, str(number)]
            for head, (labels, confidence, histograms) in zip(model.heads, counts.outputs, strict=True):
                names = model.column_names[head.columns]
                for label, count in zip(names if labels else (), labels, strict=True):
                    predictions.add_metric([*own, label], count)
                if confidence:
                    confidences.add_metric([*own, head.head.name], _buckets(confidence), confidence.total)
                for target, histogram in zip(names if histograms else (), histograms, strict=True):
                    values.add_metric([*own, target], _buckets(histogram), None)
    kinds = {each.head.kind for model, _ in counted for each in model.heads}
    if kinds - {"regression"}:
        yield predictions
    if "classification" in kinds:
        yield confidences
    if "regression" in kinds:
        yield values


def store_families(states: Mapping[str, ModelState]) -> Iterator[Metric]:
    """When versions were trained and loaded, how often loaded, refused or taken over, and what each worker serves."""
    created = GaugeMetricFamily(
        "menagerie_model_created_timestamp_seconds",
        "End of a version's training as Unix time.",
        labels=_VERSION_LABELS,
    )
    loaded = GaugeMetricFamily(
        "menagerie_model_last_load_timestamp_seconds",
        "Last time that a worker loaded a version, as Unix time.",
        labels=_VERSION_LABELS,
    )
    loads = CounterMetricFamily(
        "menagerie_model_loads", "Versions that a worker loaded or refused.", labels=["model", "outcome"]
    )
    takeovers = CounterMetricFamily(
        "menagerie_model_takeovers",
        "Switches of a worker to a higher version, or back to a lower one.",
        labels=["model", "direction"],
    )
    workers = GaugeMetricFamily(
        "menagerie_workers", "Running workers by the version that they serve.", labels=_VERSION_LABELS
    )
    refused = GaugeMetricFamily(
        "menagerie_model_refused_versions",
        "Versions in the store that are currently refused.",
        labels=["model", "worker"],
    )
    for model, state in states.items():
        for version, load in sorted(state.loads().items()):
            if load.trained_s:
                created.add_metric([model, str(version)], load.trained_s)
            loaded.add_metric([model, str(version)], load.loaded_ms * _MILLI)
        events, by_slot = state.events(), state.workers()
        for family, names in ((loads, ("loaded", "refused")), (takeovers, ("forward", "back"))):
            for name in names:
                family.add_metric([model, name], events[name])
        for version, count in sorted(Counter(each.serves for each in by_slot.values() if each.serves).items()):
            workers.add_metric([model, str(version)], count)
        for slot, worker in by_slot.items():
            refused.add_metric([model, str(slot)], worker.refused)
    yield from (created, loaded, loads, takeovers, workers, refused)


_WORKER_GAUGES = {  # by field of `WorkerMetrics`: name, help text, unit
    "in_flight": ("requests_in_flight", "Requests in progress off the fast path.", 1),
    "queued": ("requests_queued", "Requests waiting for a thread.", 1),
    "pending_bytes": ("pending_body_bytes", "Request-body bytes of requests in progress.", 1),
    "connections": ("connections", "Open connections.", 1),
    "late_us": ("event_loop_lag_seconds", "Event loop lag at the last measurement.", _MICRO),
    "leaving": ("worker_leaving", "1 once this worker is being replaced or shut down.", 1),
    "draining": ("draining", "1 once the service is shutting down.", 1),
    "looked_ms": ("store_last_look_timestamp_seconds", "Last successful poll of the model store as Unix time.", _MILLI),
    "resident_bytes": (
        "worker_resident_memory_bytes",
        "Resident memory, including memory shared with other workers.",
        1,
    ),
}


def worker_families(metrics: WorkerMetrics) -> Iterator[Metric]:
    """The gauges of the living workers."""
    living = metrics.living()
    for field, (name, documentation, unit) in _WORKER_GAUGES.items():
        gauge = GaugeMetricFamily(f"menagerie_{name}", documentation, labels=["worker"])
        for slot, values in living.items():
            gauge.add_metric([str(slot)], values[field] * unit)
        yield gauge
    cpu_time = CounterMetricFamily("menagerie_worker_cpu_seconds", "CPU time of this worker.", labels=["worker"])
    for slot, values in living.items():
        cpu_time.add_metric([str(slot)], values["cpu_us"] * _MICRO)
    yield cpu_time


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    return _cumulative(histogram.bounds, histogram.counts)


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative buckets; the last count is of values above all bounds."""
    names = [*map(str, bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))
