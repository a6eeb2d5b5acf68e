"""TensorFlow Serving's REST API, in process and through gunicorn."""

import json
from typing import Any, NamedTuple

import pytest
from support.http_responses import Send
from support.known_animals import GREAT_DANE, KNOWN, LLAMA, MAINE_COON, NAMES, named

PREDICT, CLASSIFY, EXPLAIN = (f"/v1/models/animals:{verb}" for verb in ("predict", "classify", "explain"))
LABELS = list(KNOWN)


def post(send: Send, document: Any, path: str = PREDICT) -> Any:
    response = send("POST", path, json.dumps(document).encode())
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json"), response.body
    return json.loads(response.body)


@pytest.mark.parametrize(
    "instances",
    [
        [MAINE_COON, LLAMA],
        [{"features": MAINE_COON}, {"features": LLAMA}],
        [named(MAINE_COON), named(LLAMA)],
        [MAINE_COON, {"features": LLAMA}],
    ],
    ids=["plain", "named input", "named features", "mixed"],
)
def test_instances_get_predictions(send: Send, instances: Any) -> None:
    """The only output, unnamed: a list of probabilities for each row."""
    response = post(send, {"instances": instances})
    assert list(response) == ["predictions"]
    assert [LABELS[row.index(max(row))] for row in response["predictions"]] == ["cat", "llama"]
    assert post(send, {"signature_name": "serving_default", "instances": instances}) == response
    assert post(send, {"instances": instances, "stranger": [1]}, "/v1/models/animals/versions/1:predict") == response


@pytest.mark.parametrize(
    "inputs",
    [
        [MAINE_COON, LLAMA],
        {"features": [MAINE_COON, LLAMA]},
        {name: [MAINE_COON[index], LLAMA[index]] for index, name in enumerate(NAMES)},
    ],
    ids=["plain", "named input", "named features"],
)
def test_inputs_get_outputs(send: Send, inputs: Any) -> None:
    """The same numbers as in the row format."""
    response = post(send, {"inputs": inputs})
    assert response == {"outputs": post(send, {"instances": [MAINE_COON, LLAMA]})["predictions"]}


def test_classify_returns_labels_and_scores(send: Send) -> None:
    """For each example; ``context`` has features that all examples share."""
    examples: list[dict[str, Any]] = [named(MAINE_COON), {name: [value] for name, value in named(GREAT_DANE).items()}]
    for example in examples:
        del example["body_temperature_c"]
    response = post(send, {"examples": examples, "context": {"body_temperature_c": 38.5}}, CLASSIFY)
    assert list(response) == ["results"]
    assert [[label for label, _ in result] for result in response["results"]] == [LABELS, LABELS]
    assert [max(result, key=lambda pair: pair[1])[0] for result in response["results"]] == ["cat", "dog"]


@pytest.mark.parametrize("path", ["/v1/models/animals", "/v1/models/animals/versions/1"])
def test_status_and_metadata(send: Send, path: str) -> None:
    """Version and sizes are strings; the signature is nested in another object of its name."""
    document = json.loads(send("GET", path).body)
    (status,) = document.pop("model_version_status")
    assert document == {"name": "animals", "ready": True}  # KServe's response at the same path
    assert status == {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    metadata = json.loads(send("GET", f"{path}/metadata").body)
    assert metadata["model_spec"] == {"name": "animals", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["features"]["dtype"] == "DT_FLOAT"
    sizes = [dimension["size"] for dimension in signature["inputs"]["features"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "8"]


def test_list_of_models(send: Send) -> None:
    """KServe's V1 protocol has it; in TensorFlow Serving it is an error."""
    assert json.loads(send("GET", "/v1/models").body) == {"models": ["animals"]}


@pytest.mark.parametrize("path", [EXPLAIN, "/v1/models/animals/versions/1:explain"])
@pytest.mark.parametrize(
    "document",
    [
        {"instances": [MAINE_COON, LLAMA]},
        {"instances": [{"features": MAINE_COON}, named(LLAMA)], "signature_name": None},
        {"inputs": [MAINE_COON, LLAMA]},
        {"inputs": {name: [MAINE_COON[index], LLAMA[index]] for index, name in enumerate(NAMES)}},
    ],
    ids=["rows", "by name", "inputs", "columns"],
)
def test_explanations_are_those_of_explain(send: Send, path: str, document: Any) -> None:
    """KServe's V1 protocol has them beside the predictions."""
    response = post(send, document, path)
    assert list(response) == ["predictions", "explanations"]
    assert response["predictions"] == post(send, {"instances": [MAINE_COON, LLAMA]})["predictions"]
    json_type = {"Content-Type": "application/json"}
    for row, explanation in zip((MAINE_COON, LLAMA), response["explanations"], strict=True):
        native = send("POST", "/explain", json.dumps({"features": row}).encode(), json_type)
        assert explanation == json.loads(native.body)


@pytest.mark.parametrize(
    ("path", "null", "absent"),
    [
        (PREDICT, {"instances": [LLAMA], "inputs": None}, {"instances": [LLAMA]}),
        (PREDICT, {"instances": None, "inputs": [LLAMA]}, {"inputs": [LLAMA]}),
        (PREDICT, {"signature_name": None, "instances": [named(LLAMA)]}, {"instances": [named(LLAMA)]}),
        (CLASSIFY, {"context": None, "examples": [named(LLAMA)]}, {"examples": [named(LLAMA)]}),
        (CLASSIFY, {"signature_name": None, "examples": [named(LLAMA)]}, {"examples": [named(LLAMA)]}),
        (EXPLAIN, {"instances": [LLAMA], "inputs": None}, {"instances": [LLAMA]}),
    ],
)
def test_null_is_taken_as_absent(send: Send, path: str, null: Any, absent: Any) -> None:
    """Typed clients send it for members that they do not use."""
    assert post(send, null, path) == post(send, absent, path)


class BadInput(NamedTuple):
    description: str
    document: Any  # bytes are sent unchanged
    message: str
    path: str = PREDICT
    status: int = 400


BAD_INPUTS = [
    BadInput("no JSON", b"{", "not valid JSON"),
    BadInput("NaN", b'{"instances": [[NaN]]}', "NaN is not a JSON number"),
    BadInput("trailing bytes", json.dumps({"instances": [MAINE_COON]}).encode() + b"x", "not valid JSON"),
    BadInput("100,000 levels", b'{"instances": ' + b"[" * 100_000, "nested too deeply"),
    BadInput("a list", [], "must be a JSON object"),
    BadInput("neither form", {}, "either `instances`"),
    BadInput("both forms", {"instances": [MAINE_COON], "inputs": [MAINE_COON]}, "either `instances`"),
    BadInput("no instances", {"instances": []}, "1 to 10000 rows"),
    BadInput("no inputs", {"inputs": []}, "1 to 10000 rows"),
    BadInput("no columns", {"inputs": {}}, "1 to 10000 rows"),
    BadInput("instances an object", {"instances": {"features": [MAINE_COON]}}, "must be a list"),
    BadInput("instances null", {"instances": None}, "either `instances`"),
    BadInput("both forms null", {"instances": None, "inputs": None}, "either `instances`"),
    BadInput("inputs a number", {"inputs": 1}, "must be a list of rows"),
    BadInput("one row without its list", {"instances": MAINE_COON}, "instances[0] must be"),
    BadInput("rank 3", {"instances": [[MAINE_COON]]}, "must have 8 numbers, not 1"),
    BadInput("a wrong width", {"instances": [MAINE_COON, MAINE_COON[:7]]}, "instances[1] must have 8 numbers, not 7"),
    BadInput("a string", {"instances": [["6.8", *MAINE_COON[1:]]]}, "body_mass_kg must be a number"),
    BadInput("base64", {"instances": [{"features": {"b64": "AAAA"}}]}, "instances[0]"),
    BadInput("out of bounds", {"instances": [[6800, *MAINE_COON[1:]]]}, "must be in the range"),
    BadInput("an unknown input", {"inputs": {"image": [MAINE_COON]}}, "image is unknown"),
    BadInput("a feature missing", {"instances": [{"body_mass_kg": 1}]}, "shoulder_height_cm is missing"),
    BadInput("columns of two lengths", {"inputs": {"a": [1], "b": [1, 2]}}, "same number of values"),
    BadInput("a column that is none", {"inputs": {"a": 1}}, "must be a list of rows"),
    BadInput("a key twice", b'{"instances": [[1]], "instances": [%s]}' % json.dumps(MAINE_COON).encode(), "twice"),
    BadInput(
        "a feature twice",
        json.dumps({"instances": [named(MAINE_COON)]}).encode()[:-3] + b', "ear_length_cm": 1}]}',
        "twice",
    ),
    BadInput(
        "an unknown signature", {"signature_name": "x", "instances": [MAINE_COON]}, "the model has serving_default"
    ),
    BadInput("a signature that is a list", {"signature_name": ["x"], "instances": [MAINE_COON]}, "serving_default"),
    BadInput("10,001 rows", {"instances": [MAINE_COON] * 10_001}, "1 to 10000 rows"),
    BadInput("17 rows to explain", {"instances": [MAINE_COON] * 17}, "1 to 16 rows to explain, not 17", EXPLAIN),
    BadInput("no rows to explain", {"instances": []}, "1 to 10000 rows", EXPLAIN),
    BadInput("a wrong row to explain", {"instances": [MAINE_COON[:7]]}, "must have 8 numbers, not 7", EXPLAIN),
    BadInput("features to explain", {"features": MAINE_COON}, "either `instances`", EXPLAIN),
    BadInput("no JSON to explain", b"[", "not valid JSON", EXPLAIN),
    BadInput("another model to explain", {}, "this service serves", "/v1/models/plants:explain", 404),
    BadInput("no examples", {}, "`examples` must be", CLASSIFY),
    BadInput("examples empty", {"examples": []}, "1 to 10000 rows", CLASSIFY),
    BadInput("examples as lists", {"examples": [MAINE_COON]}, "`examples` must be", CLASSIFY),
    BadInput(
        "a feature of two values", {"examples": [named(MAINE_COON) | {"ear_length_cm": [1, 2]}]}, "not a list", CLASSIFY
    ),
    BadInput("a context that is a list", {"context": [], "examples": [named(MAINE_COON)]}, "`context`", CLASSIFY),
    BadInput(
        "another model", {"instances": [MAINE_COON]}, "this service serves animals", "/v1/models/plants:predict", 404
    ),
    BadInput(
        "another version",
        {"instances": [MAINE_COON]},
        "version 1 of animals",
        "/v1/models/animals/versions/9:predict",
        404,
    ),
    BadInput("another verb", {"instances": [MAINE_COON]}, "malformed request", "/v1/models/animals:multi_inference"),
    BadInput(
        "values of a classification",
        {"examples": [named(MAINE_COON)]},
        "the model is a classification (cat, dog, llama, lizard), not a regression with one target: use `:classify` or",
        "/v1/models/animals:regress",
    ),
    BadInput(
        "no verb of a version", {"instances": [MAINE_COON]}, "malformed request", "/v1/models/animals/versions:predict"
    ),
    BadInput("another path", {}, "malformed request", "/v1/predict"),
    BadInput("5 MB", b" " * 5_000_000, "4194304 bytes", PREDICT, 413),
]


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.description)
def test_invalid_request_is_refused(send: Send, bad: BadInput) -> None:
    """``{"error": …}`` and nothing else, with TensorFlow Serving's statuses."""
    body = bad.document if isinstance(bad.document, bytes) else json.dumps(bad.document).encode()
    response = send("POST", bad.path, body)
    assert (response.status, response.headers["Content-Type"]) == (bad.status, "application/json"), response.body
    assert list(json.loads(response.body)) == ["error"]
    assert bad.message in json.loads(response.body)["error"]
    assert len(response.body) < 3000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1", 400),
        ("GET", "/v1/models/plants", 404),
        ("GET", "/v1/models/animals/versions/9", 404),
        ("GET", "/v1/models/plants/metadata", 404),
        ("GET", "/v1/models/animals:metadata", 400),
        ("GET", PREDICT, 405),
        ("GET", EXPLAIN, 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/models/animals", 405),
    ],
)
def test_unknown_path_or_model_is_an_error(send: Send, method: str, path: str, status: int) -> None:
    """An unknown path is a malformed request; another model or version is not found."""
    response = send(method, path)
    assert (response.status, list(json.loads(response.body))) == (status, ["error"])


def test_content_type_is_ignored(send: Send) -> None:
    """The curl commands of TensorFlow Serving's documentation send JSON as a form."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = json.dumps({"instances": [MAINE_COON]}).encode()
    assert send("POST", PREDICT, body, headers).status == 200
    assert send("POST", PREDICT, body, {"Content-Encoding": "gzip"}).status == 415
