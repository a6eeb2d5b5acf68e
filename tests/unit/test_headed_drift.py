"""Drift of models with every kind of output: what is counted, when it has shifted, and what `GET /drift` says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays
from prometheus_client.parser import text_string_to_metric_families as parsed
from pydantic import TypeAdapter
from support.headed_bundles import HEADS, LOGITS, MIXED, MULTI_LABEL, REGRESSION, SEVERAL, publish

from models.manifest import Manifest
from models.signature import Head
from service.app.flask_app import flask_app
from service.app.routes import Service, build_service
from service.arrays import Array
from service.inference.binning.bins import Bins, count_cells
from service.inference.model import Model
from service.monitoring.drift.psi import shift_limit, stability_index
from service.openapi import native_types
from service.settings import Settings

ALL_HEADS = pytest.mark.parametrize("heads", [*HEADS.values(), MIXED], ids=[*HEADS, "mixed"])
OTHER_HEADS = pytest.mark.parametrize(
    "heads", [REGRESSION, MULTI_LABEL, SEVERAL, MIXED], ids=["regression", "multi_label", "several", "mixed"]
)
WINDOWS, WINDOW_ROWS = 2_000, 200
NO_SAMPLE = "the model was adopted without a sample, so there are no training rows to compare with"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Of a model with an output of each kind."""
    return publish(tmp_path_factory.mktemp("store"), MIXED).manifest


def serve(store: Path, heads: Sequence[Head], *, sample: bool = True) -> Service:
    publish(store, heads, sample=sample)
    return build_service(Settings(model_store=store, model_name="headed", drift_rows=500))


def client_of(service: Service) -> FlaskClient:
    return flask_app(service).test_client()


def random_rows(count: int = 400, seed: int = 5) -> Array:
    """Rows distributed like those of the sample."""
    return np.random.default_rng(seed).uniform(-3, 3, (count, 3)).astype(np.float32)


def drift_after(service: Service, rows: Array) -> dict[str, Any]:
    client = client_of(service)
    assert client.post("/predict", json={"instances": rows.tolist()}).status_code == 200
    document: dict[str, Any] = client.get("/drift").get_json()
    return document


def drift_metrics(service: Service) -> dict[str, dict[str, float]]:
    """Every drift metric by the feature or output in its labels, if any."""
    families = [family for family in parsed(client_of(service).get("/metrics").text) if "_drift_" in family.name]
    return {
        family.name.removeprefix("menagerie_drift_"): {
            sample.labels.get("feature", sample.labels.get("output", "")): sample.value for sample in family.samples
        }
        for family in families
    }


@ALL_HEADS
def test_unshifted_rows_look_like_the_training_rows(tmp_path: Path, heads: Sequence[Head]) -> None:
    """What is predicted is in `labels` or in `outputs`; the shares add up to 1; OpenAPI describes the response."""
    service = serve(tmp_path, heads)
    model, drift = service.registry.current.model, drift_after(service, random_rows())
    assert (drift["verdict"], drift["says"], drift["rows"]) == ("alike", "looks like the training rows", 400)
    outputs = drift.get("outputs", {"labels": drift["labels"]})
    if model.labels:
        assert list(drift["labels"]["shares"]) == list(model.labels)
        assert "outputs" not in drift
    else:
        assert drift["labels"] is None
        assert set(outputs) == {
            name
            for each in model.heads
            for name in ([each.head.name] if each.head.kind == "classification" else model.column_names[each.columns])
        }
    for each in outputs.values():
        bins = each["bins"] if "bins" in each else list(each["shares"].values())
        assert sum(share["then"] for share in bins) == pytest.approx(1)
        assert sum(share["now"] for share in bins) == pytest.approx(1)
        assert each["rows"] == 400
        assert 0 <= each["psi"] < each["limit"]
    TypeAdapter(native_types.drift(model.manifest)).validate_python(drift, strict=True)


def test_each_output_is_described_by_its_kind(tmp_path: Path) -> None:
    """A target by bins and medians, a label of a multi-label output by yes and no, a classification by its labels."""
    outputs = drift_after(serve(tmp_path, MIXED), random_rows())["outputs"]
    assert list(outputs) == ["price", "kind", "tags.warm", "tags.wet", "sold"]
    numbers = {"shifted", "psi", "limit", "rows"}
    assert set(outputs["price"]) == numbers | {"says", "median", "bins"}
    assert [set(outputs[name]["shares"]) for name in ("kind", "tags.warm", "tags.wet", "sold")] == [
        {"flat", "house", "land"},
        {"yes", "no"},
        {"yes", "no"},
        {"yes", "no"},
    ]
    assert set(outputs["tags.wet"]) == numbers | {"shares"}
    price = outputs["price"]
    assert (price["bins"][0]["above"], price["bins"][-1]["upto"]) == (None, None)
    assert price["median"]["then"] in [each["upto"] for each in price["bins"]]


@ALL_HEADS
def test_few_rows_give_no_verdict(tmp_path: Path, heads: Sequence[Head]) -> None:
    """Before there is any row, nothing is known of now."""
    service = serve(tmp_path, heads)
    drift = client_of(service).get("/drift").get_json()
    assert drift["says"] == "too few rows for a verdict: 0 of 100"
    for each in drift.get("outputs", {}).values():
        assert each.get("median", {"now": None})["now"] is None
        assert {share["now"] for share in each.get("bins", list(each.get("shares", {}).values()))} == {None}
    TypeAdapter(native_types.drift(service.registry.current.model.manifest)).validate_python(drift, strict=True)


def rows_with(service: Service, column: str, *, above: float) -> Array:
    """Rows like those of the sample, of which the model predicts a higher number in a column."""
    model, pool = service.registry.current.model, random_rows(5_000)
    return pool[model.outputs(pool)[:, model.column_names.index(column)] > above][:400]


def test_a_target_that_shifted_is_reported(tmp_path: Path) -> None:
    """With its unit and medians, in the response and in the metrics."""
    service = serve(tmp_path, REGRESSION)
    quantiles = service.registry.current.model.manifest.require_reference().targets["price"]
    drift = drift_after(service, rows_with(service, "price", above=quantiles[4]))
    price = drift["outputs"]["price"]
    assert drift["alarm"]
    assert price["shifted"]
    assert price["median"]["now"]["above"] >= quantiles[4]
    assert price["says"].startswith("predicted price is higher: its median was ")
    assert " USD in training and is now " in price["says"]
    assert price["says"].endswith(" USD")
    assert price["says"] in drift["says"]
    assert [each["now"] for each in price["bins"][:4]] == [0] * 4
    metrics = drift_metrics(service)
    assert metrics["psi_outputs"] == pytest.approx({name: each["psi"] for name, each in drift["outputs"].items()})
    assert "psi_labels" not in metrics
    assert metrics["alarm"] == {"": 1}


def test_a_label_that_shifted_is_reported(tmp_path: Path) -> None:
    """Of a multi-label output: the share of the rows that it is predicted for."""
    service = serve(tmp_path, MULTI_LABEL)
    then = service.registry.current.model.manifest.require_reference().labels["wet"]
    assert 0.2 < then < 0.8
    drift = drift_after(service, rows_with(service, "wet", above=0.5))
    wet = drift["outputs"]["wet"]
    assert wet["shifted"]
    assert wet["shares"]["yes"] == {"then": pytest.approx(then, abs=0.01), "now": 1}
    assert f"wet is predicted for 100% of the rows, compared with {then:.0%} of the training rows" in drift["says"]


def test_a_classification_among_several_outputs_is_reported_with_its_name(tmp_path: Path) -> None:
    """By its most probable label."""
    service = serve(tmp_path, MIXED)
    model, pool = service.registry.current.model, random_rows(5_000)
    drift = drift_after(service, pool[model.outputs(pool)[:, 1:4].argmax(axis=1) == 2][:400])
    kind = drift["outputs"]["kind"]
    assert (kind["shifted"], kind["shares"]["land"]["now"], kind["shares"]["flat"]["now"]) == (True, 1, 0)
    then = model.manifest.require_reference().labels["kind.land"]
    assert f"kind.land is predicted for 100% of the rows, compared with {then:.0%}" in drift["says"]


def test_a_label_is_counted_by_its_threshold(tmp_path: Path) -> None:
    """Of a binary classification, and of a multi-label output."""
    service = serve(tmp_path, MIXED)
    model, rows = service.registry.current.model, random_rows()
    drift, outputs = drift_after(service, rows), model.outputs(rows)
    for name, column, threshold in (("sold", "sold.yes", 0.2), ("tags.warm", "tags.warm", 0.6)):
        share = float((outputs[:, model.column_names.index(column)] > threshold).mean())
        assert 0.1 < share < 0.9
        assert drift["outputs"][name]["shares"]["yes"]["now"] == pytest.approx(share)


def test_the_summary_names_the_outputs_that_shifted_most(tmp_path: Path) -> None:
    """Three of them, and how many others."""
    service = serve(tmp_path, MIXED)
    drift = drift_after(service, np.full((400, 3), 2, np.float32))
    shifted = [name for name, each in drift["outputs"].items() if each["shifted"]]
    assert len(shifted) == 5
    assert drift["says"].endswith("; 2 more outputs have shifted")


@pytest.mark.parametrize("heads", [LOGITS, REGRESSION, MIXED], ids=["logits", "regression", "mixed"])
def test_without_a_sample_there_is_nothing_to_compare(tmp_path: Path, heads: Sequence[Head]) -> None:
    """The verdict says so; no row is counted, and there is no metric that looks like all is well."""
    service = serve(tmp_path, heads, sample=False)
    drift = drift_after(service, random_rows())
    client_of(service).post("/predict", json={"features": [1e300, 0, 0]})
    assert (drift["verdict"], drift["says"], drift["alarm"], drift["rows"]) == ("unknown", NO_SAMPLE, False, 0)
    assert (drift["features"], drift["labels"], drift["outputs"], drift["since"]) == ({}, None, {}, None)
    assert not any(drift_metrics(service).values())
    TypeAdapter(native_types.drift(service.registry.current.model.manifest)).validate_python(drift, strict=True)


def test_without_a_sample_nothing_is_kept(tmp_path: Path) -> None:
    """Neither bins nor windows, so that it costs nothing."""
    publish(tmp_path, REGRESSION, sample=False)
    service = serve(tmp_path, REGRESSION, sample=False)
    model = service.registry.current.model
    drift_after(service, random_rows())
    assert not any(isinstance(each, Bins) for each in model.derived.values())
    with pytest.raises(ValueError, match="without a sample"):
        Bins(model.manifest)


def test_a_version_with_a_sample_follows_one_without(tmp_path: Path) -> None:
    """Its rows are counted, in windows that were made for the other."""
    service = serve(tmp_path, MIXED, sample=False)
    assert drift_after(service, random_rows())["verdict"] == "unknown"
    publish(tmp_path, MIXED)
    service.registry.refresh()
    assert drift_after(service, random_rows())["verdict"] == "alike"
    assert drift_metrics(service)["rows"] == {"": 400}


@given(
    arrays.arrays(np.float32, (7, 8), elements=some.floats(-2, 2, width=32) | some.sampled_from([0.2, 0.5, 0.6])),
    some.data(),
)
def test_a_row_falls_in_the_cell_of_what_is_predicted(
    manifest: Manifest, outputs: Array, data: some.DataObject
) -> None:
    """By edges for targets, by thresholds for labels, also at the very edge; each cell belongs to one output."""
    edges = manifest.require_reference().targets["price"]
    outputs[0, 0] = np.float32(data.draw(some.sampled_from(edges[1:-1])))
    bins = Bins(manifest)
    cells = bins.bin_predicted(np.zeros((7, 3), np.float32), np.zeros(7, np.intp), outputs)
    for row, found in zip(outputs.tolist(), cells[:, 3:].tolist(), strict=True):
        price, *kind, warm, wet, _, sold = row
        expected = {
            "price": sum(price > np.float32(edge) for edge in edges[1:-1]),
            "kind": kind.index(max(kind)),
            "tags.warm": int(warm > np.float32(0.6)),
            "tags.wet": int(wet > np.float32(0.6)),
            "sold": int(sold > np.float32(0.2)),
        }
        assert dict(zip(bins.outputs, found, strict=True)) == {
            name: bins.outputs[name].cells.start + cell for name, cell in expected.items()
        }
    variables = [*bins.features.values(), *bins.outputs.values()]
    owners = [cell for variable in variables for cell in range(variable.cells.start, variable.cells.stop)]
    assert len(owners) == len(set(owners))
    assert max(owners) < count_cells(manifest) - 1


@OTHER_HEADS
def test_chance_alone_raises_no_alarm(tmp_path: Path, heads: Sequence[Head]) -> None:
    """At most one in a thousand windows of rows like the sample's looks shifted."""
    published = publish(tmp_path, heads)
    bins, model = Bins(published.manifest), Model.open(published.folder, "litert")
    pool = random_rows(50_000)
    cells = bins.bin_predicted(pool, np.zeros(len(pool), np.intp), model.outputs(pool))
    variables = [*bins.features.values(), *bins.outputs.values()]
    limits = [shift_limit(bins, variable, WINDOW_ROWS, 0.2) for variable in variables]
    rng, alarms = np.random.default_rng(20_11), 0
    for _ in range(WINDOWS):
        drawn = cells[rng.integers(len(cells), size=WINDOW_ROWS)]
        counts = np.bincount(drawn.ravel(), minlength=count_cells(published.manifest))
        alarms += any(
            stability_index(variable.training_shares, counts[variable.cells]) >= limit
            for variable, limit in zip(variables, limits, strict=True)
        )
    assert alarms <= WINDOWS / 1_000


def test_quantiles_that_are_one_float32_make_no_empty_bin(tmp_path: Path) -> None:
    """Rows and outputs are float32: no value can lie between two such quantiles."""
    manifest = publish(tmp_path, REGRESSION).manifest
    reference = manifest.require_reference()
    close = (0.0, 1.0, 1.0 + 1e-12, 2.0, 3.0, 4.0, 5.0)
    targets, features = reference.targets | {"price": close}, reference.features | {"f1": close}
    changed = reference.model_copy(update={"targets": targets, "features": features, "shares": {}})
    bins = Bins(manifest.model_copy(update={"reference": changed}))
    assert bins.outputs["price"].edges.tolist() == bins.features["f1"].edges.tolist() == [2.0, 3.0, 4.0]
    assert bins.outputs["price"].training_shares[0] == pytest.approx(0.5, abs=0.01)
    shares = dict.fromkeys(manifest.feature_names, (0.0, 0.2, 0.3, 0.5, 0.75, 0.9, 1.0))
    bins = Bins(manifest.model_copy(update={"reference": changed.model_copy(update={"shares": shares})}))
    first = bins.features["f1"]
    assert first.edges.tolist() == pytest.approx([1.0, 1.0, 2.0, 3.0, 4.0])
    assert np.array(first.edges, np.float32).tolist() == sorted(set(np.array(first.edges, np.float32).tolist()))
    assert first.training_shares[:2] == pytest.approx([0.0, 0.3], abs=0.01)
