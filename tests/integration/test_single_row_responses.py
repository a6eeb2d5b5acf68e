"""One row on the fast path gets the response that the pipeline gives, and is counted in the same way."""

import http.client
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from support.gunicorn_server import Server, serving
from support.headed_bundles import HEADS
from support.headed_models import NAME, Headed
from support.known_animals import LLAMA, MAINE_COON, NAMES, named

from service.app.asgi import AsgiApp
from service.app.routes import build_service
from service.settings import Settings

PREDICT, V1, V2 = "/predict", "/v1/models/animals:predict", "/v2/models/animals/infer"
JSON = {"Content-Type": "application/json"}
BINARY = {"Content-Type": "application/octet-stream"}
TRACED = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
GIANT = [*LLAMA[:-1], LLAMA[-1] + 5]  # within the bounds, outside the training range
Request = tuple[str, bytes, dict[str, str]]


def tensor(row: Any = LLAMA, **members: Any) -> bytes:
    given = {"name": "features", "shape": [1, 8], "datatype": "FP32", "data": row}
    return json.dumps({"inputs": [given], **members}).encode()


def binary(row: Sequence[float], **members: Any) -> Request:
    content = np.array(row, "<f4").tobytes()
    given = {"name": "features", "shape": [1, 8], "datatype": "FP32", "parameters": {"binary_data_size": len(content)}}
    head = json.dumps({"inputs": [given], **members}).encode()
    return V2, head + content, {**BINARY, "Inference-Header-Content-Length": str(len(head))}


def native(features: Any, **headers: str) -> Request:
    return PREDICT, json.dumps({"features": features}).encode(), JSON | headers


OUTPUTS = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
REQUESTS: dict[str, Request] = {
    "a list": native(LLAMA),
    "by name": native(named(LLAMA)),
    "by name in another order": native(dict(reversed(named(LLAMA).items()))),
    "integers": native([int(value) for value in LLAMA]),
    "a warning": native(GIANT),
    "a trace": native(LLAMA, **TRACED),
    "an invalid trace": native(LLAMA, traceparent="00-x"),
    "blanks": (PREDICT, b' {"features" : ' + json.dumps(LLAMA).encode() + b"}\n", JSON),
    "one value too few": native(LLAMA[1:]),
    "a string": native(["1", *LLAMA[1:]]),
    "a boolean": native([True, *LLAMA[1:]]),
    "out of bounds": native([-1, *LLAMA[1:]]),
    "an unknown name": native(named(LLAMA) | {"wings": 2}),
    "a name missing": native(dict(list(named(LLAMA).items())[1:])),
    "a key twice": (PREDICT, b'{"features": 1, "features": %b}' % json.dumps(LLAMA).encode(), JSON),
    "a name twice": (
        PREDICT,
        json.dumps({"features": named(LLAMA)}).encode().replace(b"{", b'{"%b": 1, ' % NAMES[0].encode()),
        JSON,
    ),
    "an escaped name": (PREDICT, json.dumps({"features": named(LLAMA)}).encode().replace(b"body", b"\\u0062ody"), JSON),
    "null": native(None),
    "another media type": (PREDICT, b"{}", {"Content-Type": "text/plain"}),
    "a charset": (
        PREDICT,
        json.dumps({"features": LLAMA}).encode(),
        {"Content-Type": "application/json; charset=utf-8"},
    ),
    "another charset": native(LLAMA, **{"Content-Type": "application/json; charset=latin-1; version=1"}),
    "a trailing semicolon": native(LLAMA, **{"Content-Type": "application/json;"}),
    "a JSON suffix": native(LLAMA, **{"Content-Type": "application/vnd.api+json"}),
    "two media types": native(LLAMA, **{"Content-Type": "application/json, text/plain"}),
    "instances null": (PREDICT, json.dumps({"features": LLAMA, "instances": None}).encode(), JSON),
    "a coding": native(LLAMA, **{"Content-Encoding": "gzip"}),
    "no JSON": (PREDICT, b'{"features": [', JSON),
    "v1": (V1, json.dumps({"instances": [MAINE_COON]}).encode(), {}),
    "v1 with null": (V1, json.dumps({"instances": [LLAMA], "inputs": None, "signature_name": None}).encode(), JSON),
    "v1 by name": (V1, json.dumps({"instances": [named(LLAMA)]}).encode(), JSON),
    "v1 with the tensor's name": (V1, json.dumps({"instances": [{"features": LLAMA}]}).encode(), JSON),
    "v1 invalid": (V1, json.dumps({"instances": [LLAMA[1:]]}).encode(), JSON),
    "v1 with a version": (V1.replace(":", "/versions/1:"), json.dumps({"instances": [LLAMA]}).encode(), JSON),
    "v1 of another model": (V1.replace("animals", "plants"), json.dumps({"instances": [LLAMA]}).encode(), JSON),
    "v2": (V2, tensor(), JSON),
    "v2 nested": (V2, tensor([LLAMA]), JSON),
    "v2 with an id": (V2, tensor(id="a%b"), {}),
    "v2 with an id that is none": (V2, tensor(id=1), JSON),
    "v2 with null": (V2, tensor(id=None, parameters=None, outputs=None), JSON),
    "v2 with data that are null": (V2, tensor(None), JSON),
    "v2 as a form": (V2, tensor(), {"Content-Type": "application/x-www-form-urlencoded"}),
    "v2 as text": (V2, tensor(), {"Content-Type": "text/plain; charset=utf-8"}),
    "v2 with a coding": (V2, tensor(), JSON | {"Content-Encoding": "gzip"}),
    "v2 in integers": (V2, tensor([1] * 8).replace(b"FP32", b"INT32"), JSON),
    "v2 by name": (V2, tensor(named(LLAMA)), JSON),
    "v2 by name in a list": (V2, tensor([named(LLAMA)]), JSON),
    "v2 with an output": (V2, tensor(outputs=[{"name": "label"}]), JSON),
    "v2 with a hidden layer": (V2, tensor(outputs=[{"name": "hidden_1"}]), JSON),
    "v2 with classes": (V2, tensor(outputs=[{"name": "probabilities", "parameters": {"classification": 2}}]), JSON),
    "v2 with binary outputs": (V2, tensor(outputs=OUTPUTS), JSON),
    "v2 out of bounds": (V2, tensor([-1, *LLAMA[1:]]), JSON),
    "v2 with a key twice": (V2, tensor().replace(b'"name"', b'"shape": [1, 8], "name"'), JSON),
    "v2 binary": binary(LLAMA),
    "v2 binary both ways": binary(LLAMA, parameters={"binary_data_output": True}),
    "v2 binary with an id": binary(LLAMA, id="x"),
    "v2 binary out of bounds": binary([-1, *LLAMA[1:]]),
    "v2 binary and not a number": binary([float("nan"), *LLAMA[1:]]),
    "v2 binary, too long": (V2, binary(LLAMA)[1] + b"\0", binary(LLAMA)[2]),
    "v2 raw": (V2, np.array(LLAMA, "<f4").tobytes(), BINARY | {"Inference-Header-Content-Length": "0"}),
    "v2 raw, too short": (V2, b"\0" * 31, BINARY | {"Inference-Header-Content-Length": "0"}),
    "v2 with a wrong length": (V2, tensor(), BINARY | {"Inference-Header-Content-Length": "9999"}),
}
COUNTED = re.compile(
    r"menagerie_(?:(?:requests|rejections|predictions|rows|warnings)_total|prediction_confidence_ratio_bucket){(?!.*readyz).*"
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    """The service with the fast path, and without it."""
    with (
        serving(WEB_CONCURRENCY="1", MENAGERIE_FAST_PATH="true") as fast,
        serving(WEB_CONCURRENCY="1", MENAGERIE_FAST_PATH="false") as slow,
    ):
        yield fast, slow


def respond(server: Server, request: Request, times: int) -> list[Any]:
    """Status, header fields and body of each response to a request that is repeated, without what always differs."""
    path, body, headers = request
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    responses = []
    for _ in range(times):
        connection.request("POST", path, body, {"X-Request-ID": "same", **headers})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders() if name.lower() != "date"}
        fields["server-timing"] = re.sub(r"\d+\.\d{3}", "", fields["server-timing"])
        if "traceresponse" in fields:
            fields["traceresponse"] = re.sub(r"-\w{16}-", "", fields["traceresponse"])
            if "invalid" in str(headers) or headers.get("traceparent") == "00-x":
                fields["traceresponse"] = ""
        responses.append((response.status, fields, response.read()))
    connection.close()
    return responses


@pytest.mark.parametrize("name", REQUESTS)
def test_the_response_is_that_of_the_pipeline(servers: tuple[Server, Server], name: str) -> None:
    """Also to the second and the third request of the same form, about which the service then knows more."""
    fast, slow = (respond(server, REQUESTS[name], 3) for server in servers)
    assert fast == slow
    assert fast[0] == fast[1] == fast[2]


def test_rows_are_counted_as_by_the_pipeline() -> None:
    """Responses, rejections, predictions, confidences, warnings and rows for drift are the same.

    The only worker counts every request before it answers the next one that asks for counts, so none has to be awaited.
    """
    counts = []
    for is_on in ("true", "false"):
        with serving(WEB_CONCURRENCY="1", MENAGERIE_FAST_PATH=is_on) as server:
            for request in REQUESTS.values():
                respond(server, request, 2)
            lines = requests.get(f"{server.url}/metrics", timeout=10).text.splitlines()
            drift = requests.get(f"{server.url}/drift", timeout=10).json()
            counts.append(([line for line in lines if COUNTED.fullmatch(line)], drift["rows"], drift["features"]))
    fast, slow = counts
    assert fast == slow
    assert len([line for line in fast[0] if line.endswith(" 2.0")]) > 5, fast


ROW = [0.5, -1.25, 2.0]
HEADED_V1, HEADED_V2 = f"/v1/models/{NAME}:predict", f"/v2/models/{NAME}/infer"
INPUT_WIDTHS = {"one input": {"measurements": 3}, "several inputs": {"position": 2, "speed": 1}}


def _headed_requests(inputs: str) -> dict[str, Request]:
    """One row in every form that a model with these inputs takes, and some that it refuses."""
    tensors, by_input, start = [], {}, 0
    for name, width in INPUT_WIDTHS[inputs].items():
        by_input[name] = ROW[start : start + width]
        tensors.append({"name": name, "shape": [1, width], "datatype": "FP32", "data": by_input[name]})
        start += width
    headless = [
        {key: value for key, value in tensor.items() if key != "data"}
        | {"parameters": {"binary_data_size": 4 * len(tensor["data"])}}
        for tensor in tensors
    ]
    content = np.array(ROW, "<f4").tobytes()
    head = json.dumps({"inputs": headless, "parameters": {"binary_data_output": True}}).encode()
    features = {f"f{i}": value for i, value in enumerate(ROW, 1)}

    def v1(row: Any) -> Request:
        return HEADED_V1, json.dumps({"instances": [row]}).encode(), JSON

    def v2(tensors: Any, **members: Any) -> Request:
        return HEADED_V2, json.dumps({"inputs": tensors, **members}).encode(), JSON

    whole = [{"name": "features", "shape": [1, 3], "datatype": "FP32", "data": ROW}]
    return {
        "native": native(ROW),
        "native by name": native(features),
        "native with warnings": native([3.0, -3.0, 0.0]),
        "native out of bounds": native([1e39, 0, 0]),
        "v1": v1(ROW),
        "v1 by name": v1(features),
        "v1 by input": v1(by_input),
        "v1 by input, a value too many": v1({name: [*values, 1.0] for name, values in by_input.items()}),
        "v1 by input twice": (
            HEADED_V1,
            v1(by_input)[1].replace(b'[{"', b'[{"%b": [1.0], "' % next(iter(by_input)).encode()),
            JSON,
        ),
        "v1 by input, a string": v1({name: ["x"] * len(values) for name, values in by_input.items()}),
        "v2": v2(tensors),
        "v2 nested": v2([tensor | {"data": [tensor["data"]]} for tensor in tensors]),
        "v2 in another order": v2(tensors[::-1]),
        "v2 all features": v2(whole),
        "v2 with an id": v2(tensors, id="7"),
        "v2 with warnings": v2(tensors, outputs=[{"name": "warnings"}]),
        "v2 with a hidden layer": v2(tensors, outputs=[{"name": "hidden_1"}]),
        "v2 with an unknown output": v2(tensors, outputs=[{"name": "x"}]),
        "v2 a value elsewhere": v2([*tensors[:-1], tensors[-1] | {"data": []}]),
        "v2 a value too many": v2([*tensors[:-1], tensors[-1] | {"data": [*tensors[-1]["data"], 1.0]}]),
        "v2 binary": (HEADED_V2, head + content, BINARY | {"Inference-Header-Content-Length": str(len(head))}),
        "v2 raw": (HEADED_V2, content, BINARY | {"Inference-Header-Content-Length": "0"}),
        "v2 raw and not a number": (
            HEADED_V2,
            np.array([float("nan"), 0, 0], "<f4").tobytes(),
            BINARY | {"Inference-Header-Content-Length": "0"},
        ),
    }


@pytest.mark.parametrize("sample", [True, False])
@pytest.mark.parametrize("inputs", INPUT_WIDTHS)
@pytest.mark.parametrize("kind", [*HEADS, "a classification among others"])
def test_responses_of_every_head_are_those_of_the_pipeline(
    tmp_path: Path, kind: str, inputs: str, *, sample: bool
) -> None:
    """Byte for byte, in process, also once the form of a request is known; most are answered on the fast path."""
    headed = Headed.publish(tmp_path, kind, inputs, sample=sample)
    settings = Settings(model_store=tmp_path, model_name=NAME, server_timing=False)
    app = AsgiApp(build_service(settings))
    single_row = app.service.single_row
    assert single_row
    answered = set()
    for name, (path, body, fields) in _headed_requests(inputs).items():
        headers = {key.lower(): value for key, value in fields.items()}
        match = app.match("POST", path)
        assert match
        expected = app.handle(match, headers, body)
        for _ in range(2):
            if result := single_row.respond(match, headers, body):
                answered.add(name)
                response, _ = result
                assert (response.status, response.content_type) == (expected.status, expected.content_type), name
                assert response.body == expected.body, name
                assert response.headers.items() <= expected.headers.items(), name
        assert app.handle(match, headers, body).body == expected.body or expected.status >= 400, name
    usual = {"native", "native by name", "native with warnings"}
    if not headed.model.raw_layers:
        usual |= {"v1", "v1 by name", "v1 by input", "v2", "v2 nested", "v2 with an id", "v2 binary", "v2 raw"}
        usual |= {"v2 all features"} if inputs == "several inputs" else set()
    assert usual <= answered
    assert "v2 a value elsewhere" not in answered
