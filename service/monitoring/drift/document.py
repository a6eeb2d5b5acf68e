"""The response of `GET /drift`: a verdict with its numbers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from service.inference.binning.variables import REFUSED
from service.monitoring.drift.sentences import median_bin
from service.monitoring.drift.verdict import Comparison, Verdict


def document(verdict: Verdict) -> dict[str, Any]:
    """The response's content.

    ``labels`` is that of a model that is a single classification; other models have ``outputs`` instead.
    """
    since = verdict.window.since
    labels = next(iter(verdict.outputs.values())) if verdict.model.labels and verdict.outputs else None
    outputs = {"outputs": {name: _output(verdict, name) for name in verdict.outputs}}
    return {
        "verdict": verdict.name,
        "says": verdict.summary,
        "alarm": verdict.has_shifted,
        "rows": verdict.window.rows,
        "least_rows": verdict.min_rows,
        "window_rows": verdict.window_rows,
        "since": datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if since else None,
        "features": {name: _feature(verdict, name) for name in verdict.features},
        "labels": _labels(labels) if labels else None,
        **({} if labels else outputs),
        "model": verdict.model.identity,
    }


def _feature(verdict: Verdict, name: str) -> dict[str, Any]:
    compared = verdict.features[name]
    own = slice(compared.variable.own_cells)
    training_shares, recent_shares = compared.training_shares[own], compared.known_shares[own]
    document = {**_numbers(compared), "says": verdict.describe_feature(name) if compared.has_shifted else ""}
    if compared.variable.kind == "category":
        document |= {"refused": compared.known_shares[-1], "shares": _shares(compared)}
    else:
        document |= {
            "median": _median(compared, compared.recent_shares[own]),
            "refused": compared.known_shares[-1],
            "bins": _bins(compared, training_shares, recent_shares),
        }
    return document | _further_shares(compared)


def _further_shares(compared: Comparison) -> dict[str, Any]:
    """The shares of the cells after a feature's own, by name; that of refused values has none in training."""
    names, start = compared.variable.further, compared.variable.own_cells
    shares = zip(names, compared.training_shares[start:], compared.known_shares[start:], strict=True)
    return {name: {"then": training, "now": recent} for name, training, recent in shares if name != REFUSED}


def _output(verdict: Verdict, name: str) -> dict[str, Any]:
    compared = verdict.outputs[name]
    if compared.variable.labels:
        return _labels(compared)
    return {
        **_numbers(compared),
        "says": verdict.describe_output(name) if compared.has_shifted else "",
        "median": _median(compared, compared.recent_shares),
        "bins": _bins(compared, compared.training_shares, compared.known_shares),
    }


def _labels(compared: Comparison) -> dict[str, Any]:
    return {**_numbers(compared), "shares": _shares(compared)}


def _shares(compared: Comparison) -> dict[str, Any]:
    own = slice(compared.variable.own_cells)
    shares = zip(compared.variable.labels, compared.training_shares[own], compared.known_shares[own], strict=True)
    return {label: {"then": training, "now": recent} for label, training, recent in shares}


def _numbers(compared: Comparison) -> dict[str, Any]:
    return {"shifted": compared.has_shifted, "psi": compared.psi, "limit": compared.limit, "rows": compared.rows}


def _median(compared: Comparison, recent_shares: Sequence[float]) -> dict[str, Any]:
    """The median of the training rows, and the bin with that of the recent rows."""
    above, upto = median_bin(compared.variable.edges.tolist(), recent_shares)
    return {"then": compared.variable.median, "now": {"above": above, "upto": upto} if compared.rows else None}


def _bins(
    compared: Comparison, training_shares: Sequence[float], recent_shares: Sequence[float | None]
) -> list[dict[str, Any]]:
    intervals = pairwise([None, *compared.variable.edges.tolist(), None])
    return [
        {"above": above, "upto": upto, "then": training, "now": recent}
        for (above, upto), training, recent in zip(intervals, training_shares, recent_shares, strict=True)
    ]
