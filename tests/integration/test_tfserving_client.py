"""What is written against TensorFlow Serving's documentation works unchanged: its bodies, its paths, its `curl -d`.

The bodies are those of tensorflow.org/tfx/serving/api_rest and .../docker, with this model's rows for half_plus_two's.
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


def post(server: Server, path: str, document: Any) -> requests.Response:
    """As the tutorials do: ``requests.post(url, data=json.dumps(…))``, which names no content type."""
    return requests.post(server.url + path, data=json.dumps(document), timeout=30)


def likeliest(rows: list[list[float]]) -> list[str]:
    return [LABELS[row.index(max(row))] for row in rows]


@pytest.mark.parametrize("path", [PREDICT, "/v1/models/animals/versions/1:predict"])
@pytest.mark.parametrize(
    ("document", "answered"),
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
def test_predict(server: Server, path: str, document: Any, answered: str) -> None:
    """Rows are answered as rows and columns as columns, alone under their key, as the one output has no name."""
    answer = post(server, path, document)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert list(answer.json()) == [answered]
    assert likeliest(answer.json()[answered]) == ["cat", "dog"]


def test_classify(server: Server) -> None:
    """Examples name their features and share a context; each gets pairs of label and score."""
    examples = [{name: value for name, value in named(row).items() if name != "body_temperature_c"} for row in ROWS]
    document = {"signature_name": "serving_default", "context": {"body_temperature_c": 38.5}, "examples": examples}
    answer = post(server, "/v1/models/animals:classify", document).json()
    assert list(answer) == ["results"]
    assert [[label for label, _ in result] for result in answer["results"]] == [LABELS, LABELS]
    assert likeliest([[score for _, score in result] for result in answer["results"]]) == ["cat", "dog"]


@pytest.mark.parametrize(
    "headers", [[], ["-X", "POST"], ["-H", "Content-Type: application/json"]], ids=["plain", "POST", "JSON"]
)
def test_curl_says_that_it_sends_a_form(server: Server, headers: list[str]) -> None:
    """The documentation's ``curl -d '…' -X POST`` sends JSON as ``application/x-www-form-urlencoded``."""
    command = ["curl", "--silent", "--fail", "-d", json.dumps({"instances": ROWS}), *headers, server.url + PREDICT]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    assert likeliest(json.loads(answer)["predictions"]) == ["cat", "dog"]


def test_status(server: Server) -> None:
    """What a caller polls until the model is there."""
    for path in ("/v1/models/animals", "/v1/models/animals/versions/1"):
        (status,) = requests.get(server.url + path, timeout=30).json()["model_version_status"]
        assert status == {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


def test_metadata(server: Server) -> None:
    """Where callers look for the names and the sizes of the tensors."""
    metadata = requests.get(f"{server.url}/v1/models/animals/metadata", timeout=30).json()
    assert metadata["model_spec"] == {"name": "animals", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    for tensors, name, width in (("inputs", "features", "8"), ("outputs", "probabilities", "4")):
        assert signature[tensors][name]["dtype"] == "DT_FLOAT"
        sizes = [dimension["size"] for dimension in signature[tensors][name]["tensor_shape"]["dim"]]
        assert sizes == ["-1", width]


@pytest.mark.parametrize(
    ("path", "document", "status", "said"),
    [
        (PREDICT, {"instances": [1.0, 2.0, 5.0]}, 400, "instances[0]"),
        (PREDICT, {"instances": ROWS, "inputs": ROWS}, 400, "either"),
        (PREDICT, {"signature_name": "other", "instances": ROWS}, 400, "serving_default"),
        ("/v1/models/animals:regress", {"examples": []}, 400, "malformed request"),
        ("/v1/models/animals/labels/stable:predict", {"instances": ROWS}, 400, "malformed request"),
        ("/v1/models/plants:predict", {"instances": ROWS}, 404, "no model of that name"),
        ("/v1/models/animals/versions/2:predict", {"instances": ROWS}, 404, "no such version"),
    ],
)
def test_an_error_is_one_sentence(server: Server, path: str, document: Any, status: int, said: str) -> None:
    """``{"error": "…"}``, which is where callers look."""
    answer = post(server, path, document)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert said in answer.json()["error"]
