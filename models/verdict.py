"""What the metrics say about a model, in sentences for the summary, the report and the page."""

from collections.abc import Mapping
from typing import Any

from models.evaluate import NETWORK

MAX_CALIBRATION_ERROR = 0.05  # up to it, probabilities count as fair
EQUAL = 0.02  # a log loss that differs by this share counts as the same


def judge(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the network with the baselines, if there was a cross-validation, and check its calibration error.

    ``baselines`` is a sentence, None without cross-validation; ``calibration`` is one; ``is_calibrated`` is whether the
    probabilities are fair.
    """
    by_classifier = metrics.get("cross_validation")
    scores = by_classifier[NETWORK] if by_classifier else metrics["validation"]
    verdict = judge_calibration(scores["expected_calibration_error"])
    return verdict | {"baselines": _compare(by_classifier) if by_classifier else None}


def judge_calibration(error: float) -> dict[str, Any]:
    """As `judge`, of a model that was compared with no other, from its calibration error."""
    return {
        "baselines": None,
        "calibration": describe_calibration(error),
        "is_calibrated": error <= MAX_CALIBRATION_ERROR,
    }


def _compare(by_classifier: Mapping[str, Any]) -> str:
    losses = {name: scores["log_loss"] for name, scores in by_classifier.items()}
    ours = losses.pop(NETWORK)
    best = min(losses, key=losses.__getitem__)
    theirs = losses[best]
    if theirs < ours * (1 - EQUAL):
        return f"{best.capitalize()} does better: its log loss is {theirs:.4f}, the network's {ours:.4f}."
    if theirs <= ours * (1 + EQUAL):
        return f"{best.capitalize()} does as well: its log loss is {theirs:.4f}, the network's {ours:.4f}."
    return f"The network does better than {' and '.join(losses)}: its log loss is {ours:.4f}, the next {theirs:.4f}."


def describe_calibration(error: float) -> str:
    """Say whether probabilities with this calibration error are fair."""
    if error <= MAX_CALIBRATION_ERROR:
        return f"Its probabilities are fair: they differ from the observed accuracy by {error:.1%} on average."
    return (
        f"Its probabilities are not fair: they differ from the observed accuracy by {error:.1%} on average, so trust "
        "their order rather than their values."
    )
