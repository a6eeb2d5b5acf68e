"""The figures, the pictures and the page that tells them; e2e/test_report.py looks at it in a browser."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from models import plots
from models.bundle import Bundle
from models.evaluate import Scores, summary, together
from service.settings import SHIPPED_STORE


@pytest.fixture
def shipped() -> Bundle:
    return Bundle.read(SHIPPED_STORE / "animals" / "1")


@pytest.fixture
def scores() -> Scores:
    """Four of the first label, one of them taken for the second with 60 % confidence; one of the second."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32)
    return Scores(probabilities, np.array([0, 0, 0, 0, 1]), np.array([5, 5, 6, 6, 7]))


def test_figures_are_what_their_names_say(scores: Scores) -> None:
    """Worked out by hand."""
    assert scores.accuracy == 0.8
    assert scores.recall == [0.75, 1.0]
    assert scores.confusion.tolist() == [[3, 1], [0, 1]]
    assert scores.group_recall() == {5: 1.0, 6: 0.5, 7: 1.0}
    assert scores.calibration_error == pytest.approx((3 * 0.1 + 0.6 + 0.2) / 5, abs=1e-6)
    assert scores.log_loss == pytest.approx(-(3 * np.log(0.9) + np.log(0.4) + np.log(0.8)) / 5, abs=1e-6)
    assert [count for count, _, _ in scores.reliability] == [1, 1, 3]


def test_a_label_that_is_not_there_has_no_recall(scores: Scores) -> None:
    """Nor does the summary make one up."""
    only = Scores(scores.probabilities[:4], scores.labels[:4], scores.groups[:4])
    assert summary(only, ("cat", "dog"))["recall"] == {"cat": 0.75}


def test_folds_are_put_together(scores: Scores) -> None:
    """As if they were one sample."""
    both = together([scores, scores])
    assert (len(both.labels), both.accuracy) == (10, 0.8)
    assert both.calibration_error == pytest.approx(scores.calibration_error, abs=1e-6)


def test_pictures_are_small_drawings_for_light_and_dark(scores: Scores) -> None:
    """Well-formed SVG, the same from run to run, with a colour scheme of the reader's."""

    def draw() -> list[str]:
        return [
            plots.pairs({"a": 0.9, "b & c": 1.0}, {"a": 0.8}, plots.PALETTE),
            plots.confusion(scores.confusion, ["a", "<b>"]),
            plots.reliability(scores.reliability),
            plots.worst([("a very long name of a breed indeed", 0, 0.5)], ["cat"]),
            plots.learning([[1.0, 0.5], [1.1, 0.6], [0.4, 0.3]], 1),
        ]

    for first, again in zip(draw(), draw(), strict=True):
        assert first == again
        assert len(first) < 60_000
        assert "prefers-color-scheme:dark" in first
        ET.fromstring(first)  # noqa: S314 (it is our own)


def test_the_page_stands_alone_and_says_what_it_rests_on(shipped: Bundle) -> None:
    """No script, no other host; that nothing was measured here comes first."""
    page = shipped.read_bytes("report/index.html").decode()
    assert "<script" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)[\w/]", page)
    assert "No animal was measured" in page
    assert "16 %</dt><dd>measured for that very row" in page
    assert "Cats are the weakest class" in page
    assert sum(file.size for name, file in shipped.manifest.files.items() if name.startswith("report/")) < 600_000


def test_the_data_agrees_with_the_manifest(shipped: Bundle) -> None:
    """And has a recall for every breed, worst first."""
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
