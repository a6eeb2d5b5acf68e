"""The declaration of the metrics of shadows; a test compares it with docs/operations.md."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from service.comparison.document import Bucket
from service.monitoring.shadow.pairs import Pair

_MAX_LABELS = 100  # of an output; with more, only GET /shadow has the changes by label
_PAIR = ("model", "version", "shadow")


def shadow_families(pairs: Sequence[Pair]) -> Iterator[Metric]:
    """How often shadows agree, which labels they change, and which rows were not compared."""
    rows = CounterMetricFamily(
        "menagerie_shadow_rows", "Rows of which the shadow's prediction is known.", labels=[*_PAIR, "outcome"]
    )
    dropped = CounterMetricFamily(
        "menagerie_shadow_dropped_rows", "Rows that were not computed by the shadow.", labels=[*_PAIR, "reason"]
    )
    failed = CounterMetricFamily(
        "menagerie_shadow_failed_rows", "Rows of which the shadow gave no prediction.", labels=[*_PAIR, "reason"]
    )
    labels = CounterMetricFamily(
        "menagerie_shadow_label_changes",
        "Rows to which only one of the versions gives a label.",
        labels=[*_PAIR, "output", "label", "change"],
    )
    moves = HistogramMetricFamily(
        "menagerie_shadow_probability_shift_ratio",
        "Rows by the largest difference between the versions' probabilities.",
        labels=[*_PAIR, "output"],
    )
    for pair in pairs:
        counts = pair.read()
        totals = pair.comparison.totals(counts.cells)
        own = [pair.serving.name, str(pair.serving.version), str(pair.shadow.version)]
        rows.add_metric([*own, "agree"], totals.agreeing)
        rows.add_metric([*own, "change"], totals.rows - totals.agreeing)
        for family, by_reason in ((dropped, counts.dropped), (failed, counts.failed)):
            for reason, count in by_reason.items():
                family.add_metric([*own, reason], count)
        for name, output in totals.outputs.items():
            if output["kind"] != "regression":
                for label, change, count in _label_changes(output):
                    labels.add_metric([*own, name, label, change], count)
                moved = output["moved"]
                moves.add_metric([*own, name], _buckets(moved["histogram"]), _total(moved["mean"], totals.rows))
    yield from (rows, dropped, failed, labels, moves)


def _label_changes(output: Any) -> Iterator[tuple[str, str, int]]:
    """How many rows lose and gain each label: two numbers for each, not one for each pair of labels."""
    if len(output["labels"]) > _MAX_LABELS:
        return
    for label, counts in output["labels"].items():
        yield label, "lost", counts["lost"]
        yield label, "gained", counts["gained"]


def _buckets(histogram: Sequence[Bucket]) -> list[tuple[str, float]]:
    """Cumulative buckets; the last bound is the greatest possible value."""
    names = [str(bucket["upto"]) for bucket in histogram[:-1]]
    return list(zip([*names, "+Inf"], accumulate(bucket["rows"] for bucket in histogram), strict=True))


def _total(mean: float | None, rows: int) -> float:
    """The sum of the differences, which are counted in millionths: rounded, so that it never falls by an error."""
    return round((mean or 0.0) * rows, 6)
