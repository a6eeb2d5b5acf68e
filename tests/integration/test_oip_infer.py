"""The Open Inference Protocol, in process and under gunicorn."""

import json
import struct
import time
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.http_responses import HttpResponse, Send
from support.known_animals import BEARDED_DRAGON, GREAT_DANE, KNOWN, LLAMA, MAINE_COON

from service.inference.model import Model

INFER = "/v2/models/animals/infer"
JSON = {"Content-Type": "application/json"}
OCTETS = {"Content-Type": "application/octet-stream"}
RAW = OCTETS | {"Inference-Header-Content-Length": "0"}


def tensor(*rows: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "features", "shape": [len(rows), 8], "datatype": "FP32", "data": rows} | changes


def asking(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": inputs, **more}).encode()


def ask(send: Send, body: bytes, path: str = INFER) -> Any:
    answer = send("POST", path, body, JSON)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json"), answer.body
    return json.loads(answer.body)


def outputs(answer: Any) -> dict[str, Any]:
    return {output["name"]: output for output in answer["outputs"]}


def binary(rows: Any, kind: str = "<f4", **more: Any) -> tuple[bytes, dict[str, str]]:
    """A request whose rows stand behind its JSON."""
    content = np.array(rows, kind).tobytes()
    described: dict[str, Any] = {"name": "features", "shape": [len(rows), 8], "datatype": "FP32"}
    described |= {"parameters": {"binary_data_size": len(content)}}
    head = asking(described | more.pop("tensor", {}), **more)
    return head + content, OCTETS | {"Inference-Header-Content-Length": str(len(head))}


def parts(answer: HttpResponse) -> tuple[Any, list[bytes]]:
    """The JSON of a binary answer, and the bytes of each output that has any."""
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream"), answer.body
    size = int(answer.headers["Inference-Header-Content-Length"])
    told, rest, found = json.loads(answer.body[:size]), answer.body[size:], []
    for output in told["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size", 0)
        found.append(rest[:length])
        rest = rest[length:]
    assert rest == b""
    return told, found


def test_rows_get_probabilities_and_labels(send: Send) -> None:
    """What is not asked for by name is answered with both, and with the request's own id."""
    answer = ask(send, asking(tensor(*KNOWN.values()), id="42"))
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("animals", "1", "42")
    assert list(outputs(answer)) == ["probabilities", "label"]
    assert outputs(answer)["label"] == {"name": "label", "datatype": "BYTES", "shape": [4], "data": list(KNOWN)}
    probabilities = outputs(answer)["probabilities"]
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [4, 4])
    np.testing.assert_allclose(np.reshape(probabilities["data"], (4, 4)).sum(axis=1), 1, atol=1e-6)


def test_every_way_to_say_the_same_gets_the_same(send: Send) -> None:
    """Flat or nested, with or without a version, a content type or an id: the same answer."""
    nested = ask(send, asking(tensor(MAINE_COON, LLAMA)))
    assert ask(send, asking(tensor(MAINE_COON, LLAMA, data=[*MAINE_COON, *LLAMA]))) == nested
    assert ask(send, asking(tensor(MAINE_COON, LLAMA)), "/v2/models/animals/versions/1/infer") == nested
    assert ask(send, asking(tensor(MAINE_COON, LLAMA), outputs=[])) == nested
    assert ask(send, asking(tensor(MAINE_COON, LLAMA), parameters={"own": 1}, stranger=None)) == nested
    assert json.loads(send("POST", INFER, asking(tensor(MAINE_COON, LLAMA))).body) == nested


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT64"])
def test_numbers_of_every_type_are_converted(send: Send, datatype: str) -> None:
    """Whole measurements mean the same as integers and as floats, in JSON and in bytes."""
    whole = [7, 31, 42, 36, 11, 8, 7, 38]
    expected = ask(send, asking(tensor(whole)))
    assert ask(send, asking(tensor(whole, datatype=datatype))) == expected
    kind = np.dtype(datatype.lower().replace("fp", "float")).newbyteorder("<")
    body, headers = binary([whole], kind.str, tensor={"datatype": datatype})
    assert json.loads(send("POST", INFER, body, headers).body) == expected


def test_outputs_are_chosen_by_name(send: Send, model: Model) -> None:
    """Every layer can be had, in the order asked for; so can the warnings."""
    asked = ["warnings", "hidden_2", "normalization", "label"]
    komodo = [70, 35, 80, 140, 22, 12, 0, 36]
    answer = ask(send, asking(tensor(GREAT_DANE, komodo), outputs=[{"name": name} for name in asked]))
    assert list(outputs(answer)) == asked
    layers = model.layer_outputs(np.array([GREAT_DANE, komodo], np.float32))
    for name in ("hidden_2", "normalization"):
        assert outputs(answer)[name]["shape"] == list(layers[name].shape)
        np.testing.assert_array_equal(np.array(outputs(answer)[name]["data"], np.float32), layers[name].ravel())
    silent, warned = outputs(answer)["warnings"]["data"]
    assert silent == ""
    assert "ear_length_cm" in warned


def test_classification_names_the_likeliest(send: Send) -> None:
    """``value:index:label``, best first; more than there are gets all."""
    for count, width in ((2, 2), (99, 4)):
        wish = {"name": "probabilities", "parameters": {"classification": count}}
        answer = outputs(ask(send, asking(tensor(MAINE_COON, BEARDED_DRAGON), outputs=[wish])))["probabilities"]
        assert (answer["datatype"], answer["shape"]) == ("BYTES", [2, width])
        told = [entry.split(":") for entry in answer["data"]]
        assert (told[0][1:], told[width][1:]) == (["0", "cat"], ["3", "lizard"])
        values = [float(value) for value, _, _ in told[:width]]
        assert values == sorted(values, reverse=True)
        assert values[0] > 0.9


@pytest.mark.parametrize("rows", [1, 3])
def test_bytes_are_answered_in_bytes_where_asked(send: Send, rows: int) -> None:
    """Rows behind the JSON, outputs behind the JSON: all of them or those that say so."""
    asked = list(KNOWN.values())[:rows]
    expected = outputs(ask(send, asking(tensor(*asked))))
    all_, (probabilities, label) = parts(
        send("POST", INFER, *binary(asked, parameters={"binary_data_output": True}, id="a"))
    )
    assert (all_["id"], [output["shape"] for output in all_["outputs"]]) == ("a", [[rows, 4], [rows]])
    np.testing.assert_array_equal(
        np.frombuffer(probabilities, "<f4"), np.array(expected["probabilities"]["data"], np.float32)
    )
    assert label == b"".join(struct.pack("<I", len(name)) + name.encode() for name in expected["label"]["data"])
    some = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    told, (_, again) = parts(send("POST", INFER, *binary(asked, parameters={"binary_data_output": True}, outputs=some)))
    assert told["outputs"][0] == expected["label"]
    assert again == probabilities


def test_a_raw_body_is_rows_and_nothing_else(send: Send) -> None:
    """A JSON part of no length: rows of float32 in, bytes out."""
    content = np.array([LLAMA, GREAT_DANE], "<f4").tobytes()
    told, (probabilities, _) = parts(send("POST", INFER, content, RAW))
    assert told["outputs"][0]["shape"] == [2, 4]
    assert np.frombuffer(probabilities, "<f4").reshape(2, 4).argmax(axis=1).tolist() == [2, 1]


class Bad(NamedTuple):
    what: str
    body: bytes
    told: str  # what the error says, in part
    headers: dict[str, str] = JSON
    status: int = 400
    path: str = INFER


def _binary(what: str, told: str, size: str | None = None, more: bytes = b"", **changes: Any) -> Bad:
    body, headers = binary([MAINE_COON], **changes)
    return Bad(what, body + more, told, headers | ({"Inference-Header-Content-Length": size} if size else {}))


GOOD = asking(tensor(MAINE_COON))
BAD = [
    Bad("an empty body", b"", "not JSON"),
    Bad("no JSON", b"{", "not JSON"),
    Bad("NaN", GOOD.replace(b"6.8", b"NaN"), "NaN is no JSON number"),
    Bad("infinity by exponent", GOOD.replace(b"6.8", b"1e999"), "finite"),
    Bad("bytes behind the object", GOOD + b"x", "not JSON"),
    Bad("100,000 levels", b'{"inputs": ' + b"[" * 100_000, "nested too deeply"),
    Bad("900 levels of data", asking(tensor(MAINE_COON)).replace(b"6.8", b"[" * 900 + b"]" * 900), "must be"),
    Bad("a list", b"[]", "the body"),
    Bad("no inputs", b"{}", "inputs: Field required"),
    Bad("inputs empty", asking(), "the input features is missing"),
    Bad("inputs an object", b'{"inputs": {}}', "inputs: "),
    Bad("an id that is a number", asking(tensor(MAINE_COON), id=7), "id: "),
    Bad("an id that is null", asking(tensor(MAINE_COON), id=None), "id: "),
    Bad("a key twice", GOOD[:-1] + b', "inputs": []}', "twice"),
    Bad("a key twice in a tensor", GOOD.replace(b'"name"', b'"name": "x", "name"'), "twice"),
    Bad("an unknown tensor", asking(tensor(MAINE_COON, name="image")), "no input 'image'"),
    Bad("one known, one unknown", asking(tensor(MAINE_COON), tensor(MAINE_COON, name="x")), "no input 'x'"),
    Bad("a tensor twice", asking(tensor(MAINE_COON), tensor(MAINE_COON)), "stands twice"),
    Bad("a tensor without a name", asking({"shape": [1, 8]}), "inputs[0].name: Field required"),
    Bad("a tensor without data", asking({k: v for k, v in tensor(MAINE_COON).items() if k != "data"}), "either data"),
    Bad("data null", asking(tensor(MAINE_COON, data=None)), "must be a list"),
    Bad("shape against data", asking(tensor(MAINE_COON, shape=[2, 8])), "16 elements"),
    Bad("a wrong width", asking(tensor(MAINE_COON[:7], shape=[1, 7])), "shape must be [rows, 8]"),
    Bad("a row too short", asking(tensor(MAINE_COON[:7])), "must have 8 numbers"),
    Bad("rank 1", asking(tensor(MAINE_COON, shape=[8])), "shape must be"),
    Bad("rank 3", asking(tensor(MAINE_COON, shape=[1, 1, 8])), "shape must be"),
    Bad("no rows", asking(tensor(shape=[0, 8], data=[])), "one row or more"),
    Bad("a negative dimension", asking(tensor(MAINE_COON, shape=[-1, 8])), "one row or more"),
    Bad("a dimension of 30 digits", asking(tensor(MAINE_COON, shape=[10**30, 8])), "shape[0]"),
    Bad("a dimension of 18 digits", asking(tensor(MAINE_COON, shape=[10**18, 8])), "elements of its shape"),
    Bad("a fraction of a dimension", asking(tensor(MAINE_COON, shape=[1.0, 8])), "shape[0]"),
    Bad("10,001 rows", asking(tensor(*[MAINE_COON] * 10_001)), "1 to 10000 rows"),
    Bad("a string", GOOD.replace(b"6.8", b'"6.8"'), "body_mass_kg must be a number"),
    Bad("null", GOOD.replace(b"6.8", b"null"), "not null"),
    Bad("a boolean", GOOD.replace(b"6.8", b"true"), "not a boolean"),
    Bad("an object for a row", asking(tensor({"body_mass_kg": 1})), "elements of its shape"),
    Bad("out of bounds", GOOD.replace(b"6.8", b"6800"), "body_mass_kg must lie within"),
    Bad("BYTES", asking(tensor(MAINE_COON, datatype="BYTES")), "must be of FP32"),
    Bad("BOOL", asking(tensor(MAINE_COON, datatype="BOOL")), "must be of FP32"),
    Bad("an unknown datatype", asking(tensor(MAINE_COON, datatype="FLOAT")), "must be of FP32"),
    Bad("floats as integers", asking(tensor(MAINE_COON, datatype="INT32")), "must be integers"),
    Bad("an unknown output", asking(tensor(MAINE_COON), outputs=[{"name": "hidden_9"}]), "no output 'hidden_9'"),
    Bad("an output twice", asking(tensor(MAINE_COON), outputs=[{"name": "label"}] * 2), "stands twice"),
    Bad(
        "classification of labels",
        asking(tensor(MAINE_COON), outputs=[{"name": "label", "parameters": {"classification": 1}}]),
        "classification is of probabilities",
    ),
    Bad(
        "the likeliest none",
        asking(tensor(MAINE_COON), outputs=[{"name": "probabilities", "parameters": {"classification": 0}}]),
        "classification",
    ),
    _binary("bytes too few", "32 bytes follow", tensor={"parameters": {"binary_data_size": 64}}),
    _binary("bytes too many", "36 bytes follow", more=b"1234"),
    _binary("a size that is no number", "binary_data_size", tensor={"parameters": {"binary_data_size": "32"}}),
    _binary("a negative size", "binary_data_size", tensor={"parameters": {"binary_data_size": -1}}),
    _binary("size against shape", "32 bytes of data where", tensor={"shape": [2, 8]}),
    _binary("size against datatype", "32 bytes of data where", tensor={"datatype": "FP64"}),
    _binary("both kinds of data", "either data or", tensor={"data": MAINE_COON}),
    _binary("a header too long", "Inference-Header-Content-Length", "1000"),
    _binary("a header that is no number", "Inference-Header-Content-Length", "ten"),
    _binary("a negative header", "Inference-Header-Content-Length", "-1"),
    _binary("a header in the middle of the JSON", "not JSON", "20"),
    Bad("NaN in bytes", np.full(8, np.nan, "<f4").tobytes(), "must be a finite number", RAW),
    Bad("out of bounds in bytes", np.full(8, 1e6, "<f4").tobytes(), "body_mass_kg must lie within", RAW),
    Bad("the second row out of bounds", np.array([LLAMA, [1e6] * 8], "<f4").tobytes(), "must lie within", RAW),
    Bad("a raw body of half a row", b"\0" * 48, "32 bytes each", RAW),
    Bad("an empty raw body", b"", "32 bytes each", RAW),
    Bad("binary data without the header", binary([MAINE_COON])[0], "not", OCTETS),
    Bad("another model", GOOD, "animals is", JSON, 404, "/v2/models/plants/infer"),
    Bad("another version", GOOD, "1 is", JSON, 404, "/v2/models/animals/versions/2/infer"),
    Bad("a version that is no number", GOOD, "1 is", JSON, 404, "/v2/models/animals/versions/01/infer"),
    Bad("text", GOOD, "application/json", {"Content-Type": "text/plain"}, 415),
    Bad("gzip", GOOD, "Content-Encoding", JSON | {"Content-Encoding": "gzip"}, 415),
    Bad("5 MB", GOOD + b" " * 5_000_000, "4194304 bytes", JSON, 413),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_what_is_wrong_is_told_in_one_sentence(send: Send, bad: Bad) -> None:
    """``{"error": …}`` and nothing else, with the protocol's statuses: never 422, never ``detail``."""
    answer = send("POST", bad.path, bad.body, bad.headers)
    assert (answer.status, answer.headers["Content-Type"]) == (bad.status, "application/json"), answer.body
    told = json.loads(answer.body)
    assert list(told) == ["error"]
    assert bad.told in told["error"]
    assert len(answer.body) < 3000


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
def test_routes_of_the_protocol(send: Send, method: str, path: str, status: int, document: Any) -> None:
    """What there is answers; what there is not says so in the protocol's own shape."""
    answer = send(method, path)
    assert answer.status == status
    told = json.loads(answer.body)
    assert told == document if document else list(told) == ["error"]
    assert (answer.headers.get("Allow") is not None) == (status == 405)


def test_metadata_describes_the_tensors(send: Send) -> None:
    """Name, datatype and shape of everything that can be sent or had; -1 stands for the rows."""
    server, model = (json.loads(send("GET", path).body) for path in ("/v2", "/v2/models/animals"))
    assert server["name"] == "menagerie"
    assert {"binary_tensor_data", "classification", "statistics"} <= set(server["extensions"])
    assert model == json.loads(send("GET", "/v2/models/animals/versions/1").body)
    assert (model["name"], model["versions"]) == ("animals", ["1"])
    assert model["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 8]}]
    answer = ask(send, asking(tensor(LLAMA, LLAMA), outputs=[{"name": output["name"]} for output in model["outputs"]]))
    told = [output | {"shape": [-1, *output["shape"][1:]]} for output in answer["outputs"]]
    assert [{key: output[key] for key in ("name", "datatype", "shape")} for output in told] == model["outputs"]
    index = json.loads(send("POST", "/v2/repository/index").body)
    assert index == [{"name": "animals", "version": "1", "state": "READY", "reason": ""}]


def test_configuration_is_the_metadata_in_the_words_of_triton(send: Send) -> None:
    """The same tensors, each without its rows; how many of them there may be is the batch size."""
    metadata, config = (json.loads(send("GET", f"/v2/models/animals{path}").body) for path in ("", "/config"))
    assert config == json.loads(send("GET", "/v2/models/animals/versions/1/config").body)
    assert (config["name"], config["platform"], config["max_batch_size"]) == ("animals", metadata["platform"], 10_000)
    assert config["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": [8]}]
    for told, output in zip(config["output"], metadata["outputs"], strict=True):
        assert (told["name"], told["dims"]) == (output["name"], output["shape"][1:])
        assert told["data_type"] == {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}[output["datatype"]]


def test_statistics_count_rows_and_requests(send: Send) -> None:
    """Successes and failures by request, inferences by row, over every protocol and worker."""

    def stats() -> Any:
        time.sleep(0.3)  # counts are exact after a quiet moment
        (told,) = json.loads(send("GET", "/v2/models/animals/stats").body)["model_stats"]
        return told

    before = stats()
    for _ in range(10):
        ask(send, asking(tensor(MAINE_COON, LLAMA, LLAMA)))
    send("POST", "/predict", json.dumps({"features": LLAMA}).encode(), JSON)
    send("POST", "/predict", b"{", JSON)
    after = stats()
    grown = {
        name: after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"]
        for name in ("success", "fail", "compute_infer")
    }
    assert grown == {"success": 11, "fail": 1, "compute_infer": 11}
    assert after["inference_count"] - before["inference_count"] == 31
    assert after["execution_count"] - before["execution_count"] == 11
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["last_inference"] >= before["last_inference"]
