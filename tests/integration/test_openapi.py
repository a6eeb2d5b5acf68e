"""The description of the interface: of every route, in the words of the model, and valid."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.http_responses import Send

from models.manifest import Manifest
from service.app.routes import ROUTES, build_service
from service.inference.model import Model
from service.openapi.document import build_document
from service.openapi.model_types import ModelTypes
from service.settings import Settings


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found: dict[str, Any] = json.loads(answer.data)
    return found


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every example of a request: its path with the model's name in it, what it shows, and itself."""
    parameters = document["components"]["parameters"]
    for path, methods in document["paths"].items():
        told = methods.get("post", {}).get("requestBody", {"content": {}})["content"].get("application/json", {})
        for name, example in told.get("examples", {}).items():
            named = {key: parameters[key]["schema"]["enum"][0] for key in ("model", "version")}
            yield path.format(**named), name, example["value"]


def test_every_route_is_described_and_nothing_else(settings: Settings, document: dict[str, Any]) -> None:
    """Whoever adds a route describes it, and whoever removes one removes its description."""
    routes = {(route.method, route.path) for route in build_service(settings).handlers}
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == routes


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """It keeps to the specification of OpenAPI 3.1."""
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_the_document_is_the_same_by_every_way(send: Send, document: dict[str, Any]) -> None:
    """Under gunicorn as in process."""
    assert json.loads(send("GET", "/openapi.json").body) == document


def test_features_and_labels_are_the_models(document: dict[str, Any], model: Model) -> None:
    """With what is measured, its unit, its bounds and an example, in the schema's order."""
    schemas = document["components"]["schemas"]
    assert schemas["Label"]["enum"] == list(model.labels)
    properties = schemas["Features"]["properties"]
    assert list(properties) == schemas["Features"]["required"] == [feature.name for feature in model.features]
    assert list(properties.values()) == schemas["FeatureList"]["prefixItems"]
    for feature, told in zip(model.features, properties.values(), strict=True):
        assert (told["minimum"], told["maximum"], told["x-unit"]) == (feature.minimum, feature.maximum, feature.unit)
        assert feature.how in told["description"]
        assert feature.minimum <= told["examples"][0] <= feature.maximum


def test_every_example_is_answered(document: dict[str, Any], client: FlaskClient) -> None:
    """What the page offers to try works as it is offered."""
    tried = [(path, name, client.post(path, json=body).status_code) for path, name, body in examples(document)]
    assert {path.split("/")[1] for path, *_ in tried} == {"predict", "explain", "v1", "v2"}
    assert [row for row in tried if row[2] != 200] == []


def test_another_model_gets_a_document_of_its_own(model: Model) -> None:
    """Names that are none in a programming language, features without a unit: the document is valid nevertheless."""
    old = json.dumps(model.manifest.model_dump(mode="json"))
    for name, new in {"body_mass_kg": "Körper masse/kg", "llama": "die Ziege (wild)", "animals": "mine-2.0"}.items():
        old = old.replace(json.dumps(name), json.dumps(new))
    manifest = json.loads(old)
    manifest["features"][1] |= {"unit": "", "how": ""}
    found = build_document(
        ModelTypes(Manifest.model_validate_json(json.dumps(manifest)), 3), ROUTES, requires_key=False
    )
    assert list(OpenAPIV31SpecValidator(found).iter_errors()) == []
    assert "Körper masse/kg" in found["components"]["schemas"]["Features"]["properties"]
    assert "die Ziege (wild)" in found["components"]["schemas"]["Probabilities"]["required"]
    assert "body_mass_kg" not in json.dumps(found["components"]["schemas"]["Features"])


def test_every_operation_is_named_once(document: dict[str, Any]) -> None:
    """A client has a function for each."""
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


def test_bytes_are_described(document: dict[str, Any]) -> None:
    """Tensors may come and go as bytes, with a header that says where the JSON ends."""
    infer = document["paths"]["/v2/models/{model}/infer"]["post"]
    length = "Inference-Header-Content-Length"
    assert {"$ref": f"#/components/parameters/{length}"} in infer["parameters"]
    assert "application/octet-stream" in infer["requestBody"]["content"]
    assert "application/octet-stream" in infer["responses"]["200"]["content"]
    assert length in infer["responses"]["200"]["headers"]


@pytest.mark.parametrize(
    ("path", "media", "statuses"),
    [
        ("/predict", "application/problem+json", {"400", "405", "413", "415", "422", "500"}),
        ("/v1/models/{model}:predict", "application/json", {"400", "404", "405", "413", "415", "500"}),
        ("/v2/models/{model}/infer", "application/json", {"400", "404", "405", "413", "415", "500"}),
    ],
)
def test_each_protocol_tells_errors_its_own_way(
    document: dict[str, Any], path: str, media: str, statuses: set[str]
) -> None:
    """Neither the Open Inference Protocol nor TensorFlow Serving knows problems or a 422."""
    responses = document["paths"][path]["post"]["responses"]
    assert responses.keys() - {"200"} == statuses
    assert {kind for status in statuses for kind in responses[status]["content"]} == {media}
    assert all({"X-Request-ID", "Cache-Control"} <= response["headers"].keys() for response in responses.values())
    assert "Allow" in responses["405"]["headers"]
