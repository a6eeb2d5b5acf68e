"""Every metric of the service: its name, its labels and what it means; docs/operations.md repeats it, a test compares.

Names are as prometheus.io/docs/practices/naming wants them. This room imports what takes 20 ms, so it is imported late.
"""

import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from models.manifest import Manifest
from service.monitoring.drift.verdict import Verdict
from service.monitoring.model_metrics import CONFIDENCES, Ledger
from service.monitoring.request_metrics import SECONDS, Tally
from service.monitoring.shared_counters import Memory
from service.monitoring.worker_metrics import Vitals
from service.version import VERSION

_NS, _MS, _PPM = 1e-9, 1e-3, 1e-6
_ASKED = ("protocol", "route", "method")


def of_the_service(memory: Memory, engine: str) -> Iterator[Metric]:
    """What runs, since when, and what became of its workers."""
    build = {"version": VERSION, "python": platform.python_version(), "engine": engine}
    yield InfoMetricFamily("menagerie_build", "What runs.", build)
    yield GaugeMetricFamily("menagerie_start_time_seconds", "When it was started (Unix time).", memory.made)
    yield CounterMetricFamily("menagerie_worker_starts", "Workers that were started.", memory.lives["begun"])
    exits = CounterMetricFamily(
        "menagerie_worker_exits",
        "Workers that ended: as they were told to, or by a signal or a fault.",
        labels=["kind"],
    )
    for kind in ("planned", "unplanned"):
        exits.add_metric([kind], memory.lives[kind])
    yield exits


def of_answers(tally: Tally) -> Iterator[Metric]:
    """What was asked for, what was answered, how fast."""
    requests = CounterMetricFamily(
        "menagerie_requests", "Answers to requests, errors among them.", labels=[*_ASKED, "status"]
    )
    for asked, status, count in tally.answers():
        requests.add_metric([*asked, str(status)], count)
    yield requests
    durations = HistogramMetricFamily(
        "menagerie_request_duration_seconds",
        "From the whole request to the answer, errors among them.",
        labels=[*_ASKED, "status_class"],
    )
    for asked, name, taken in tally.durations():
        durations.add_metric([*asked, name], _buckets(SECONDS, taken.buckets), taken.spent * _NS)
    yield durations
    rejections = CounterMetricFamily("menagerie_rejections", "Answers that are errors, by kind.", labels=["reason"])
    for reason, count in tally.rejections().items():
        rejections.add_metric([reason], count)
    yield rejections


def of_versions(ledger: Ledger, manifest: Manifest) -> Iterator[Metric]:
    """What each version of the network was asked and what it answered; what became of versions in the store."""
    rows = CounterMetricFamily("menagerie_rows", "Rows that were predicted.", labels=["version"])
    runs = SummaryMetricFamily(
        "menagerie_inference_duration_seconds", "Time within the network, by run.", labels=["version"]
    )
    predictions = CounterMetricFamily(
        "menagerie_predictions", "Rows by the label that they got.", labels=["version", "label"]
    )
    confidences = HistogramMetricFamily(
        "menagerie_prediction_confidence_ratio", "Rows by the probability of their label.", labels=["version"]
    )
    warnings = CounterMetricFamily(
        "menagerie_warnings",
        "Values that no training row of the predicted label had, in all protocols, told to the caller or not.",
        labels=["version", "feature"],
    )
    created = GaugeMetricFamily(
        "menagerie_model_created_timestamp_seconds", "When a version was trained (Unix time).", labels=["version"]
    )
    loaded = GaugeMetricFamily(
        "menagerie_model_last_load_timestamp_seconds",
        "When a worker last loaded a version and found it good (Unix time).",
        labels=["version"],
    )
    for number, (fields, confident, labels, features) in ledger.all().items():
        version = str(number)
        rows.add_metric([version], fields["rows"])
        runs.add_metric([version], fields["runs"], fields["run_ns"] * _NS)
        confidences.add_metric([version], _buckets(CONFIDENCES, confident), fields["confidence_ppm"] * _PPM)
        for label, count in zip(manifest.labels, labels, strict=True):
            predictions.add_metric([version, label], count)
        for feature, count in zip(manifest.feature_names, features, strict=True):
            warnings.add_metric([version, feature], count)
        if fields["created_s"]:
            created.add_metric([version], fields["created_s"])
        loaded.add_metric([version], fields["loaded_ms"] * _MS)
    yield from (rows, runs, predictions, confidences, warnings, created, loaded)


def of_the_store(ledger: Ledger) -> Iterator[Metric]:
    """What became of versions in the store."""
    events = ledger.events()
    loads = CounterMetricFamily(
        "menagerie_model_loads", "Versions that a worker loaded, or refused to.", labels=["outcome"]
    )
    takeovers = CounterMetricFamily(
        "menagerie_model_takeovers",
        "Times that a worker went over to serve a higher version, or back to a lower one.",
        labels=["direction"],
    )
    for family, names in ((loads, ("loaded", "refused")), (takeovers, ("forward", "back"))):
        for name in names:
            family.add_metric([name], events[name])
        yield family


_OF_A_WORKER = {
    "in_flight": ("requests_in_flight", "Requests beside the short way that are not answered yet.", 1),
    "queued": ("requests_queued", "Requests that wait for a thread.", 1),
    "pending_bytes": ("pending_body_bytes", "Bytes of bodies that are not answered yet.", 1),
    "connections": ("connections", "Open connections.", 1),
    "late_us": ("event_loop_lag_seconds", "How late the event loop was, the last time that it was looked at.", 1e-6),
    "leaving": ("worker_leaving", "1 once this worker makes room for another, or ends with the service.", 1),
    "draining": ("draining", "1 once the service is about to end.", 1),
    "refused": ("model_refused_versions", "Versions in the store that are refused now.", 1),
    "looked_ms": ("store_last_look_timestamp_seconds", "When the store was last looked at (Unix time).", _MS),
    "resident_bytes": ("worker_resident_memory_bytes", "Resident memory, what is shared with others included.", 1),
}


def of_workers(vitals: Vitals) -> Iterator[Metric]:
    """What the living workers say of themselves."""
    living = vitals.living()
    serving = GaugeMetricFamily("menagerie_workers", "Living workers by the version they serve.", labels=["version"])
    for version, count in sorted(Counter(told["serves"] for told in living.values()).items()):
        serving.add_metric([str(version)], count)
    yield serving
    for field, (name, meaning, unit) in _OF_A_WORKER.items():
        gauge = GaugeMetricFamily(f"menagerie_{name}", meaning, labels=["worker"])
        for slot, told in living.items():
            gauge.add_metric([str(slot)], told[field] * unit)
        yield gauge
    spent = CounterMetricFamily("menagerie_worker_cpu_seconds", "CPU time of this worker.", labels=["worker"])
    for slot, told in living.items():
        spent.add_metric([str(slot)], told["cpu_us"] * 1e-6)
    yield spent


def of_drift(verdicts: Sequence[Verdict]) -> Iterator[Metric]:
    """How the last rows of each version look beside its training rows; no index where there are too few to say."""
    features = GaugeMetricFamily(
        "menagerie_drift_psi",
        "Population stability index of a feature's last values against the training rows.",
        labels=["version", "feature"],
    )
    labels = GaugeMetricFamily(
        "menagerie_drift_psi_labels", "The same of the labels that were predicted.", labels=["version"]
    )
    refused = GaugeMetricFamily(
        "menagerie_drift_refused_ratio",
        "Share of a feature's last values that were refused as beyond its bounds.",
        labels=["version", "feature"],
    )
    rows = GaugeMetricFamily("menagerie_drift_rows", "Last rows that are looked at for drift.", labels=["version"])
    alarm = GaugeMetricFamily(
        "menagerie_drift_alarm", "1 if a feature or the labels have shifted: /drift says which.", labels=["version"]
    )
    for verdict in verdicts:
        version = str(verdict.model.number)
        for feature, judged in verdict.features.items():
            if verdict.says_of(judged):
                features.add_metric([version, feature], judged.psi)
                refused.add_metric([version, feature], judged.now[-1])
        if verdict.says_of(verdict.labels):
            labels.add_metric([version], verdict.labels.psi)
        rows.add_metric([version], verdict.window.rows)
        alarm.add_metric([version], verdict.alarm)
    yield from (features, labels, refused, rows, alarm)


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulated; the last count is of what is beyond all bounds."""
    names = [*map(str, bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))
