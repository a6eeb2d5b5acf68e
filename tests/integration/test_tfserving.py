"""TensorFlow Serving's REST interface, in process and under gunicorn."""

import json
from typing import Any, NamedTuple

import pytest
from support.http_responses import Send
from support.known_animals import GREAT_DANE, KNOWN, LLAMA, MAINE_COON, NAMES, named

PREDICT, CLASSIFY = "/v1/models/animals:predict", "/v1/models/animals:classify"
LABELS = list(KNOWN)


def ask(send: Send, document: Any, path: str = PREDICT) -> Any:
    answer = send("POST", path, json.dumps(document).encode())
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json"), answer.body
    return json.loads(answer.body)


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
def test_rows_are_answered_row_by_row(send: Send, instances: Any) -> None:
    """``instances`` get ``predictions``: for the one output, a list of probabilities for each row."""
    answer = ask(send, {"instances": instances})
    assert list(answer) == ["predictions"]
    assert [LABELS[row.index(max(row))] for row in answer["predictions"]] == ["cat", "llama"]
    assert ask(send, {"signature_name": "serving_default", "instances": instances}) == answer
    assert ask(send, {"instances": instances, "stranger": [1]}, "/v1/models/animals/versions/1:predict") == answer


@pytest.mark.parametrize(
    "inputs",
    [
        [MAINE_COON, LLAMA],
        {"features": [MAINE_COON, LLAMA]},
        {name: [MAINE_COON[place], LLAMA[place]] for place, name in enumerate(NAMES)},
    ],
    ids=["plain", "named input", "named features"],
)
def test_columns_are_answered_as_columns(send: Send, inputs: Any) -> None:
    """``inputs`` get ``outputs``, the same numbers as by rows."""
    answer = ask(send, {"inputs": inputs})
    assert answer == {"outputs": ask(send, {"instances": [MAINE_COON, LLAMA]})["predictions"]}


def test_classify_names_the_labels(send: Send) -> None:
    """Pairs of label and score for each example; what is in ``context`` holds for all of them."""
    examples: list[dict[str, Any]] = [named(MAINE_COON), {name: [value] for name, value in named(GREAT_DANE).items()}]
    for example in examples:
        del example["body_temperature_c"]
    answer = ask(send, {"examples": examples, "context": {"body_temperature_c": 38.5}}, CLASSIFY)
    assert list(answer) == ["results"]
    assert [[label for label, _ in result] for result in answer["results"]] == [LABELS, LABELS]
    assert [max(result, key=lambda pair: pair[1])[0] for result in answer["results"]] == ["cat", "dog"]


@pytest.mark.parametrize("path", ["/v1/models/animals", "/v1/models/animals/versions/1"])
def test_status_and_metadata(send: Send, path: str) -> None:
    """Version and sizes are strings; the signature lies twice within its name."""
    told = json.loads(send("GET", path).body)
    (status,) = told.pop("model_version_status")
    assert told == {"name": "animals", "ready": True}  # KServe's answer at the same path
    assert status == {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    metadata = json.loads(send("GET", f"{path}/metadata").body)
    assert metadata["model_spec"] == {"name": "animals", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["features"]["dtype"] == "DT_FLOAT"
    sizes = [dimension["size"] for dimension in signature["inputs"]["features"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "8"]


class Bad(NamedTuple):
    what: str
    document: Any  # bytes are sent as they are
    told: str
    path: str = PREDICT
    status: int = 400


BAD = [
    Bad("no JSON", b"{", "not JSON"),
    Bad("NaN", b'{"instances": [[NaN]]}', "NaN is no JSON number"),
    Bad("trailing bytes", json.dumps({"instances": [MAINE_COON]}).encode() + b"x", "not JSON"),
    Bad("100,000 levels", b'{"instances": ' + b"[" * 100_000, "nested too deeply"),
    Bad("a list", [], "must be an object"),
    Bad("neither form", {}, "either `instances`"),
    Bad("both forms", {"instances": [MAINE_COON], "inputs": [MAINE_COON]}, "either `instances`"),
    Bad("no instances", {"instances": []}, "1 to 10000 rows"),
    Bad("no inputs", {"inputs": []}, "1 to 10000 rows"),
    Bad("no columns", {"inputs": {}}, "1 to 10000 rows"),
    Bad("instances an object", {"instances": {"features": [MAINE_COON]}}, "must be a list"),
    Bad("instances null", {"instances": None}, "must be a list"),
    Bad("inputs a number", {"inputs": 1}, "must be a list of rows"),
    Bad("one row without its list", {"instances": MAINE_COON}, "instances[0] must be"),
    Bad("rank 3", {"instances": [[MAINE_COON]]}, "must have 8 numbers, not 1"),
    Bad("a wrong width", {"instances": [MAINE_COON, MAINE_COON[:7]]}, "instances[1] must have 8 numbers, not 7"),
    Bad("a string", {"instances": [["6.8", *MAINE_COON[1:]]]}, "body_mass_kg must be a number"),
    Bad("base64", {"instances": [{"features": {"b64": "AAAA"}}]}, "instances[0]"),
    Bad("out of bounds", {"instances": [[6800, *MAINE_COON[1:]]]}, "must lie within"),
    Bad("an unknown input", {"inputs": {"image": [MAINE_COON]}}, "image is not known here"),
    Bad("a feature missing", {"instances": [{"body_mass_kg": 1}]}, "shoulder_height_cm is missing"),
    Bad("columns of two lengths", {"inputs": {"a": [1], "b": [1, 2]}}, "as many values"),
    Bad("a column that is none", {"inputs": {"a": 1}}, "must be a list of rows"),
    Bad("a key twice", b'{"instances": [[1]], "instances": [%s]}' % json.dumps(MAINE_COON).encode(), "twice"),
    Bad(
        "a feature twice",
        json.dumps({"instances": [named(MAINE_COON)]}).encode()[:-3] + b', "ear_length_cm": 1}]}',
        "twice",
    ),
    Bad("an unknown signature", {"signature_name": "x", "instances": [MAINE_COON]}, "there is serving_default"),
    Bad("a signature that is a list", {"signature_name": ["x"], "instances": [MAINE_COON]}, "serving_default"),
    Bad("10,001 rows", {"instances": [MAINE_COON] * 10_001}, "1 to 10000 rows"),
    Bad("no examples", {}, "`examples` must be", CLASSIFY),
    Bad("examples empty", {"examples": []}, "1 to 10000 rows", CLASSIFY),
    Bad("examples as lists", {"examples": [MAINE_COON]}, "`examples` must be", CLASSIFY),
    Bad(
        "a feature of two values", {"examples": [named(MAINE_COON) | {"ear_length_cm": [1, 2]}]}, "not a list", CLASSIFY
    ),
    Bad("a context that is a list", {"context": [], "examples": [named(MAINE_COON)]}, "`context`", CLASSIFY),
    Bad("another model", {"instances": [MAINE_COON]}, "animals is", "/v1/models/plants:predict", 404),
    Bad("another version", {"instances": [MAINE_COON]}, "1 is", "/v1/models/animals/versions/9:predict", 404),
    Bad("another verb", {"instances": [MAINE_COON]}, "malformed request", "/v1/models/animals:regress"),
    Bad(
        "no verb of a version", {"instances": [MAINE_COON]}, "malformed request", "/v1/models/animals/versions:predict"
    ),
    Bad("another path", {}, "malformed request", "/v1/predict"),
    Bad("5 MB", b" " * 5_000_000, "4194304 bytes", PREDICT, 413),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_what_is_wrong_is_told_in_one_sentence(send: Send, bad: Bad) -> None:
    """``{"error": …}`` and nothing else, with TensorFlow Serving's statuses."""
    body = bad.document if isinstance(bad.document, bytes) else json.dumps(bad.document).encode()
    answer = send("POST", bad.path, body)
    assert (answer.status, answer.headers["Content-Type"]) == (bad.status, "application/json"), answer.body
    assert list(json.loads(answer.body)) == ["error"]
    assert bad.told in json.loads(answer.body)["error"]
    assert len(answer.body) < 3000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1", 400),
        ("GET", "/v1/models", 400),
        ("GET", "/v1/models/plants", 404),
        ("GET", "/v1/models/animals/versions/9", 404),
        ("GET", "/v1/models/plants/metadata", 404),
        ("GET", "/v1/models/animals:metadata", 400),
        ("GET", PREDICT, 405),
        ("POST", "/v1/models/animals", 405),
    ],
)
def test_what_is_not_there_is_told(send: Send, method: str, path: str, status: int) -> None:
    """A path that means nothing is a malformed request, another model or version is not found."""
    answer = send(method, path)
    assert (answer.status, list(json.loads(answer.body))) == (status, ["error"])


def test_a_body_may_say_that_it_is_a_form(send: Send) -> None:
    """The documentation's curl commands do, so TensorFlow Serving looks at no content type."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = json.dumps({"instances": [MAINE_COON]}).encode()
    assert send("POST", PREDICT, body, headers).status == 200
    assert send("POST", PREDICT, body, {"Content-Encoding": "gzip"}).status == 415
