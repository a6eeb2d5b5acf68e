"""``POST /explain`` for models with categories and missing values: raw values, their columns, and alternatives."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from support import mixed_bundles
from support.gunicorn_server import serving
from support.waiting import await_true

from models import bundle
from models.bundle import MODEL_KERAS, MODEL_LITERT, WEIGHTS, Bundle, BundleError
from models.encoding import NO_COLUMN, NumberEncoder, OneHotEncoder
from models.feature import Feature
from service.app import create_app
from service.http.errors import NotExplainableError
from service.inference.model import Model
from service.inference.sandbox import require_sound
from service.protocols.sweep_documents import MAX_CATEGORIES
from service.settings import Settings

FEATURES = mixed_bundles.FEATURES
NAMES = [feature.name for feature in FEATURES]
ROWS = mixed_bundles.raw_rows(12, 4)
POSITIONS = {name: index for index, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return mixed_bundles.publish(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def client(published: Bundle) -> FlaskClient:
    return client_of(published)


def client_of(published: Bundle) -> FlaskClient:
    return create_app(Settings(model_store=published.folder.parent.parent, model_name="mixed")).test_client()


def explain(client: FlaskClient, row: Any) -> Any:
    response = client.post("/explain", json={"features": list(row)})
    assert response.status_code == 200, response.data
    assert b"NaN" not in response.data
    return json.loads(response.data)


def predict(client: FlaskClient, rows: Any) -> Any:
    response = client.post("/predict", json={"instances": rows})
    assert response.status_code == 200, response.data
    return json.loads(response.data)["predictions"]


def replaced(row: Any, name: str, value: Any) -> list[Any]:
    return [value if index == POSITIONS[name] else each for index, each in enumerate(row)]


@pytest.mark.parametrize("row", ROWS[:4])
def test_responses_are_what_the_schema_says(client: FlaskClient, row: Any) -> None:
    """And the prediction is that of `/predict`; the same row gets the same bytes."""
    schemas: Any = client.get("/openapi.json").json
    whole = {"$ref": "#/components/schemas/Explanation", "components": schemas["components"]}
    response = explain(client, row)
    assert [error.message for error in Draft202012Validator(whole).iter_errors(response)] == []
    assert list(response) == ["prediction", "encoded", "layers", "attributions", "sweeps"]
    assert response["prediction"] == client.post("/predict", json={"features": list(row)}).json
    again = [client.post("/explain", json={"features": list(each)}).data for each in (row, ROWS[5], row)]
    assert again[0] == again[2]


@pytest.mark.parametrize("row", ROWS[:6])
def test_raw_values_can_be_followed_to_nodes(client: FlaskClient, published: Bundle, row: Any) -> None:
    """The columns are the inputs of the first layer, by name."""
    response, manifest = explain(client, row), published.manifest
    encoded = response["encoded"]
    assert [each["feature"] for each in encoded] == NAMES
    columns = {name: value for each in encoded for name, value in each["columns"].items()}
    assert set(columns) == set(manifest.network_inputs)
    nodes = {node["name"]: node["value"] for node in response["layers"][0]["nodes"]}
    assert nodes == columns
    for each, feature, value in zip(encoded, FEATURES, row, strict=True):
        if value is None:
            assert (each["value"], each["read_as"]) == (None, "(missing)")
        elif value == "a new colony":
            assert (each["value"], each["read_as"]) == (None, "(other)")
        elif feature.hashing:
            assert each["read_as"].startswith("(bin ")
        else:
            assert each["value"] == value
            assert type(each["value"]) is type(value)


@pytest.mark.parametrize("row", ROWS)
def test_attributions_sum_up(client: FlaskClient, row: Any) -> None:
    """One value for each feature, not for each column."""
    response = explain(client, row)
    base, values = response["attributions"]["base"], response["attributions"]["values"]
    assert list(values) == NAMES
    for label, probability in response["prediction"]["probabilities"].items():
        assert sum(value[label] for value in values.values()) == pytest.approx(probability - base[label], abs=1e-6)


@pytest.mark.parametrize("row", ROWS[:6])
def test_categories_equal_predictions(client: FlaskClient, row: Any) -> None:
    """Every category, a missing value where that is allowed, and "other"; the row's own value is marked."""
    sweeps = explain(client, row)["sweeps"]
    assert list(sweeps) == NAMES
    for feature in FEATURES:
        if not feature.categories:
            continue
        sweep = sweeps[feature.name]
        expected: list[Any] = [{"value": value} for value in feature.categories]
        expected += [{"other": True}] * feature.allow_other + [{"value": None}] * feature.allow_missing
        given = [{key: entry[key] for key in ("value", "other") if key in entry} for entry in sweep["categories"]]
        assert json.dumps(given) == json.dumps(expected)
        assert sweep["omitted"] == 0
        values = [entry.get("value", "none of them") for entry in sweep["categories"]]
        for entry, predicted in zip(
            sweep["categories"], predict(client, [replaced(row, feature.name, each) for each in values]), strict=True
        ):
            assert (entry["label"], entry["probabilities"]) == (predicted["label"], predicted["probabilities"])
        (own,) = [entry for entry in sweep["categories"] if entry["own"]]
        value = row[POSITIONS[feature.name]]
        assert own == {"other": True, **own} if value == "a new colony" else own["value"] == value
    assert sweeps["observer"]["categories"] is None
    assert "hashed" in sweeps["observer"]["categories_reason"]


@pytest.mark.parametrize("row", [*ROWS[:6], replaced(ROWS[0], "body_mass", None)])
def test_numbers_equal_predictions(client: FlaskClient, row: Any) -> None:
    """Of a missing number the curve is shown, but no changes; of one that may be missing, what is predicted without."""
    sweeps = explain(client, row)["sweeps"]
    for name in ("bill_length", "body_mass", "year"):
        sweep, own = sweeps[name], row[POSITIONS[name]]
        predicted = predict(client, [replaced(row, name, value) for value in sweep["values"]])
        assert sweep["labels"] == [each["label"] for each in predicted]
        assert sweep["values"] == sorted(set(sweep["values"]))
        if own is None:
            assert sweep["changes"] == {"below": None, "above": None}
        else:
            assert own in sweep["values"]
        assert ("missing" in sweep) == (name == "body_mass")
    (predicted,) = predict(client, [replaced(row, "body_mass", None)])
    missing = sweeps["body_mass"]["missing"]
    assert missing["own"] == (row[POSITIONS["body_mass"]] is None)
    assert (missing["label"], missing["probabilities"]) == (predicted["label"], predicted["probabilities"])


def test_integers_stay_whole(client: FlaskClient) -> None:
    """All of a few values are reported, and labels change at whole values: the one before still has the row's label."""
    found = 0
    for row in mixed_bundles.raw_rows(40, 8):
        sweep = explain(client, row)["sweeps"]["year"]
        assert sweep["values"] == list(range(2000, 2031))
        assert all(type(value) is int for value in sweep["values"])
        own = sweep["labels"][sweep["values"].index(row[POSITIONS["year"]])]
        for change, step in ((sweep["changes"]["below"], 1), (sweep["changes"]["above"], -1)):
            if change:
                found += 1
                assert type(change["at"]) is int
                labels = dict(zip(sweep["values"], sweep["labels"], strict=True))
                assert (labels[change["at"]], labels[change["at"] + step]) == (change["label"], own)
    assert found


def test_changes_of_wide_integers_are_exact(tmp_path: Path) -> None:
    """To the whole value, between points that are far apart."""
    features = (Feature(name="count", kind="integer", minimum=0, maximum=1_000_000),)
    rng = np.random.default_rng(0)
    rows = [(int(value),) for value in rng.integers(0, 1_000_000, 100)]
    published = mixed_bundles.publish(
        tmp_path, features=features, encoders=(NumberEncoder(feature="count"),), rows=rows
    )
    client = client_of(published)
    changes = [
        (row, change)
        for row in rows[:20]
        for change in explain(client, row)["sweeps"]["count"]["changes"].values()
        if change
    ]
    assert changes
    for (own,), change in changes:
        nearer = change["at"] + (1 if change["at"] < own else -1)
        at, before, of_row = (each["label"] for each in predict(client, [[change["at"]], [nearer], [own]]))
        assert (at, before) == (change["label"], of_row)


def wide(tmp_path: Path, count: int) -> Bundle:
    """A model of a category with so many values, the last of which are the most frequent."""
    cities = tuple(f"city {each}" for each in range(count))
    city = Feature(
        name="city",
        kind="category",
        minimum=None,
        maximum=None,
        categories=cities,
        allow_other=True,
        allow_missing=True,
    )
    columns = (*range(count), NO_COLUMN, NO_COLUMN)
    encoder = OneHotEncoder(feature="city", width=count + 1, columns=columns)  # of which one column is never used
    rows = [(cities[-1 - each % 60],) for each in range(300)]
    return mixed_bundles.publish(tmp_path, features=(city,), encoders=(encoder,), rows=rows)


def test_of_large_vocabularies_the_most_frequent_categories_are_tried(tmp_path: Path) -> None:
    """And the row's own, a missing value and "other"."""
    client = client_of(wide(tmp_path, 200))
    sweep = explain(client, ["city 3"])["sweeps"]["city"]
    values = [entry.get("value", "other") for entry in sweep["categories"]]
    frequent = [f"city {each}" for each in range(140, 200)]
    assert set(values[1:-2]) <= set(frequent)
    assert len(values) == 1 + MAX_CATEGORIES + 2
    assert (values[0], values[-2:], sweep["omitted"]) == ("city 3", ["other", None], 200 - MAX_CATEGORIES - 1)
    assert [entry["value"] for entry in sweep["categories"] if entry["own"]] == ["city 3"]
    for row in (["nowhere"], [None]):
        (own,) = [each for each in explain(client, row)["sweeps"]["city"]["categories"] if each["own"]]
        assert own.get("other", False) == (row == ["nowhere"])


def test_columns_have_names_of_their_own(tmp_path: Path) -> None:
    """Also those that no value uses."""
    city = Feature(name="city", kind="category", minimum=None, maximum=None, categories=("a", "b"))
    encoder = OneHotEncoder(feature="city", width=4, columns=(1, 2))
    published = mixed_bundles.publish(tmp_path, features=(city,), encoders=(encoder,), rows=[("a",), ("b",)] * 20)
    assert published.manifest.network_inputs == ("city: (none)", "city: a", "city: b", "city: (none) (2)")
    assert len(explain(client_of(published), ["a"])["encoded"][0]["columns"]) == 4


def many_features(tmp_path: Path) -> Bundle:
    """The model with further numbers that may be missing, so many that its attributions are estimated."""
    more = tuple(Feature(name=f"x{each}", minimum=-9, maximum=9, allow_missing=True) for each in range(6))
    encoders = tuple(NumberEncoder(feature=each.name, fill=0.5, indicator=True) for each in more)
    rng = np.random.default_rng(2)
    rows = [
        (*row, *(None if rng.random() < 0.3 else float(rng.normal()) for _ in more))
        for row in mixed_bundles.raw_rows(300)
    ]
    return mixed_bundles.publish(
        tmp_path, features=(*FEATURES, *more), encoders=(*mixed_bundles.ENCODERS, *encoders), rows=rows
    )


def test_attributions_of_many_features_are_estimated(tmp_path: Path) -> None:
    """They sum up, with missing values in the row and in the background."""
    published = many_features(tmp_path)
    client = client_of(published)
    for golden in published.manifest.golden[:4]:
        response = explain(client, golden.features)
        attributions = response["attributions"]
        assert attributions["evaluations"] > 0
        for label, probability in response["prediction"]["probabilities"].items():
            added = sum(value[label] for value in attributions["values"].values())
            assert added == pytest.approx(probability - attributions["base"][label], abs=1e-6)


def test_server_explains_and_compares(published: Bundle) -> None:
    """Over a socket, as in process; `/v1` has the same explanations, and a missing value is counted as such."""
    with serving(MENAGERIE_MODEL_STORE=str(published.folder.parent.parent), MENAGERIE_MODEL_NAME="mixed") as server:
        for row in ROWS[:3]:
            response = requests.post(f"{server.url}/explain", json={"features": row}, timeout=10)
            assert response.json() == explain(client_of(published), row)
        body = {"instances": [list(row) for row in ROWS[:2]]}
        explained = requests.post(f"{server.url}/v1/models/mixed:explain", json=body, timeout=10).json()
        assert explained["explanations"][0] == explain(client_of(published), ROWS[0])
        without = [replaced(row, "sex", None) for row in ROWS]
        assert requests.post(f"{server.url}/predict", json={"instances": without}, timeout=10).status_code == 200

        def is_missing() -> bool:
            drift = requests.get(f"{server.url}/drift", timeout=10)
            assert "NaN" not in drift.text
            return bool(drift.json()["features"]["sex"]["missing"]["now"] == 1)

        await_true(is_missing)  # the worker that has predicted counts a little later


def with_other_weights(tmp_path: Path, *, trained: bool) -> Bundle:
    """A model whose weights differ where no golden row shows it: for a category that none of them has."""
    rows = [each for each in mixed_bundles.raw_rows(400) if each[3] != "Torgersen"][:32] + mixed_bundles.raw_rows(400)
    source = mixed_bundles.publish(tmp_path / "source", rows=rows)
    weights = json.loads((source.folder / WEIGHTS).read_text())
    torgersen = source.manifest.network_inputs.index("island: Torgersen")
    for unit in weights["layers"]["hidden_1"]["weights"]:
        unit[torgersen] += 30
    with bundle.draft(tmp_path / "mixed") as folder:
        shutil.copy(source.folder / MODEL_LITERT, folder)
        (folder / WEIGHTS).write_text(json.dumps(weights))
        if trained:
            (folder / MODEL_KERAS).write_text("not read by LiteRT")
        return Bundle.read(bundle.publish(folder, source.manifest.model_copy(update={"files": {}})))


def test_a_trained_model_with_other_weights_is_refused(tmp_path: Path) -> None:
    """As one of format 1 is."""
    published = with_other_weights(tmp_path, trained=True)
    with pytest.raises(BundleError, match=r"layer hidden_1 .* does not match its weights: train the model again"):
        require_sound(published, "litert")


def test_an_adopted_model_with_other_weights_is_served_without_layers(tmp_path: Path) -> None:
    """As one of format 2 is."""
    published = with_other_weights(tmp_path, trained=False)
    require_sound(published, "litert")
    with pytest.raises(NotExplainableError, match="for other rows: adopt the model again"):
        assert Model.open(published.folder, "litert").layer_weights
    response = explain(client_of(published), ROWS[0])
    assert response["layers"] is None
    assert len(response["encoded"]) == len(NAMES)
