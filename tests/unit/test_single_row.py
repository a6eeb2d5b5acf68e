"""What is answered in one function, and what is left to the pipeline."""

import json
from typing import Any

import numpy as np
import pytest
from support.known_animals import LLAMA, named

from service.app import api_keys
from service.app.asgi import AsgiApp
from service.app.routes import build_service
from service.http.messages import Response
from service.settings import Settings

JSON = {"content-type": "application/json"}
V2 = "/v2/models/animals/infer"
TENSOR = {"name": "features", "shape": [1, 8], "datatype": "FP32"}
BYTES = np.array(LLAMA, "<f4").tobytes()
BINARY_HEAD = json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": 32}}]}).encode()


@pytest.fixture(scope="module")
def app() -> AsgiApp:
    return AsgiApp(build_service(Settings()))


def respond(app: AsgiApp, path: str, body: bytes, headers: dict[str, str]) -> tuple[Response, str] | None:
    match = app.match("POST", path)
    assert match
    assert app.single_row
    return app.single_row.respond(match, headers, body)


def handle(app: AsgiApp, path: str, body: bytes, headers: dict[str, str]) -> Response:
    match = app.match("POST", path)
    assert match
    return app.handle(match, headers, body)


def document(**members: Any) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/predict", document(features=LLAMA), JSON),
        ("/predict", document(features=named(LLAMA)), JSON),
        ("/predict", document(features=[*LLAMA[:-1], LLAMA[-1] + 5]), JSON),
        ("/v1/models/animals:predict", document(instances=[LLAMA]), {}),
        (V2, document(inputs=[TENSOR | {"data": LLAMA}]), {}),
        (V2, document(inputs=[TENSOR | {"data": [LLAMA]}]), {}),
        (V2, document(id="a", inputs=[TENSOR | {"data": LLAMA}]), JSON),
        (V2, BINARY_HEAD + BYTES, {"inference-header-content-length": str(len(BINARY_HEAD))}),
        (V2, BYTES, {"inference-header-content-length": "0"}),
    ],
)
def test_a_usual_row_is_answered(app: AsgiApp, path: str, body: bytes, headers: dict[str, str]) -> None:
    """In `/v2` once there was a request of the same form; the body is that of the pipeline's response."""
    expected = handle(app, path, body, headers)
    result = respond(app, path, body, headers)
    assert result
    response, fields = result
    assert (response.status, response.content_type, response.body) == (200, expected.content_type, expected.body)
    assert fields.startswith("X-Request-ID: ")
    assert "Server-Timing: admit;dur=" in fields


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/predict", document(features=LLAMA[1:]), JSON),
        ("/predict", document(features=LLAMA, more=1), JSON),
        ("/predict", document(instances=[LLAMA]), JSON),
        ("/predict", document(features=LLAMA), {}),
        ("/predict", b"{", JSON),
        ("/v1/models/animals:predict", document(instances=[LLAMA, LLAMA]), {}),
        ("/v1/models/animals/versions/1:predict", document(instances=[LLAMA]), {}),
        ("/v1/models/plants:predict", document(instances=[LLAMA]), {}),
        (V2, document(inputs=[TENSOR | {"data": LLAMA}], parameters={"never": "seen"}), {}),
        (V2, BYTES, {"inference-header-content-length": "x"}),
        ("/livez", b"", JSON),
        ("/nowhere", b"", JSON),
    ],
)
def test_what_is_not_usual_is_left_to_the_pipeline(
    app: AsgiApp, path: str, body: bytes, headers: dict[str, str]
) -> None:
    """Nothing has been counted by then."""
    before = list(app.service.request_metrics.responses())
    assert respond(app, path, body, headers) is None
    assert list(app.service.request_metrics.responses()) == before


@pytest.mark.parametrize("head", [b"32", b"raw 32", b"{}", b'"32"'])
def test_a_request_without_json_is_not_mistaken_for_one_with_it(app: AsgiApp, head: bytes) -> None:
    """Once a body of 32 bytes without JSON was answered, what stands before 32 bytes must still be a request."""
    assert handle(app, V2, BYTES, {"inference-header-content-length": "0"}).status == 200
    headers = {"inference-header-content-length": str(len(head))}
    assert respond(app, V2, head + BYTES, headers) is None
    assert handle(app, V2, head + BYTES, headers).status == 400


def test_with_keys_only_an_accepted_key_is_answered() -> None:
    """The pipeline refuses the others."""
    key, key_hash = api_keys.make()
    app = AsgiApp(build_service(Settings(api_keys=key_hash)))
    body = document(features=LLAMA)
    assert respond(app, "/predict", body, JSON | {"x-api-key": key})
    assert respond(app, "/predict", body, JSON | {"authorization": f"Bearer {key}"})
    assert not respond(app, "/predict", body, JSON | {"x-api-key": key[1:]})
    assert not respond(app, "/predict", body, JSON)


def test_cors_is_left_to_the_pipeline() -> None:
    """Its header fields depend on the request."""
    assert AsgiApp(build_service(Settings(cors_origins="https://example.org"))).single_row is None
