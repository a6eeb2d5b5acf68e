"""Inference by the Open Inference Protocol, in process and through gunicorn."""

import json
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest
from flask.testing import FlaskClient
from support.http_responses import HttpResponse, Send
from support.known_animals import BEARDED_DRAGON, GREAT_DANE, KNOWN, LLAMA, MAINE_COON

from service.inference.model import Model

INFER = "/v2/models/animals/infer"
JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}
RAW = OCTETS | {"Inference-Header-Content-Length": "0"}


def tensor(*rows: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "features", "shape": [len(rows), 8], "datatype": "FP32", "data": rows} | changes


def request_body(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": inputs, **more}).encode()


def infer(send: Send, body: bytes, path: str = INFER) -> Any:
    response = send("POST", path, body, JSON)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json"), response.body
    return json.loads(response.body)


def outputs(response: Any) -> dict[str, Any]:
    return {output["name"]: output for output in response["outputs"]}


def binary_request(rows: Any, dtype: str = "<f4", **more: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request whose tensor data follow the JSON."""
    content = np.array(rows, dtype).tobytes()
    tensor_json: dict[str, Any] = {"name": "features", "shape": [len(rows), 8], "datatype": "FP32"}
    tensor_json |= {"parameters": {"binary_data_size": len(content)}}
    head = request_body(tensor_json | more.pop("tensor", {}), **more)
    return head + content, OCTETS | {"Inference-Header-Content-Length": str(len(head))}


def split_binary_response(response: HttpResponse) -> tuple[Any, list[bytes]]:
    """The JSON of a binary response, and the bytes of each output that has any."""
    assert (response.status, response.headers["Content-Type"]) == (200, "application/octet-stream"), response.body
    size = int(response.headers["Inference-Header-Content-Length"])
    document, rest, contents = json.loads(response.body[:size]), response.body[size:], []
    for output in document["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size", 0)
        contents.append(rest[:length])
        rest = rest[length:]
    assert rest == b""
    return document, contents


def test_default_outputs_are_probabilities_and_labels(send: Send) -> None:
    """With the request's own id."""
    response = infer(send, request_body(tensor(*KNOWN.values()), id="42"))
    assert (response["model_name"], response["model_version"], response["id"]) == ("animals", "1", "42")
    assert list(outputs(response)) == ["probabilities", "label"]
    assert outputs(response)["label"] == {"name": "label", "datatype": "BYTES", "shape": [4], "data": list(KNOWN)}
    probabilities = outputs(response)["probabilities"]
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [4, 4])
    np.testing.assert_allclose(np.reshape(probabilities["data"], (4, 4)).sum(axis=1), 1, atol=1e-6)


def test_equivalent_requests_get_the_same_response(send: Send) -> None:
    """Flat or nested data, with or without a version, a content type or an id."""
    nested = infer(send, request_body(tensor(MAINE_COON, LLAMA)))
    assert infer(send, request_body(tensor(MAINE_COON, LLAMA, data=[*MAINE_COON, *LLAMA]))) == nested
    assert infer(send, request_body(tensor(MAINE_COON, LLAMA)), "/v2/models/animals/versions/1/infer") == nested
    assert infer(send, request_body(tensor(MAINE_COON, LLAMA), outputs=[])) == nested
    assert infer(send, request_body(tensor(MAINE_COON, LLAMA), parameters={"own": 1}, stranger=None)) == nested
    assert json.loads(send("POST", INFER, request_body(tensor(MAINE_COON, LLAMA))).body) == nested


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT64"])
def test_all_numeric_datatypes_are_accepted(send: Send, datatype: str) -> None:
    """Integers and floats of the same value give the same response, in JSON and in bytes."""
    integers = [7, 31, 42, 36, 11, 8, 7, 38]
    expected = infer(send, request_body(tensor(integers)))
    assert infer(send, request_body(tensor(integers, datatype=datatype))) == expected
    dtype = np.dtype(datatype.lower().replace("fp", "float")).newbyteorder("<")
    body, headers = binary_request([integers], dtype.str, tensor={"datatype": datatype})
    assert json.loads(send("POST", INFER, body, headers).body) == expected


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream", "application/json; charset=utf-8"],
)
def test_content_type_is_ignored(send: Send, content_type: str) -> None:
    """Triton's clients send none, and `curl -d` sends that of a form."""
    body = request_body(tensor(MAINE_COON, LLAMA))
    response = send("POST", INFER, body, {"Content-Type": content_type})
    assert (response.status, response.body) == (200, send("POST", INFER, body, JSON).body)


@pytest.mark.parametrize(
    ("null", "absent"),
    [
        (request_body(tensor(MAINE_COON), id=None), request_body(tensor(MAINE_COON))),
        (request_body(tensor(MAINE_COON), parameters=None), request_body(tensor(MAINE_COON))),
        (request_body(tensor(MAINE_COON), outputs=None), request_body(tensor(MAINE_COON))),
        (request_body(tensor(MAINE_COON), parameters={"binary_data_output": None}), request_body(tensor(MAINE_COON))),
        (request_body(tensor(MAINE_COON, parameters=None)), request_body(tensor(MAINE_COON))),
        (request_body(tensor(MAINE_COON, parameters={"binary_data_size": None})), request_body(tensor(MAINE_COON))),
        (
            request_body(tensor(MAINE_COON), id="7", outputs=[{"name": "label", "parameters": None}]),
            request_body(tensor(MAINE_COON), id="7", outputs=[{"name": "label"}]),
        ),
        (
            request_body(
                tensor(MAINE_COON),
                outputs=[{"name": "probabilities", "parameters": {"binary_data": None, "classification": None}}],
            ),
            request_body(tensor(MAINE_COON), outputs=[{"name": "probabilities"}]),
        ),
        (
            request_body(tensor(MAINE_COON, parameters=None), id=None, parameters=None, outputs=None, model_name=None),
            request_body(tensor(MAINE_COON)),
        ),
    ],
)
def test_null_is_taken_as_absent(send: Send, null: bytes, absent: bytes) -> None:
    """Typed clients send it for optional members; also when the same request comes again."""
    expected = infer(send, absent)
    assert [infer(send, each) for each in (null, null, absent)] == [expected] * 3
    assert "id" not in expected or expected["id"] == "7"


def test_null_for_binary_tensors(send: Send) -> None:
    """``data`` may be null where bytes follow, and an output's ``binary_data`` where all outputs are binary."""
    expected = send("POST", INFER, *binary_request([LLAMA], parameters={"binary_data_output": True}))
    for _ in range(2):
        body, headers = binary_request(
            [LLAMA],
            tensor={"data": None},
            parameters={"binary_data_output": True},
            outputs=[{"name": name, "parameters": {"binary_data": None}} for name in ("probabilities", "label")],
        )
        response = send("POST", INFER, body, headers)
        assert split_binary_response(response) == split_binary_response(expected)


def test_null_is_no_way_around_a_check(send: Send) -> None:
    """A request with data that are null does not make a later one known that has both data and bytes, or neither."""
    both = {"data": None, "parameters": {"binary_data_size": 32}}
    assert send("POST", INFER, *binary_request([LLAMA], tensor=both)).status == 200
    assert send("POST", INFER, *binary_request([LLAMA], tensor=both | {"data": list(LLAMA)})).status == 400
    assert infer(send, request_body(tensor(LLAMA)))
    assert send("POST", INFER, request_body(tensor(LLAMA, data=None)), JSON).status == 400
    twice = request_body(tensor(LLAMA), id=None).replace(b'"id"', b'"id": "7", "id"')
    assert send("POST", INFER, twice, JSON).status == 400


def test_requested_outputs_are_returned(send: Send, model: Model) -> None:
    """In the requested order: any layer, and the warnings."""
    names = ["warnings", "hidden_2", "normalization", "label"]
    komodo_dragon = [70, 35, 80, 140, 22, 12, 0, 36]
    response = infer(send, request_body(tensor(GREAT_DANE, komodo_dragon), outputs=[{"name": name} for name in names]))
    assert list(outputs(response)) == names
    layers = model.layer_outputs(np.array([GREAT_DANE, komodo_dragon], np.float32))
    for name in ("hidden_2", "normalization"):
        assert outputs(response)[name]["shape"] == list(layers[name].shape)
        np.testing.assert_array_equal(np.array(outputs(response)[name]["data"], np.float32), layers[name].ravel())
    silent, warned = outputs(response)["warnings"]["data"]
    assert silent == ""
    assert "body_mass_kg" in warned


def test_classification_returns_the_most_probable_labels(send: Send) -> None:
    """``value:index:label``, highest first; a count beyond the number of labels gives all."""
    for count, width in ((2, 2), (99, 4)):
        requested_output = {"name": "probabilities", "parameters": {"classification": count}}
        response = outputs(infer(send, request_body(tensor(MAINE_COON, BEARDED_DRAGON), outputs=[requested_output])))[
            "probabilities"
        ]
        assert (response["datatype"], response["shape"]) == ("BYTES", [2, width])
        entries = [entry.split(":") for entry in response["data"]]
        assert (entries[0][1:], entries[width][1:]) == (["0", "cat"], ["3", "lizard"])
        values = [float(value) for value, _, _ in entries[:width]]
        assert values == sorted(values, reverse=True)
        assert values[0] > 0.9


@pytest.mark.parametrize("rows", [1, 3])
def test_binary_outputs_on_request(send: Send, rows: int) -> None:
    """For all outputs, or for those whose parameters say so."""
    rows_sent = list(KNOWN.values())[:rows]
    expected = outputs(infer(send, request_body(tensor(*rows_sent))))
    all_, (probabilities, label) = split_binary_response(
        send("POST", INFER, *binary_request(rows_sent, parameters={"binary_data_output": True}, id="a"))
    )
    assert (all_["id"], [output["shape"] for output in all_["outputs"]]) == ("a", [[rows, 4], [rows]])
    np.testing.assert_array_equal(
        np.frombuffer(probabilities, "<f4"), np.array(expected["probabilities"]["data"], np.float32)
    )
    assert label == b"".join(struct.pack("<I", len(name)) + name.encode() for name in expected["label"]["data"])
    some = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    document, (_, again) = split_binary_response(
        send("POST", INFER, *binary_request(rows_sent, parameters={"binary_data_output": True}, outputs=some))
    )
    assert document["outputs"][0] == expected["label"]
    assert again == probabilities


def test_raw_binary_request(send: Send) -> None:
    """A JSON part of length 0: float32 rows in, binary outputs back."""
    content = np.array([LLAMA, GREAT_DANE], "<f4").tobytes()
    document, (probabilities, _) = split_binary_response(send("POST", INFER, content, RAW))
    assert document["outputs"][0]["shape"] == [2, 4]
    assert np.frombuffer(probabilities, "<f4").reshape(2, 4).argmax(axis=1).tolist() == [2, 1]


class BadInput(NamedTuple):
    description: str
    body: bytes
    message: str  # a part of the error
    headers: dict[str, str] = JSON
    status: int = 400
    path: str = INFER


def _binary_bad_input(
    description: str, message: str, size: str | None = None, more: bytes = b"", **changes: Any
) -> BadInput:
    body, headers = binary_request([MAINE_COON], **changes)
    return BadInput(
        description, body + more, message, headers | ({"Inference-Header-Content-Length": size} if size else {})
    )


GOOD = request_body(tensor(MAINE_COON))
BAD_INPUTS = [
    BadInput("an empty body", b"", "not valid JSON"),
    BadInput("no JSON", b"{", "not valid JSON"),
    BadInput("NaN", GOOD.replace(b"6.8", b"NaN"), "NaN is not a JSON number"),
    BadInput("overflow to infinity", GOOD.replace(b"6.8", b"1e999"), "finite"),
    BadInput("bytes after the object", GOOD + b"x", "not valid JSON"),
    BadInput("100,000 levels", b'{"inputs": ' + b"[" * 100_000, "nested too deeply"),
    BadInput(
        "900 levels of data", request_body(tensor(MAINE_COON)).replace(b"6.8", b"[" * 900 + b"]" * 900), "must be"
    ),
    BadInput("a list", b"[]", "the body"),
    BadInput("no inputs", b"{}", "inputs: Field required"),
    BadInput("inputs empty", request_body(), "the input features is missing"),
    BadInput("inputs an object", b'{"inputs": {}}', "inputs: "),
    BadInput("an id that is a number", request_body(tensor(MAINE_COON), id=7), "id: "),
    BadInput("inputs null", b'{"inputs": null}', "inputs: "),
    BadInput("a name that is null", request_body(tensor(MAINE_COON, name=None)), "inputs[0].name: "),
    BadInput("a shape that is null", request_body(tensor(MAINE_COON, shape=None)), "inputs[0].shape: "),
    BadInput("an output that is null", request_body(tensor(MAINE_COON), outputs=[None]), "outputs[0]: "),
    BadInput("a key twice", GOOD[:-1] + b', "inputs": []}', "twice"),
    BadInput("a key twice in a tensor", GOOD.replace(b'"name"', b'"name": "x", "name"'), "twice"),
    BadInput("an unknown tensor", request_body(tensor(MAINE_COON, name="image")), "unknown input 'image'"),
    BadInput(
        "one known, one unknown", request_body(tensor(MAINE_COON), tensor(MAINE_COON, name="x")), "unknown input 'x'"
    ),
    BadInput("a tensor twice", request_body(tensor(MAINE_COON), tensor(MAINE_COON)), "duplicate input"),
    BadInput("a tensor without a name", request_body({"shape": [1, 8]}), "inputs[0].name: Field required"),
    BadInput(
        "a tensor without data",
        request_body({k: v for k, v in tensor(MAINE_COON).items() if k != "data"}),
        "either data",
    ),
    BadInput("data null", request_body(tensor(MAINE_COON, data=None)), "either data or"),
    BadInput("shape against data", request_body(tensor(MAINE_COON, shape=[2, 8])), "16 elements"),
    BadInput("a wrong width", request_body(tensor(MAINE_COON[:7], shape=[1, 7])), "shape must be [rows, 8]"),
    BadInput("a row too short", request_body(tensor(MAINE_COON[:7])), "must have 8 numbers"),
    BadInput("rank 1", request_body(tensor(MAINE_COON, shape=[8])), "shape must be"),
    BadInput("rank 3", request_body(tensor(MAINE_COON, shape=[1, 1, 8])), "shape must be"),
    BadInput("no rows", request_body(tensor(shape=[0, 8], data=[])), "at least one row"),
    BadInput("a negative dimension", request_body(tensor(MAINE_COON, shape=[-1, 8])), "at least one row"),
    BadInput("a dimension of 30 digits", request_body(tensor(MAINE_COON, shape=[10**30, 8])), "shape[0]"),
    BadInput(
        "a dimension of 18 digits", request_body(tensor(MAINE_COON, shape=[10**18, 8])), "elements, as in its shape"
    ),
    BadInput("a fraction of a dimension", request_body(tensor(MAINE_COON, shape=[1.0, 8])), "shape[0]"),
    BadInput("10,001 rows", request_body(tensor(*[MAINE_COON] * 10_001)), "1 to 10000 rows"),
    BadInput("a string", GOOD.replace(b"6.8", b'"6.8"'), "body_mass_kg must be a number"),
    BadInput("null", GOOD.replace(b"6.8", b"null"), "not null"),
    BadInput("a boolean", GOOD.replace(b"6.8", b"true"), "not a boolean"),
    BadInput("an object for a row", request_body(tensor({"body_mass_kg": 1})), "elements, as in its shape"),
    BadInput("out of bounds", GOOD.replace(b"6.8", b"6800"), "body_mass_kg must be in the range"),
    BadInput("BYTES", request_body(tensor(MAINE_COON, datatype="BYTES")), "datatype must be one of FP32"),
    BadInput("BOOL", request_body(tensor(MAINE_COON, datatype="BOOL")), "datatype must be one of FP32"),
    BadInput("an unknown datatype", request_body(tensor(MAINE_COON, datatype="FLOAT")), "datatype must be one of FP32"),
    BadInput("floats as integers", request_body(tensor(MAINE_COON, datatype="INT32")), "must be integers"),
    BadInput(
        "an unknown output",
        request_body(tensor(MAINE_COON), outputs=[{"name": "hidden_9"}]),
        "unknown output 'hidden_9'",
    ),
    BadInput("an output twice", request_body(tensor(MAINE_COON), outputs=[{"name": "label"}] * 2), "duplicate output"),
    BadInput(
        "classification of labels",
        request_body(tensor(MAINE_COON), outputs=[{"name": "label", "parameters": {"classification": 1}}]),
        "classification is available for probabilities",
    ),
    BadInput(
        "classification of 0",
        request_body(tensor(MAINE_COON), outputs=[{"name": "probabilities", "parameters": {"classification": 0}}]),
        "classification",
    ),
    _binary_bad_input("bytes too few", "32 bytes follow", tensor={"parameters": {"binary_data_size": 64}}),
    _binary_bad_input("bytes too many", "36 bytes follow", more=b"1234"),
    _binary_bad_input(
        "a size that is no number", "binary_data_size", tensor={"parameters": {"binary_data_size": "32"}}
    ),
    _binary_bad_input("a negative size", "binary_data_size", tensor={"parameters": {"binary_data_size": -1}}),
    _binary_bad_input("size against shape", "32 bytes of data, but", tensor={"shape": [2, 8]}),
    _binary_bad_input("size against datatype", "32 bytes of data, but", tensor={"datatype": "FP64"}),
    _binary_bad_input("data and binary data", "either data or", tensor={"data": MAINE_COON}),
    _binary_bad_input("a header too long", "Inference-Header-Content-Length", "1000"),
    _binary_bad_input("a header that is no number", "Inference-Header-Content-Length", "ten"),
    _binary_bad_input("a negative header", "Inference-Header-Content-Length", "-1"),
    _binary_bad_input("a header in the middle of the JSON", "not valid JSON", "20"),
    BadInput("NaN in bytes", np.full(8, np.nan, "<f4").tobytes(), "must be a finite number", RAW),
    BadInput("out of bounds in bytes", np.full(8, 1e6, "<f4").tobytes(), "body_mass_kg must be in the range", RAW),
    BadInput(
        "the second row out of bounds", np.array([LLAMA, [1e6] * 8], "<f4").tobytes(), "must be in the range", RAW
    ),
    BadInput("a raw body of half a row", b"\0" * 48, "32 bytes each", RAW),
    BadInput("an empty raw body", b"", "32 bytes each", RAW),
    BadInput("binary data without the header", binary_request([MAINE_COON])[0], "not", OCTETS),
    BadInput("another model", GOOD, "this service serves animals", JSON, 404, "/v2/models/plants/infer"),
    BadInput("another version", GOOD, "version 1 of animals", JSON, 404, "/v2/models/animals/versions/2/infer"),
    BadInput(
        "a version that is no number", GOOD, "version 1 of animals", JSON, 404, "/v2/models/animals/versions/01/infer"
    ),
    BadInput("gzip", GOOD, "Content-Encoding", JSON | {"Content-Encoding": "gzip"}, 415),
    BadInput("5 MB", GOOD + b" " * 5_000_000, "4194304 bytes", JSON, 413),
]


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.description)
def test_invalid_request_is_refused(send: Send, bad: BadInput) -> None:
    """``{"error": …}`` and nothing else, with the protocol's statuses: never 422, never ``detail``."""
    response = send("POST", bad.path, bad.body, bad.headers)
    assert (response.status, response.headers["Content-Type"]) == (bad.status, "application/json"), response.body
    error = json.loads(response.body)
    assert list(error) == ["error"]
    assert bad.message in error["error"]
    assert len(response.body) < 3000


@pytest.mark.parametrize(
    ("method", "path", "status", "document"),
    [
        ("GET", "/v2/health/live", 200, {"live": True}),
        ("GET", "/v2/health/ready", 200, {"live": True, "ready": True}),
        ("GET", "/v2/models/animals/ready", 200, {"name": "animals", "ready": True}),
        ("GET", "/v2/models/animals/versions/1/ready", 200, {"name": "animals", "ready": True}),
        ("GET", "/v2/models/animals/versions/2/ready", 404, None),
        ("GET", "/v2/models/plants", 404, None),
        ("GET", "/v2/models", 404, None),
        ("GET", "/v2/", 404, None),
        ("GET", INFER, 405, None),
        ("POST", "/v2/health/live", 405, None),
    ],
)
def test_other_routes(send: Send, method: str, path: str, status: int, document: Any) -> None:
    """Known paths respond; unknown ones get an error in the protocol's shape."""
    response = send(method, path)
    assert response.status == status
    received = json.loads(response.body)
    assert received == document if document else list(received) == ["error"]
    assert (response.headers.get("Allow") is not None) == (status == 405)


def test_metadata_lists_all_tensors(send: Send) -> None:
    """Name, datatype and shape of every input and output; -1 stands for the number of rows."""
    server, model = (json.loads(send("GET", path).body) for path in ("/v2", "/v2/models/animals"))
    assert server["name"] == "menagerie"
    assert {"binary_tensor_data", "classification", "statistics"} <= set(server["extensions"])
    assert model == json.loads(send("GET", "/v2/models/animals/versions/1").body)
    assert (model["name"], model["versions"]) == ("animals", ["1"])
    assert model["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 8]}]
    response = infer(
        send, request_body(tensor(LLAMA, LLAMA), outputs=[{"name": output["name"]} for output in model["outputs"]])
    )
    described = [output | {"shape": [-1, *output["shape"][1:]]} for output in response["outputs"]]
    assert [{key: output[key] for key in ("name", "datatype", "shape")} for output in described] == model["outputs"]
    index = json.loads(send("POST", "/v2/repository/index").body)
    assert index == [{"name": "animals", "version": "1", "state": "READY", "reason": ""}]


def test_model_config_agrees_with_the_metadata(send: Send) -> None:
    """Triton's format: shapes without the batch dimension, and the largest batch."""
    metadata, config = (json.loads(send("GET", f"/v2/models/animals{path}").body) for path in ("", "/config"))
    assert config == json.loads(send("GET", "/v2/models/animals/versions/1/config").body)
    assert (config["name"], config["platform"], config["max_batch_size"]) == ("animals", metadata["platform"], 10_000)
    assert config["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": [8]}]
    for tensor_config, output in zip(config["output"], metadata["outputs"], strict=True):
        assert (tensor_config["name"], tensor_config["dims"]) == (output["name"], output["shape"][1:])
        assert tensor_config["data_type"] == {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}[output["datatype"]]


def test_statistics_count_rows_and_requests(client: FlaskClient) -> None:
    """Successes and failures count requests, inferences count rows, over all protocols.

    In process, where no count comes later; `test_observations_over_workers` compares those of several workers.
    """

    def stats() -> Any:
        (version_statistics,) = client.get("/v2/models/animals/stats").get_json()["model_stats"]
        return version_statistics

    before = stats()
    for _ in range(10):
        assert client.post(INFER, data=request_body(tensor(MAINE_COON, LLAMA, LLAMA)), headers=JSON).status_code == 200
    client.post("/predict", json={"features": LLAMA})
    client.post("/predict", data=b"{", headers=JSON)
    after = stats()
    increase = {
        name: after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"]
        for name in ("success", "fail", "compute_infer")
    }
    assert increase == {"success": 11, "fail": 1, "compute_infer": 11}
    assert after["inference_count"] - before["inference_count"] == 31
    assert after["execution_count"] - before["execution_count"] == 11
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["last_inference"] >= before["last_inference"]
