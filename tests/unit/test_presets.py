"""The page's example animals."""

import json

import numpy as np
import pytest

from models import presets
from models.animals import Animals
from models.bundle import Bundle
from models.presets import FAMILIAR, find_url
from service.inference.model import Model
from service.settings import SHIPPED_STORE

SHIPPED = json.loads(Bundle.read(SHIPPED_STORE / "animals" / "1").read_bytes(f"report/{presets.FILE}"))


def test_the_shipped_presets_match_the_facts() -> None:
    """Each row of facts appears once, the familiar ones first."""
    assert presets.build_presets(Animals.read()) == SHIPPED
    names = [preset["name"] for preset in SHIPPED["presets"]]
    assert len(names) == len(set(names)) == 203
    assert tuple(names[: len(FAMILIAR)]) == FAMILIAR


def test_every_preset_is_a_valid_input(model: Model) -> None:
    """Each has all features within their bounds, and 98 % are recognized."""
    for preset in SHIPPED["presets"]:
        assert list(preset["features"]) == list(model.manifest.feature_names)
        for feature in model.features:
            assert feature.minimum <= preset["features"][feature.name] <= feature.maximum
    rows = np.array([list(preset["features"].values()) for preset in SHIPPED["presets"]], np.float32)
    predicted = [model.labels[best] for best in model.outputs(rows).argmax(axis=1)]
    assert np.mean(np.array(predicted) == [preset["label"] for preset in SHIPPED["presets"]]) > 0.98


def test_every_preset_names_its_sources() -> None:
    """At least one of its sources has a link."""
    for preset in SHIPPED["presets"]:
        assert preset["sources"]
        assert any(SHIPPED["sources"][key]["link"] for key in preset["sources"])


@pytest.mark.parametrize(
    ("where", "url"),
    [
        ("doi:10.1186/s40575-016-0032-2 (a table)", "https://doi.org/10.1186/s40575-016-0032-2"),
        ("doi:10.1890/15-0846R.1; copy in a/b", "https://doi.org/10.1890/15-0846R.1"),
        ("github.com/some/data@84a6987", "https://github.com/some/data/tree/84a6987"),
        ("github some/data file.txt", "https://github.com/some/data"),
        ("example.org/table?id=1", "https://example.org/table?id=1"),
        ("example.org/cut-off-...; another.org", "https://example.org/"),
        ("example.org pid=1", "https://example.org/"),
        ("several", None),
        ("build_traits.py", None),
    ],
)
def test_sources_get_a_url(where: str, url: str | None) -> None:
    """Text that is not clearly an address gets none."""
    assert find_url(where) == url
