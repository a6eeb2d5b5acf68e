"""A table of every kind of column: trained, compared on raw values in Keras and behind the encoders, and served."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from support.gunicorn_server import Server, serving
from support.published_bundles import newest_version

from models import train as training
from models.bundle import MODEL_KERAS, MODEL_LITERT, Bundle
from models.feature import Feature, to_codes
from models.options import parse_options
from models.raw_values import find_unknown
from service.inference.model import Model

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras 3.15 under NumPy 2.4
]
ROWS = 160
TOLERANCE = 1e-5
# Names that Keras' layers have as well, or that it does not allow.
SCHEMA = """
[features.network]
kind = "integer"
[features."a/b"]
default = 3.5
[features.where]
kind = "category"
missing = true
[features."Größe (cm)"]
other = true
[features.rating]
kind = "category"
other = true
[features.color]
default = "red"
"""


def _write_table(path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(ROWS):
        town, size = int(rng.integers(25)), str(rng.choice(["S", "M", "L", "XL"], p=[0.4, 0.37, 0.2, 0.03]))
        count, x = int(rng.integers(9)), round(float(rng.normal()), 2)
        is_open = str(rng.choice(["True", "False", ""], p=[0.5, 0.4, 0.1]))
        label = ("low", "middle", "high")[int(x * (1 if size == "S" else -1) + 0.1 * town > 0) + (is_open == "True")]
        gap = "" if rng.random() < 0.2 else rng.integers(90) / 10
        cells = [count, gap, is_open, size, int(rng.choice([1, 2, 3])), x if rng.random() < 0.8 else "NA"]
        lines.append(",".join(map(str, [*cells, f"town {town}", rng.choice(["", "red", "blue"]), label])))
    path.write_text("\n".join(["network,a/b,where,Größe (cm),rating,preprocessing,town,color,kind", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    pytest.importorskip("models.network")
    folder = tmp_path_factory.mktemp("mixed")
    table, schema = _write_table(folder / "shop.csv"), folder / "schema.toml"
    schema.write_text(SCHEMA)
    arguments = ["--data", str(table), "--label", "kind", "--schema", str(schema), "--out", str(folder / "store")]
    training.train(parse_options([*arguments, "--folds", "0"]))
    return Bundle.read(newest_version(folder / "store" / "shop"))


def _draw(feature: Feature, rng: np.random.Generator) -> Any:
    """A raw value: a category, an unknown one, a missing one or a number, often one of the bounds."""
    choices: list[Any] = [None] * (not feature.is_required)
    if feature.is_category:
        choices += [*feature.categories, *[find_unknown(feature)] * feature.allow_other]
    elif feature.kind == "integer":
        choices += [
            int(feature.lowest),
            int(feature.highest),
            int(rng.integers(int(feature.lowest), int(feature.highest))),
        ]
    else:
        choices += [feature.lowest, feature.highest, float(rng.uniform(feature.lowest, feature.highest))]
    return choices[rng.integers(len(choices))]


def _draw_rows(features: tuple[Feature, ...], count: int) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(1)
    return [tuple(_draw(feature, rng) for feature in features) for _ in range(count)]


def test_the_manifest_has_features_and_encoders(published: Bundle) -> None:
    """Format 3, an embedding for many categories, and golden rows with missing and unknown values."""
    manifest = published.manifest
    features = {feature.name: feature for feature in manifest.features}
    encoders = {encoder.feature: encoder.kind for encoder in manifest.encoders}
    assert (manifest.format, published.is_trained, manifest.class_labels) == (3, True, ("high", "low", "middle"))
    assert (encoders["town"], encoders["where"], encoders["a/b"]) == ("table", "one_hot", "number")
    assert (features["network"].kind, features["a/b"].default, features["where"].categories) == (
        "integer",
        3.5,
        (False, True),
    )
    assert features["Größe (cm)"].allow_other
    assert features["preprocessing"].allow_missing
    for position, feature in enumerate(manifest.features):
        values = {golden.features[position] for golden in manifest.golden}
        assert not feature.allow_missing or None in values
        assert not feature.allow_other or find_unknown(feature) in values
    reference = manifest.require_reference()
    assert set(reference.categories) == {"", *manifest.class_labels}
    assert sum(reference.categories[""]["town"]) == pytest.approx(1)
    assert 0 < reference.missing["preprocessing"] < 0.5


def test_keras_on_raw_values_agrees_with_litert_behind_the_encoders(published: Bundle) -> None:
    """To 1e-5, with unknown words, missing values and bounds; both engines of the service do, too."""
    from models import network, packaging, preprocessing

    manifest = published.manifest
    rows = _draw_rows(manifest.features, 300)
    codes = to_codes(manifest.features, rows)
    whole = network.load(published.folder / MODEL_KERAS)
    tensors = preprocessing.to_tensors(manifest.features, rows)
    assert set(tensors) == {*manifest.feature_names, "network (2)", "preprocessing (2)", "a_b"} - {
        *("network", "preprocessing", "a/b")
    }
    by_keras = np.asarray(whole(tensors, training=False))
    outputs = packaging.run_litert(published.read_bytes(MODEL_LITERT), manifest.encode(codes))
    by_litert = outputs[manifest.layers[-1].name]
    assert by_keras == pytest.approx(by_litert, abs=TOLERANCE)
    assert np.array_equal(preprocessing.compute_columns(whole, tensors), manifest.encode(codes))
    for engine in ("litert", "keras"):
        assert Model.open(published.folder, engine).predict(codes).outputs == pytest.approx(by_keras, abs=TOLERANCE)


def test_keras_refuses_an_unknown_category(published: Bundle) -> None:
    """Where "other" is not allowed, as the service does."""
    from models import network, preprocessing

    features = published.manifest.features
    row = dict(zip(published.manifest.feature_names, _draw_rows(features, 1)[0], strict=True)) | {"town": "Atlantis"}
    tensors = preprocessing.to_tensors(features, [tuple(row.values())])
    with pytest.raises(Exception, match="Atlantis"):
        network.load(published.folder / MODEL_KERAS)(tensors)


def test_a_draft_whose_preprocessing_differs_is_refused(published: Bundle) -> None:
    """Training compares both before it publishes."""
    from models import packaging
    from models.bundle import BundleError

    swapped = {"allow_other": True, "categories": ("M", "L", "S")}
    features = tuple(
        feature.model_copy(update=swapped) if feature.name == "Größe (cm)" else feature
        for feature in published.manifest.features
    )
    with pytest.raises(BundleError, match="preprocessing"):
        packaging.verify_exports(published.folder, published.manifest.model_copy(update={"features": features}))


def test_the_report_has_each_category(published: Bundle) -> None:
    """Its share and its recall, also of missing and other values."""
    report = json.loads((published.folder / "report" / "report.json").read_text())
    by_name = {(each["feature"], each["category"]): each for each in report["categories"]}
    assert {("where", "true"), ("where", "(missing)"), ("Größe (cm)", "(other)"), ("town", "town 3")} <= set(by_name)
    assert sum(each["share"] for (name, _), each in by_name.items() if name == "town") == pytest.approx(1)
    assert all(0 <= share <= 1 for each in by_name.values() for share in [each["accuracy"], *each["recall"].values()])
    page = (published.folder / "report" / "index.html").read_text()
    assert "Results by category" in page
    assert "Lowest accuracy by category" in page


@pytest.fixture(scope="module")
def served(published: Bundle) -> Iterator[Server]:
    store = str(published.folder.parent.parent)
    with serving(MENAGERIE_MODEL_STORE=store, MENAGERIE_MODEL_NAME=published.manifest.name) as server:
        yield server


def test_the_bundle_is_served(published: Bundle, served: Server) -> None:
    """With text, null and absent values; it is explained, and drift and metrics know it."""
    names = published.manifest.feature_names
    row = dict(zip(names, published.manifest.golden[0].features, strict=True))
    row |= {"town": "town 3", "where": None, "color": None, "Größe (cm)": "enormous", "preprocessing": None}
    del row["a/b"]
    for path in ("/predict", "/explain"):
        answer = requests.post(served.url + path, json={"features": row}, timeout=30)
        assert answer.status_code == 200, answer.text
    for path in ("/drift", "/metrics", "/model"):
        assert requests.get(served.url + path, timeout=30).status_code == 200
    answer = requests.post(served.url + "/predict", json={"features": row | {"town": "Town 3"}}, timeout=30)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith('did you mean "town 3"?')
