"""What a training run prints, and its verdict on the model."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from models.bundle import Bundle
from models.options import TrainingOptions
from models.summary import print_summary
from models.verdict import judge
from service.settings import SHIPPED_STORE


def summarize(labels: list[str], *, has_stress: bool = False, **options: Any) -> str:
    """The summary of a bundle with these labels in a terminal of 80 columns."""
    scores: dict[str, Any] = {
        "accuracy": 0.9,
        "recall": {label: 1 - index / 2000 for index, label in enumerate(labels)},
        "expected_calibration_error": 0.02,
        "log_loss": 0.3,
    }
    if has_stress:
        scores["stress"] = {"accuracy": 0.8}
    metrics = {"validation": {"groups": 3}, "cross_validation": {"network": scores, "logistic regression": scores}}
    shipped = Bundle.read(SHIPPED_STORE / "animals" / "1")
    manifest = shipped.manifest.model_copy(update={"labels": tuple(labels), "metrics": metrics})
    console = Console(file=io.StringIO(), width=80)
    print_summary(Bundle(Path("store/mine/1"), manifest), TrainingOptions(name="mine", **options), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("count", [2, 5, 10, 50, 1000])
@pytest.mark.parametrize("prefix", ["label ", "a name that is rather long for a label, with spaces ", "[bold]"])
def test_the_summary_is_readable_for_any_number_of_labels(count: int, prefix: str) -> None:
    """No line is longer than the terminal, no figure is cut, and it takes one screen."""
    text = summarize([f"{prefix}{number}" for number in range(count)])
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 30
    assert text.count("90.00%") == 2
    assert text.count("0.3000") == text.count("0.0200") == 2
    assert ("lowest recall" in text) == (count > 10)
    if count > 10:
        assert f"{1 - (count - 1) / 2000:.1%}" in text


def test_only_the_animals_have_a_stress_test() -> None:
    assert "stress" not in summarize(["a", "b"])
    assert "8 % stress" in summarize(["a", "b"], has_stress=True)


@pytest.mark.parametrize(
    ("options", "noun"),
    [
        ({}, "groups"),
        ({"table": Path("my.csv")}, "rows"),
        ({"table": Path("my.csv"), "group": "patient"}, "groups"),
    ],
)
def test_rows_are_groups_only_if_these_are_named(options: dict[str, Any], noun: str) -> None:
    assert f"each fold scored on held-out {noun}\n" in summarize(["a", "b"], **options)


def scores(log_loss: float, error: float = 0.02) -> dict[str, float]:
    return {"log_loss": log_loss, "expected_calibration_error": error}


@pytest.mark.parametrize(
    ("network", "logistic", "boosting", "sentence"),
    [
        (0.3, 0.4, 0.5, "The network does better than logistic regression and gradient boosting"),
        (0.4, 0.3, 0.5, "Logistic regression does better"),
        (0.4, 0.5, 0.3, "Gradient boosting does better"),
        (0.4, 0.4, 0.5, "Logistic regression does as well"),
        (0.4, 0.403, 0.5, "Logistic regression does as well"),
    ],
)
def test_the_verdict_says_when_a_baseline_does_as_well(
    network: float, logistic: float, boosting: float, sentence: str
) -> None:
    """It quotes both log losses."""
    folds = {"network": scores(network), "logistic regression": scores(logistic), "gradient boosting": scores(boosting)}
    verdict = judge({"validation": {}, "cross_validation": folds})
    assert verdict["baselines"].startswith(sentence)
    assert f"{network:.4f}" in verdict["baselines"]


@pytest.mark.parametrize(("error", "is_calibrated"), [(0.0, True), (0.05, True), (0.0501, False), (0.46, False)])
def test_probabilities_are_fair_only_if_the_calibration_error_is_small(error: float, *, is_calibrated: bool) -> None:
    """Without cross-validation, that is the error on the rows that were held out to select a candidate."""
    verdict = judge({"validation": scores(0.3, error)})
    assert verdict["baselines"] is None
    assert verdict["is_calibrated"] == is_calibrated
    assert ("not fair" in verdict["calibration"]) == (not is_calibrated)
