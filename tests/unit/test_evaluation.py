"""Metrics, charts and the report; e2e/test_report.py tests the page in a browser."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from models import plots
from models.bundle import Bundle
from models.evaluate import Scores, concatenate, summarize
from service.settings import SHIPPED_STORE


@pytest.fixture
def shipped() -> Bundle:
    return Bundle.read(SHIPPED_STORE / "animals" / "1")


@pytest.fixture
def scores() -> Scores:
    """Four rows of the first label, one of them predicted as the second with 60 % confidence; one of the second."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32)
    return Scores(probabilities, np.array([0, 0, 0, 0, 1]), np.array([5, 5, 6, 6, 7]))


def test_metrics_have_their_defined_values(scores: Scores) -> None:
    """Worked out by hand."""
    assert scores.accuracy == 0.8
    assert scores.recall == [0.75, 1.0]
    assert scores.confusion_matrix.tolist() == [[3, 1], [0, 1]]
    assert scores.recall_by_group() == {5: 1.0, 6: 0.5, 7: 1.0}
    assert scores.expected_calibration_error == pytest.approx((3 * 0.1 + 0.6 + 0.2) / 5, abs=1e-6)
    assert scores.log_loss == pytest.approx(-(3 * np.log(0.9) + np.log(0.4) + np.log(0.8)) / 5, abs=1e-6)
    assert [count for count, _, _ in scores.calibration_curve] == [1, 1, 3]


def test_a_label_without_individuals_has_no_recall(scores: Scores) -> None:
    """The summary leaves it out."""
    first_label = Scores(scores.probabilities[:4], scores.labels[:4], scores.groups[:4])
    assert summarize(first_label, ("cat", "dog"))["recall"] == {"cat": 0.75}


def test_folds_are_concatenated(scores: Scores) -> None:
    """Their metrics are those of one sample."""
    both = concatenate([scores, scores])
    assert (len(both.labels), both.accuracy) == (10, 0.8)
    assert both.expected_calibration_error == pytest.approx(scores.expected_calibration_error, abs=1e-6)


def test_charts_are_small_svgs_for_light_and_dark_pages(scores: Scores) -> None:
    """Each is well-formed, identical from run to run, and follows the reader's color scheme."""

    def draw() -> list[str]:
        return [
            plots.plot_pairs({"a": 0.9, "b & c": 1.0}, {"a": 0.8}, plots.PALETTE),
            plots.plot_confusion_matrix(scores.confusion_matrix, ["a", "<b>"]),
            plots.plot_calibration_curve(scores.calibration_curve),
            plots.plot_group_recall([("a very long name of a breed indeed", 0, 0.5)], ["cat"]),
            plots.plot_losses([[1.0, 0.5], [1.1, 0.6], [0.4, 0.3]], 1),
        ]

    for first, again in zip(draw(), draw(), strict=True):
        assert first == again
        assert len(first) < 60_000
        assert "prefers-color-scheme:dark" in first
        ET.fromstring(first)  # noqa: S314 (it is our own)


def test_the_page_is_self_contained_and_states_the_origin_of_its_data(shipped: Bundle) -> None:
    """It has no script and loads nothing; it says that no animal was measured."""
    page = shipped.read_bytes("report/index.html").decode()
    assert "<script" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)[\w/]", page)
    assert "No animal was measured" in page
    assert "16 %</dt><dd>measured for that very row" in page
    assert "Cats are the weakest class" in page
    assert sum(file.size for name, file in shipped.manifest.files.items() if name.startswith("report/")) < 600_000


def test_the_data_agrees_with_the_manifest(shipped: Bundle) -> None:
    """It has the recall of every breed, lowest first."""
    data = json.loads(shipped.read_bytes("report/report.json"))
    assert data["metrics"] == shipped.manifest.metrics
    assert len(data["recall_by_group"]) == 203
    recalls = [entry["recall"] for entry in data["recall_by_group"]]
    assert recalls == sorted(recalls)
    assert sum(data["basis"].values()) == 203 * 8
    confusion = np.array(data["confusion"])
    assert np.trace(confusion) / confusion.sum() == pytest.approx(
        shipped.manifest.metrics["cross_validation"]["network"]["accuracy"], abs=1e-4
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["$5 to $10", "$\\frac$", "日本", "a & <b>", "x" * 300])
def test_charts_show_any_name(name: str) -> None:
    """A dollar sign begins no formula, and a missing glyph is the browser's matter."""
    svg = plots.plot_shares([(name, 0.25, 0.5), ("other", 0.004, 1.0)])
    shown = "".join(ET.fromstring(svg).itertext())  # noqa: S314 (our own)
    assert name[:31] in shown
    assert "50% (25%)" in shown
    assert "100% (0.4%)" in shown
    plots.plot_confusion_matrix(np.array([[3, 1], [0, 2]]), [name, "b"])
