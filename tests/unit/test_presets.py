"""Animals to try, made from the facts."""

import json

import numpy as np
import pytest

from models import animals, presets
from models.bundle import Bundle
from models.presets import FAMILIAR, link
from service.inference.model import Model
from service.settings import SHIPPED_STORE

SHIPPED = json.loads(Bundle.read(SHIPPED_STORE / "animals" / "1").read_bytes(f"report/{presets.FILE}"))


def test_the_shipped_presets_are_those_of_the_facts() -> None:
    """Each row once, the familiar ones first."""
    assert presets.of(animals.read()) == SHIPPED
    names = [preset["name"] for preset in SHIPPED["presets"]]
    assert len(names) == len(set(names)) == 203
    assert tuple(names[: len(FAMILIAR)]) == FAMILIAR


def test_every_preset_can_be_asked_about(model: Model) -> None:
    """All features, within the bounds, and mostly recognised."""
    for preset in SHIPPED["presets"]:
        assert list(preset["features"]) == list(model.manifest.feature_names)
        for feature in model.features:
            assert feature.minimum <= preset["features"][feature.name] <= feature.maximum
    rows = np.array([list(preset["features"].values()) for preset in SHIPPED["presets"]], np.float32)
    answers = [model.labels[best] for best in model.evaluate(rows).argmax(axis=1)]
    assert (
        np.mean([answer == preset["label"] for answer, preset in zip(answers, SHIPPED["presets"], strict=True)]) > 0.98
    )


def test_every_preset_names_its_sources() -> None:
    """By keys that are explained, and most with a place to go to."""
    for preset in SHIPPED["presets"]:
        assert preset["sources"]
        assert any(SHIPPED["sources"][key]["link"] for key in preset["sources"])


@pytest.mark.parametrize(
    ("where", "address"),
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
def test_places_become_addresses(where: str, address: str | None) -> None:
    """Only what is plainly one."""
    assert link(where) == address
