"""One row on the fast path gets the response that the pipeline gives, and is counted in the same way."""

import http.client
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import requests
from support.gunicorn_server import Server, serving
from support.known_animals import LLAMA, MAINE_COON, NAMES, named

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
    """Responses, rejections, predictions, confidences, warnings and rows for drift are the same."""
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
