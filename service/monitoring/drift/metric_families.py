"""The declaration of the metrics of drift; a test compares it with docs/operations.md."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from service.monitoring.drift.verdict import Verdict

_VERSION_LABELS = ("model", "version")


def drift_families(verdicts: Sequence[Verdict]) -> Iterator[Metric]:
    """The drift of each version that has a sample; no index where there are too few rows."""
    features = GaugeMetricFamily(
        "menagerie_drift_psi",
        "Population stability index of a feature's recent values compared with the training rows.",
        labels=[*_VERSION_LABELS, "feature"],
    )
    labels = GaugeMetricFamily(
        "menagerie_drift_psi_labels",
        "Population stability index of the predicted labels compared with the training rows.",
        labels=_VERSION_LABELS,
    )
    outputs = GaugeMetricFamily(
        "menagerie_drift_psi_outputs",
        "Population stability index of an output's predictions compared with the training rows.",
        labels=[*_VERSION_LABELS, "output"],
    )
    refused = GaugeMetricFamily(
        "menagerie_drift_refused_ratio",
        "Share of a feature's recent values that were refused as out of bounds or as unknown categories.",
        labels=[*_VERSION_LABELS, "feature"],
    )
    rows = GaugeMetricFamily("menagerie_drift_rows", "Recent rows in the drift window.", labels=_VERSION_LABELS)
    alarm = GaugeMetricFamily(
        "menagerie_drift_alarm",
        "1 if a feature or the labels have shifted; GET /drift names them.",
        labels=_VERSION_LABELS,
    )
    for verdict in [each for each in verdicts if each.model.manifest.reference]:
        own = [verdict.model.name, str(verdict.model.version)]
        for feature, comparison in verdict.features.items():
            if verdict.has_enough_rows(comparison):
                features.add_metric([*own, feature], comparison.psi)
                refused.add_metric([*own, feature], comparison.recent_shares[-1])
        for output, comparison in verdict.outputs.items():
            if verdict.has_enough_rows(comparison) and verdict.model.labels:
                labels.add_metric(own, comparison.psi)
            elif verdict.has_enough_rows(comparison):
                outputs.add_metric([*own, output], comparison.psi)
        rows.add_metric(own, verdict.window.rows)
        alarm.add_metric(own, verdict.has_shifted)
    yield features
    if any(verdict.model.labels for verdict in verdicts):
        yield labels
    if any(not verdict.model.labels for verdict in verdicts):
        yield outputs
    yield from (refused, rows, alarm)
