"""Models of every kind of head through the native protocol: documents, description, errors, and their schemas."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.headed_bundles import HEADS
from support.headed_models import INPUTS, NAME, ROWS, Headed

from service.app.flask_app import create_app
from service.settings import Settings


@pytest.fixture(scope="module", params=[(kind, sample) for kind in HEADS for sample in (True, False)], ids=str)
def headed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Headed:
    kind, sample = request.param
    return Headed.publish(tmp_path_factory.mktemp("store"), kind, sample=sample)


def client_of(headed: Headed, **settings: Any) -> FlaskClient:
    return create_app(Settings(model_store=headed.store, model_name=NAME, **settings)).test_client()


@pytest.fixture(scope="module")
def client(headed: Headed) -> FlaskClient:
    return client_of(headed)


@pytest.fixture(scope="module")
def document(client: FlaskClient) -> Any:
    return client.get("/openapi.json").json


def post(client: FlaskClient, document: Any, status: int = 200) -> Any:
    """The response of `/predict`."""
    response = client.post("/predict", json=document)
    assert response.status_code == status, response.data
    return response.json


def require_schema(document: Any, schema: str, value: Any) -> None:
    """Assert that a value is what one of the document's schemas says."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    errors = [error.message for error in Draft202012Validator(whole).iter_errors(value)]
    assert errors == [], (schema, value)


def test_one_row_and_several_have_the_documents_of_the_heads(
    headed: Headed, client: FlaskClient, document: Any
) -> None:
    """The same for a row by name and as a list, alone and among others, as the schemas say."""
    model = {"name": NAME, "version": "1"}
    expected = headed.documents(ROWS)
    names = headed.bundle.manifest.feature_names
    for row, document_of_row in zip(ROWS, expected, strict=True):
        for features in (row, dict(zip(names, row, strict=True))):
            single = post(client, {"features": features})
            assert single == document_of_row | {"model": model}
            assert list(single) == [*document_of_row, "model"]
            require_schema(document, "Prediction", single)
    several = post(client, {"instances": ROWS})
    assert several == {"predictions": expected, "model": model}
    require_schema(document, "Predictions", several)


def test_warnings_are_in_the_documents(headed: Headed, client: FlaskClient, document: Any) -> None:
    """Where the training ranges are known."""
    row = [3.0 if headed.bundle.manifest.reference else 300.0, -3.0, 0.0]
    single = post(client, {"features": row})
    assert single["warnings"] == [] if not headed.bundle.manifest.reference else len(single["warnings"]) == 2
    require_schema(document, "Prediction", single)
    several = post(client, {"instances": [row, ROWS[0], row]})["predictions"]
    assert [each["warnings"] for each in several] == [single["warnings"], [], single["warnings"]]


def test_description_has_inputs_outputs_and_labels(headed: Headed, client: FlaskClient, document: Any) -> None:
    """`labels` only for a single classification; without a sample, it says why there is no reference."""
    manifest = headed.bundle.manifest
    description: Any = client.get("/model").json
    require_schema(document, "ModelDescription", description)
    assert description["inputs"] == [{"name": "measurements", "width": 3}]
    assert [output["name"] for output in description["outputs"]] == [head.name for head in manifest.heads]
    assert description.get("labels") == (list(manifest.class_labels) or None)
    assert (description["reference"] is None) == ("reference_reason" in description) == (manifest.reference is None)
    bounds = {(feature["minimum"], feature["maximum"]) for feature in description["features"]}
    assert bounds == ({(-3, 3)} if manifest.reference else {(None, None)})
    if not manifest.reference:
        assert "without a sample" in description["reference_reason"]


def test_document_is_valid(document: Any) -> None:
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_shipped_model_has_inputs_and_outputs() -> None:
    """Derived, as format 1 has none of its own."""
    description: Any = create_app(Settings()).test_client().get("/model").json
    assert description["inputs"] == [{"name": "features", "width": 8}]
    (output,) = description["outputs"]
    assert (output["name"], output["kind"]) == ("probabilities", "classification")
    assert output["labels"] == description["labels"]


@pytest.mark.parametrize("name", ["%", "100 % b", 'a"b', "größe", "a,b", "{x}", "%%b"])
@pytest.mark.parametrize("kind", ["regression", "multi_label", "several"])
def test_names_of_any_kind_are_written_as_they_are(tmp_path: Path, kind: str, name: str) -> None:
    """As labels, targets, units and outputs."""
    headed = Headed.publish(tmp_path, kind)
    path = headed.bundle.folder / "manifest.json"
    document = json.loads(path.read_text())
    for output in document["outputs"]:
        output["name"] = f"{name} {output['name']}"
        output["labels"] = [f"{name} {label}" for label in output["labels"]]
        output["targets"] = [{"name": f"{name} {each['name']}", "unit": name} for each in output["targets"]]
    document |= {"reference": None, "background": []}
    path.write_text(json.dumps(document))
    response = post(client_of(headed), {"instances": ROWS})
    assert json.dumps(response, ensure_ascii=False).count(json.dumps(name, ensure_ascii=False)[1:-1]) >= 6


@pytest.mark.parametrize("value", [3.4028234663852886e38, 3.4028235e38, -3.4028235e38, 1e-300, 0])
def test_without_bounds_any_float32_is_valid(tmp_path: Path, value: float) -> None:
    """Also the largest, as its shortest decimals, which are slightly more."""
    headed = Headed.publish(tmp_path, "softmax", sample=False)
    client = client_of(headed)
    for document in ({"features": [value, 0, 0]}, {"instances": [{"f1": 0, "f2": value, "f3": 0}] * 2}):
        response: Any = client.post("/predict", json=document)
        faults = [] if response.status_code == 200 else response.json["errors"]
        assert [fault["message"] for fault in faults if "float32" in fault["message"]] == []


@pytest.mark.parametrize(
    ("features", "code", "message"),
    [
        ([1e39, 0, 0], "not_finite", "f1 must be a number that a float32 can hold, -3.4028235e+38 to 3.4028235e+38 m"),
        ([-3.4028236e38, 0, 0], "not_finite", "f1 must be a number that a float32 can hold"),
        ([10**300, 0, 0], "not_finite", "f1 must be a number that a float32 can hold"),
        (["x", 0, 0], "type", "f1 must be a number, not a string"),
        ([None, 0, 0], "type", "f1 must be a number, not null"),
        ({"f1": 0, "f2": 0}, "missing", "f3 is missing: it must be a number"),
        ([0, 0], "length", "features must have 3 numbers, not 2"),
    ],
)
def test_faults_of_values_without_bounds_name_none(tmp_path: Path, features: Any, code: str, message: str) -> None:
    client = client_of(Headed.publish(tmp_path, "regression", sample=False))
    (fault,) = post(client, {"features": features}, 422)["errors"]
    assert fault["code"] == code
    assert fault["message"].startswith(message)


def test_too_large_numbers_are_refused_in_every_form(tmp_path: Path) -> None:
    """1e999 in JSON; 600 rows at once; too many rows."""
    client = client_of(Headed.publish(tmp_path, "regression", sample=False), max_rows=1000)
    body = b'{"features": [1e999, 0, 0]}'
    response: Any = client.post("/predict", data=body, content_type="application/json").json
    assert response["errors"][0]["message"] == "f1 must be a finite number"
    response = post(client, {"instances": [[0, 0, 0]] * 599 + [[0, 1e39, 0]]}, 422)
    assert response["errors"][0]["field"] == "instances[599][1]"
    response = post(client, {"instances": [[0, 0, 0]] * 1001}, 422)
    assert response["errors"][0]["code"] == "count"


@pytest.mark.parametrize("rows", [1, 2])
def test_an_overflow_without_bounds_is_the_clients_fault(tmp_path: Path, rows: int) -> None:
    """No value is out of bounds where there are none, but the network has no answer."""
    client = client_of(Headed.publish(tmp_path, "regression", sample=False))
    huge = [3e38, -3e38, 3e38]
    assert np.isfinite(np.array(huge, np.float32)).all()
    document = {"features": huge} if rows == 1 else {"instances": [[0, 0, 0], huge]}
    assert "the network's output is not finite" in post(client, document, 422)["detail"]


@pytest.mark.parametrize("inputs", INPUTS)
def test_native_rows_do_not_know_inputs(tmp_path: Path, inputs: str) -> None:
    """They have features, whatever the inputs are."""
    headed = Headed.publish(tmp_path, "regression", inputs)
    assert post(client_of(headed), {"instances": ROWS})["predictions"] == headed.documents(ROWS)
