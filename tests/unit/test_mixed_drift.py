"""Drift of models with categories and missing values: what is counted, and what `GET /drift` says."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from pydantic import TypeAdapter
from support import mixed_bundles

from models.encoding import NumberEncoder, OneHotEncoder
from models.feature import Feature, to_codes
from models.manifest import Manifest
from service.app import create_app
from service.inference.binning.bins import Bins, count_cells
from service.inference.binning.variables import MAX_OWN_CELLS
from service.openapi import native_types
from service.settings import Settings

POSITIONS = {feature.name: index for index, feature in enumerate(mixed_bundles.FEATURES)}
ROWS = mixed_bundles.raw_rows(400, 9)


def client_of(store: Path, **settings: Any) -> FlaskClient:
    return create_app(Settings(model_store=store, model_name="mixed", drift_rows=500, **settings)).test_client()


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    mixed_bundles.publish(tmp_path, rows=mixed_bundles.raw_rows(2_000))
    return client_of(tmp_path)


def drift_after(client: FlaskClient, rows: Sequence[Sequence[Any]]) -> Any:
    assert client.post("/predict", json={"instances": [list(row) for row in rows]}).status_code == 200
    body = client.get("/drift").data
    assert b"NaN" not in body
    return json.loads(body)


def changed(name: str, value: Any, share: float = 1) -> list[list[Any]]:
    """Rows of which a share has another value of a feature."""
    position = POSITIONS[name]
    return [
        [*row[:position], value, *row[position + 1 :]] if i < share * len(ROWS) else list(row)
        for i, row in enumerate(ROWS)
    ]


def test_unshifted_rows_look_like_the_training_rows(client: FlaskClient) -> None:
    """The shares of each feature add up to 1, and are those of the rows."""
    drift = drift_after(client, ROWS)
    assert drift["verdict"] == "alike"
    for name, feature in drift["features"].items():
        cells = feature.get("bins") or list(feature["shares"].values())
        cells += [feature[each] for each in ("rare", "other", "missing") if each in feature]
        assert sum(cell["now"] for cell in cells) == pytest.approx(1), name
        assert sum(cell["then"] for cell in cells) == pytest.approx(1, abs=1e-3), name
    features = drift["features"]
    assert list(features["island"]["shares"]) == ["Biscoe", "Dream", "Torgersen"]
    assert list(features["is_breeding"]["shares"]) == ["false", "true"]
    assert list(features["observer"]["shares"]) == [f"(bin {each})" for each in range(4)]
    now = sum(row[POSITIONS["body_mass"]] is None for row in ROWS) / len(ROWS)
    assert features["body_mass"]["missing"]["now"] == pytest.approx(now)
    now = sum(row[POSITIONS["colony"]] == "a new colony" for row in ROWS) / len(ROWS)
    assert features["colony"]["other"]["now"] == pytest.approx(now)
    assert {name for name, feature in features.items() if "missing" in feature} == {"body_mass", "sex"}


def test_responses_are_what_the_schema_says(client: FlaskClient, tmp_path: Path) -> None:
    manifest = Manifest.model_validate_json((tmp_path / "mixed" / "1" / "manifest.json").read_text())
    for rows in ([ROWS[0]], ROWS):
        TypeAdapter(native_types.drift(manifest)).validate_python(drift_after(client, rows), strict=True)


@pytest.mark.parametrize(
    ("name", "value", "share", "sentence"),
    [
        ("island", "Torgersen", 0.6, "island: Torgersen rose from 3"),
        ("sex", None, 1, "sex is missing in 100% of the rows, compared with 3"),
        ("body_mass", None, 1, "body_mass is missing in 100% of the rows, compared with 2"),
        ("body_mass", None, 0.7, "body_mass is missing in 7"),
        ("body_mass", 6400, 0.7, "body_mass is higher: its median was 45"),
        ("colony", "elsewhere", 0.8, "colony: unknown categories rose from 2"),
        ("ring", 5, 0.7, "ring: 5 rose from 3"),
        ("is_breeding", True, 1, "is_breeding: true rose from 50% to 100% of the rows"),
        ("observer", "observer 1", 0.9, "observer: (bin "),
        ("year", 2009, 1, "year is higher"),
    ],
)
def test_shifts_are_said_in_words(client: FlaskClient, name: str, value: Any, share: float, sentence: str) -> None:
    """By the category whose share has changed the most; of numbers, by missing values or by the median."""
    drift = drift_after(client, changed(name, value, share))
    assert drift["verdict"] == "shifted"
    assert sentence in drift["features"][name]["says"]
    assert drift["features"][name]["says"] in drift["says"]


def test_unknown_categories_count_as_refused(client: FlaskClient) -> None:
    """As values out of bounds do."""
    drift_after(client, ROWS[:200])
    for row in changed("island", "Atlantis")[:10]:
        assert client.post("/predict", json={"features": row}).status_code == 422
    drift = json.loads(client.get("/drift").data)
    assert drift["rows"] == 210
    island = drift["features"]["island"]
    assert island["refused"] == pytest.approx(10 / 210)
    assert island["says"] == "island is none of the known categories in 5% of the rows"
    assert drift["features"]["year"]["rows"] == 200
    metrics = client.get("/metrics").text
    assert 'menagerie_drift_refused_ratio{feature="island",model="mixed",version="1"} 0.047' in metrics
    assert 'menagerie_drift_psi{feature="sex",model="mixed",version="1"}' in metrics


def wide(count: int) -> dict[str, Any]:
    """A model of one number and of a category with so many values, of which low ones are frequent."""
    cities = tuple(f"city {each}" for each in range(count))
    bounds: Any = {"minimum": None, "maximum": None}
    features = (
        Feature(name="age", minimum=0, maximum=100),
        Feature(name="city", kind="category", categories=cities, allow_other=True, **bounds),
    )
    codes = range(count + 1)
    encoders = (
        NumberEncoder(feature="age"),
        OneHotEncoder(feature="city", width=count + 1, columns=tuple(codes)),
    )
    rng = np.random.default_rng(1)
    known = [city for number, city in enumerate(cities) for _ in range(max(20 - number, 1))]  # the first most often
    rows = [(float(rng.uniform(1, 99)), known[each % len(known)]) for each in range(600)]
    return {"features": features, "encoders": encoders, "rows": rows}


def test_large_vocabularies_share_a_cell(tmp_path: Path) -> None:
    """All but the most frequent categories; "other" has one of its own."""
    model = wide(200)
    manifest = mixed_bundles.publish(tmp_path, **model).manifest
    bins = Bins(manifest)
    variable = bins.features["city"]
    assert variable.labels == [f"city {each}" for each in range(MAX_OWN_CELLS)]
    assert list(variable.further) == ["rare", "other", "refused"]
    codes = np.array([[50, 0], [50, 11], [50, 12], [50, 199], [50, 200]], np.float32)
    cells = bins.bin_predicted(codes, np.zeros(5, np.intp))[:, 1] - variable.cells.start
    assert cells.tolist() == [0, 11, 12, 12, 13]
    assert variable.training_shares.sum() == pytest.approx(1)


def test_cells_do_not_depend_on_the_vocabulary(tmp_path: Path) -> None:
    """So the windows of a version with more categories fit in the memory that was allotted at the start."""
    few, many = (mixed_bundles.publish(tmp_path / str(count), **wide(count)).manifest for count in (3, 300))
    assert count_cells(few) == count_cells(many)


def test_all_cells_lie_within_those_of_their_feature(tmp_path: Path) -> None:
    """And no two features have one in common."""
    manifest = mixed_bundles.publish(tmp_path).manifest
    bins, codes = Bins(manifest), to_codes(manifest.features, ROWS)
    cells = bins.bin_predicted(codes, np.zeros(len(codes), np.intp))
    for column, variable in zip(cells.T, bins.features.values(), strict=False):
        assert (
            variable.cells.start <= column.min() <= column.max() < variable.cells.stop - 1
        )  # the last is of refused ones
    ends = [(each.cells.start, each.cells.stop) for each in (*bins.features.values(), *bins.outputs.values())]
    assert all(stop <= start for (_, stop), (start, _) in pairwise(ends))
    assert cells.max() < count_cells(manifest)
