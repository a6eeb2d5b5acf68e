"""GET /openapi.json: it describes every route with the model's names, and is valid."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from support import headed_bundles, mixed_bundles
from support.http_responses import Send

from models.manifest import Manifest
from service.app.flask_app import create_app
from service.app.routes import ROUTES, build_service
from service.inference.engine import load
from service.inference.model import Model
from service.openapi.document import build_document
from service.openapi.model_types import ModelTypes
from service.settings import Settings


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert (response.status_code, response.content_type) == (200, "application/json")
    document: dict[str, Any] = json.loads(response.data)
    return document


def request_examples(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Path with the model's name, title and value of each request example."""
    parameters = document["components"]["parameters"]
    for path, methods in document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {"content": {}})["content"].get("application/json", {})
        for name, example in content.get("examples", {}).items():
            path_parameters = {key: parameters[key]["schema"]["enum"][0] for key in ("model", "version")}
            yield path.format(**path_parameters), name, example["value"]


def test_document_has_every_route(settings: Settings, document: dict[str, Any]) -> None:
    """That the model supports, and no other."""
    routes = {(route.method, route.path) for route in build_service(settings).handlers if "regress" not in route.path}
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert documented == routes


def test_document_is_valid(document: dict[str, Any]) -> None:
    """Against the OpenAPI 3.1 specification."""
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


@pytest.mark.parametrize("folder", ["", "/models", "/team/models"])
def test_server_is_where_the_document_is(document: dict[str, Any], folder: str) -> None:
    """Its URL is relative: a proxy may serve all paths under a prefix. Clients resolve it, or put it before a path."""
    (server,) = document["servers"]
    base = f"http://localhost{folder}"
    assert urljoin(f"{base}/openapi.json", server["url"]).rstrip("/") == base
    assert urljoin(f"{base}/docs", f"{server['url']}/v2/models") == f"{base}/v2/models"


def test_document_is_the_same_through_gunicorn(send: Send, document: dict[str, Any]) -> None:
    assert json.loads(send("GET", "/openapi.json").body) == document


def test_schemas_describe_the_model(document: dict[str, Any], model: Model) -> None:
    """Each feature has its unit, bounds, description and an example, in the schema's order."""
    schemas = document["components"]["schemas"]
    assert schemas["Label"]["enum"] == list(model.labels)
    properties = schemas["Features"]["properties"]
    assert list(properties) == schemas["Features"]["required"] == [feature.name for feature in model.features]
    assert list(properties.values()) == schemas["FeatureList"]["prefixItems"]
    for feature, schema in zip(model.features, properties.values(), strict=True):
        assert (schema["minimum"], schema["maximum"], schema["x-unit"]) == (
            feature.minimum,
            feature.maximum,
            feature.unit,
        )
        assert feature.how in schema["description"]
        assert feature.minimum <= schema["examples"][0] <= feature.maximum


def test_every_request_example_works(document: dict[str, Any], client: FlaskClient) -> None:
    """It gets 200, as Swagger UI sends it."""
    responses = [
        (path, name, client.post(path, json=body).status_code) for path, name, body in request_examples(document)
    ]
    assert {path.split("/")[1] for path, *_ in responses} == {"predict", "explain", "models", "v1", "v2"}
    assert [row for row in responses if row[2] != 200] == []


def test_document_of_another_model_is_valid(model: Model, settings: Settings) -> None:
    """Even with names that are not identifiers, and features without a unit."""
    text = json.dumps(model.manifest.model_dump(mode="json"))
    for name, new in {"body_mass_kg": "Körper masse/kg", "llama": "die Ziege (wild)", "animals": "mine-2.0"}.items():
        text = text.replace(json.dumps(name), json.dumps(new))
    manifest = json.loads(text)
    manifest["features"][1] |= {"unit": "", "how": ""}
    bundle = replace(model.bundle, manifest=Manifest.model_validate_json(json.dumps(manifest)))
    other = Model(bundle, load(settings.engine, model.bundle))
    document = build_document(ModelTypes(other, 3, 3), ROUTES, requires_key=False)
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert "Körper masse/kg" in document["components"]["schemas"]["Features"]["properties"]
    assert "die Ziege (wild)" in document["components"]["schemas"]["Probabilities"]["required"]
    assert "body_mass_kg" not in json.dumps(document["components"]["schemas"]["Features"])


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    """Generated clients have a function for each."""
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


def test_binary_tensors_are_described(document: dict[str, Any]) -> None:
    """With the header that says where the JSON ends."""
    infer = document["paths"]["/v2/models/{model}/infer"]["post"]
    length = "Inference-Header-Content-Length"
    assert {"$ref": f"#/components/parameters/{length}"} in infer["parameters"]
    assert "application/octet-stream" in infer["requestBody"]["content"]
    assert "application/octet-stream" in infer["responses"]["200"]["content"]
    assert length in infer["responses"]["200"]["headers"]


@pytest.mark.parametrize(
    ("path", "media_type", "statuses"),
    [
        ("/predict", "application/problem+json", {"400", "405", "413", "415", "422", "500"}),
        ("/v1/models/{model}:predict", "application/json", {"400", "404", "405", "413", "415", "500"}),
        ("/v2/models/{model}/infer", "application/json", {"400", "404", "405", "413", "415", "500"}),
    ],
)
def test_errors_have_the_media_type_and_statuses_of_the_protocol(
    document: dict[str, Any], path: str, media_type: str, statuses: set[str]
) -> None:
    """The Open Inference Protocol and TensorFlow Serving have neither problem details nor 422."""
    responses = document["paths"][path]["post"]["responses"]
    assert responses.keys() - {"200"} == statuses
    assert {each for status in statuses for each in responses[status]["content"]} == {media_type}
    assert all({"X-Request-ID", "Cache-Control"} <= response["headers"].keys() for response in responses.values())
    assert "Allow" in responses["405"]["headers"]


@pytest.fixture
def two_models(tmp_path: Path) -> FlaskClient:
    """A service whose default model is ``headed``, with ``mixed`` beside it, on a cloud platform."""
    headed_bundles.publish(tmp_path, headed_bundles.MIXED)
    mixed_bundles.publish(tmp_path)
    return create_app(Settings(model_store=tmp_path, models="headed,mixed", platform="sagemaker")).test_client()


@pytest.mark.parametrize("name", ["headed", "mixed"])
def test_each_model_has_a_document_of_its_own(two_models: FlaskClient, name: str) -> None:
    """It is valid, and all its request examples work."""
    document = two_models.get(f"/models/{name}/openapi.json").json
    assert document
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    test_operation_ids_are_unique(document)
    assert document["components"]["parameters"]["model"]["schema"]["enum"] == [name]
    assert f"**{name}**" in document["info"]["description"]
    examples = [(path, body) for path, _, body in request_examples(document) if body is not None]
    assert {f"/models/{name}/predict", f"/v1/models/{name}:predict", f"/v2/models/{name}/infer"} <= {
        path for path, _ in examples
    }
    statuses = {path: two_models.post(path, json=body).status_code for path, body in examples}
    assert {path: status for path, status in statuses.items() if status != 200} == {}


def test_document_of_another_model_has_no_path_without_a_name(two_models: FlaskClient) -> None:
    """Except those that are about no model, or about all."""
    default, other = (two_models.get(f"/models/{name}/openapi.json").json for name in ("headed", "mixed"))
    assert default
    assert other
    left_out = {"/predict", "/explain", "/model", "/drift", "/openapi.json", "/invocations"}
    assert left_out < default["paths"].keys() - other["paths"].keys()
    assert {"/models", "/models/{model}", "/livez", "/metrics", "/v1/models", "/ping"} < other["paths"].keys()
    assert default["components"]["schemas"]["Features"] != other["components"]["schemas"]["Features"]


@pytest.mark.parametrize("folder", ["", "/team/models"])
def test_server_of_a_model_is_two_folders_further_up(two_models: FlaskClient, folder: str) -> None:
    (server,) = two_models.get("/models/mixed/openapi.json").json["servers"]  # type: ignore[index]
    base = f"http://localhost{folder}"
    assert urljoin(f"{base}/models/mixed/openapi.json", server["url"]).rstrip("/") == base
    assert urljoin(f"{base}/models/mixed/openapi.json", f"{server['url']}/v2/models") == f"{base}/v2/models"


def test_document_without_a_name_is_that_of_the_default_model(two_models: FlaskClient, tmp_path: Path) -> None:
    """Without a default model there is none."""
    default, named = (two_models.get(path).json for path in ("/openapi.json", "/models/headed/openapi.json"))
    assert default
    assert named
    assert default | {"servers": named["servers"]} == named
    client = create_app(Settings(model_store=tmp_path, models="*")).test_client()
    refused = client.get("/openapi.json")
    assert refused.status_code == 404
    assert "no default model: name a model in the path; this service serves headed, mixed" in refused.text
    assert "/predict" not in client.get("/models/headed/openapi.json").json["paths"]  # type: ignore[index]
