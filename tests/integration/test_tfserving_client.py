"""Requests from TensorFlow Serving's documentation work unchanged: its bodies, its paths, its `curl -d`.

The bodies are those of tensorflow.org/tfx/serving/api_rest and .../docker, with rows of this model in place of
half_plus_two's.
"""

import json
import subprocess
from typing import Any

import pytest
import requests
from support.gunicorn_server import Server
from support.known_animals import GREAT_DANE, KNOWN, MAINE_COON, NAMES, named

ROWS = (MAINE_COON, GREAT_DANE)
LABELS = list(KNOWN)
PREDICT = "/v1/models/animals:predict"


def post_without_content_type(server: Server, path: str, document: Any) -> requests.Response:
    """POST as the tutorials do: ``requests.post(url, data=json.dumps(…))``."""
    return requests.post(server.url + path, data=json.dumps(document), timeout=30)


def most_probable(rows: list[list[float]]) -> list[str]:
    return [LABELS[row.index(max(row))] for row in rows]


@pytest.mark.parametrize("path", [PREDICT, "/v1/models/animals/versions/1:predict"])
@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"instances": ROWS}, "predictions"),
        ({"signature_name": "serving_default", "instances": ROWS}, "predictions"),
        ({"instances": [{"features": row} for row in ROWS]}, "predictions"),
        ({"inputs": ROWS}, "outputs"),
        ({"inputs": {"features": ROWS}}, "outputs"),
        (
            {"inputs": dict(zip(NAMES, zip(*ROWS, strict=True), strict=True))},
            "outputs",
        ),
    ],
    ids=["rows", "rows with a signature", "rows named", "columns", "columns named", "columns of features"],
)
def test_predict(server: Server, path: str, document: Any, key: str) -> None:
    """Instances get predictions and inputs get outputs, unnamed, as there is one output."""
    response = post_without_content_type(server, path, document)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert list(response.json()) == [key]
    assert most_probable(response.json()[key]) == ["cat", "dog"]


def test_classify(server: Server) -> None:
    """Examples name their features and share a context; each gets pairs of label and score."""
    examples = [{name: value for name, value in named(row).items() if name != "body_temperature_c"} for row in ROWS]
    document = {"signature_name": "serving_default", "context": {"body_temperature_c": 38.5}, "examples": examples}
    response = post_without_content_type(server, "/v1/models/animals:classify", document).json()
    assert list(response) == ["results"]
    assert [[label for label, _ in result] for result in response["results"]] == [LABELS, LABELS]
    assert most_probable([[score for _, score in result] for result in response["results"]]) == ["cat", "dog"]


@pytest.mark.parametrize(
    "headers", [[], ["-X", "POST"], ["-H", "Content-Type: application/json"]], ids=["plain", "POST", "JSON"]
)
def test_curl_commands_of_the_documentation(server: Server, headers: list[str]) -> None:
    """``curl -d '…' -X POST`` sends JSON as ``application/x-www-form-urlencoded``."""
    command = ["curl", "--silent", "--fail", "-d", json.dumps({"instances": ROWS}), *headers, server.url + PREDICT]
    response = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    assert most_probable(json.loads(response)["predictions"]) == ["cat", "dog"]


def test_status(server: Server) -> None:
    """What clients poll until the model is available."""
    for path in ("/v1/models/animals", "/v1/models/animals/versions/1"):
        (status,) = requests.get(server.url + path, timeout=30).json()["model_version_status"]
        assert status == {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


def test_metadata(server: Server) -> None:
    """Names and sizes of the tensors."""
    metadata = requests.get(f"{server.url}/v1/models/animals/metadata", timeout=30).json()
    assert metadata["model_spec"] == {"name": "animals", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    for tensors, name, width in (("inputs", "features", "8"), ("outputs", "probabilities", "4")):
        assert signature[tensors][name]["dtype"] == "DT_FLOAT"
        sizes = [dimension["size"] for dimension in signature[tensors][name]["tensor_shape"]["dim"]]
        assert sizes == ["-1", width]


@pytest.mark.parametrize(
    ("path", "document", "status", "message"),
    [
        (PREDICT, {"instances": [1.0, 2.0, 5.0]}, 400, "instances[0]"),
        (PREDICT, {"instances": ROWS, "inputs": ROWS}, 400, "either"),
        (PREDICT, {"signature_name": "other", "instances": ROWS}, 400, "serving_default"),
        ("/v1/models/animals:regress", {"examples": []}, 400, "use `:classify` or `:predict`"),
        ("/v1/models/animals/labels/stable:predict", {"instances": ROWS}, 400, "malformed request"),
        ("/v1/models/plants:predict", {"instances": ROWS}, 404, "model not found"),
        ("/v1/models/animals/versions/2:predict", {"instances": ROWS}, 404, "version not found"),
    ],
)
def test_error_shape(server: Server, path: str, document: Any, status: int, message: str) -> None:
    """``{"error": "…"}``."""
    response = post_without_content_type(server, path, document)
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert message in response.json()["error"]
