"""gunicorn's asgi worker and plain Flask give byte-identical responses to the same request."""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bad_input import BAD_INPUTS, GOOD, BadInput
from support.gunicorn_server import Server, serving
from support.known_animals import KNOWN, NAMES, named

# These depend on the clock, the server around the adapter, or the connection.
SERVER_HEADERS = {"date", "server", "connection"}


@pytest.fixture(scope="module")
def flask_server() -> Iterator[Server]:
    """The Flask application alone, in gunicorn's threaded workers."""
    with serving(
        "--worker-class", "gthread", "--threads", "4", "service.app.flask_app:create_app()", WEB_CONCURRENCY="1"
    ) as ready:
        yield ready


SERVER_TIMING = re.compile(r"((admit|parse|validate|infer|render);dur=, )+total;dur=")


def without_varying_parts(value: str) -> str:
    """A header value without durations and without the span id."""
    return re.sub(r"^00-(\w{32})-\w{16}-", r"00-\1-", re.sub(r";dur=\d+\.\d{3}(?=,|$)", ";dur=", value))


def exchange(server: Server, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[Any, ...]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        with suppress(BrokenPipeError):  # the response to an oversized body comes before its end
            connection.request(method, path, body, {"X-Request-ID": "same", **headers})
        response = connection.getresponse()
        headers_received = sorted(
            (name.lower(), without_varying_parts(value))
            for name, value in response.getheaders()
            if name.lower() not in SERVER_HEADERS
        )
        assert SERVER_TIMING.fullmatch(dict(headers_received)["server-timing"])
        content = re.sub(rb'"uptime_seconds":[0-9.]+', b"", response.read())
        length = [] if "health" in path else [pair for pair in headers_received if pair[0] == "content-length"]
        return response.status, [pair for pair in headers_received if pair[0] != "content-length"], length, content
    finally:
        connection.close()


features = st.sampled_from([*KNOWN.values(), *map(named, KNOWN.values()), [1, 2], {"tail": 1}, "x", None])
numbers = st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=3)
bodies = (
    st.sampled_from(
        [GOOD, b"", b"{", b"\xff", b" " * 100_000, *(bad.body for bad in BAD_INPUTS if len(bad.body) < 200_000)]
    )
    | st.fixed_dictionaries({"features": features | st.dictionaries(st.sampled_from(NAMES) | st.text(), numbers)}).map(
        lambda document: json.dumps(document).encode()
    )
    | st.fixed_dictionaries({"instances": st.lists(features, max_size=400)}).map(
        lambda document: json.dumps(document).encode()
    )
    | st.binary(max_size=40)
)
TENSOR_PARTS = {
    "name": st.sampled_from(["features"] * 4 + ["x"]),
    "shape": st.sampled_from([[1, 8]] * 4 + [[2, 8], [8], [0, 8]]),
    "datatype": st.sampled_from(["FP32"] * 4 + ["INT32", "FP64", "BYTES"]),
    "data": features,
}
REQUESTED_OUTPUTS: list[dict[str, Any]] = [
    {"name": "label"},
    {"name": "probabilities", "parameters": {"binary_data": True}},
    {"name": "probabilities", "parameters": {"classification": 2}},
    {"name": "hidden_1"},
    {"name": "x"},
]
PATH_PREFIXES = [
    f"/{root}/{rest}" for root in ("v1", "v2") for rest in ("models/animals", "models/animals/versions/1", "x")
]
protocol_bodies = (
    bodies
    | st.fixed_dictionaries(
        {"inputs": st.lists(st.fixed_dictionaries(TENSOR_PARTS), max_size=2)},
        optional={
            "id": st.sampled_from(["a", 1]),
            "parameters": st.sampled_from([{}, {"binary_data_output": True}, None]),
            "outputs": st.lists(st.sampled_from(REQUESTED_OUTPUTS), max_size=3),
        },
    ).map(lambda document: json.dumps(document).encode())
    | st.sampled_from(["instances", "inputs", "examples"]).flatmap(
        lambda form: st.lists(features, max_size=400).map(lambda rows: json.dumps({form: rows}).encode())
    )
    | st.just(np.array([*KNOWN.values()], "<f4").tobytes())
)
request_tuples = st.tuples(
    st.sampled_from(["POST"] * 6 + ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"]),
    st.sampled_from(
        ["/predict"] * 6
        + ["/explain"] * 2
        + [
            prefix + verb
            for prefix in PATH_PREFIXES
            for verb in ("", "/infer", ":predict", ":classify", ":explain", "/ready", "/metadata")
        ]
        + [
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/repository/index",
            "/v1",
            "/v1/models",
            "/v1/models/plants:predict",
        ]
        + ["/", "/livez", "/readyz", "/health", "/model", "/predict/", "//predict", "/predict?a=b", "/pr%65dict"]
        + ["/%00", "/%ff", "/a%2fb", "/nowhere", "/../x", "/predict;a", "/%C3%A9"]
        + ["http://x/predict", "http://x:1/v2/models/animals/infer?a", "http://x", "http://u@x/livez", "ftp://x/v1"]
    ),
    st.none() | protocol_bodies,
    st.fixed_dictionaries(
        {},
        optional={
            "Content-Type": st.sampled_from(
                ["application/json"] * 5
                + [
                    "application/json; charset=utf-8",
                    "text/plain",
                    "",
                    "APPLICATION/JSON",
                    "a/b, c/d",
                    "application/a+json;",
                ]
            ),
            "Content-Encoding": st.sampled_from(["identity", "gzip", ""]),
            "X-Request-ID": st.sampled_from(["mine", "a b", "", "x" * 200]),
            "Accept": st.sampled_from(["*/*", "text/html", "text/html;q=0.1, application/json"]),
            "traceparent": st.sampled_from([f"00-{'a' * 32}-{'b' * 16}-{flags}" for flags in ("00", "01")]),
            "Expect": st.just("100-continue"),
            "Host": st.sampled_from(["x", "", "a b", "u@x", "x:99999", "[::1]:80"]),
            "Inference-Header-Content-Length": st.sampled_from(["0", "10", "-1", "x", ""]),
        },
    ),
)


@given(request_tuples)
def test_adapters_give_identical_responses(server: Server, flask_server: Server, request_tuple: Any) -> None:
    """Status, headers and body are equal for valid and invalid requests, whatever the method, path, body or headers."""
    method, path, body, headers = request_tuple
    if len(headers.get("X-Request-ID", "mine")) != 4:  # the service would make a new, random id
        del headers["X-Request-ID"]
    assert exchange(server, method, path, body, headers) == exchange(flask_server, method, path, body, headers)


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.description)
def test_adapters_give_identical_errors(server: Server, flask_server: Server, bad: BadInput) -> None:
    """For every row of the table of invalid requests."""
    assert exchange(server, "POST", "/predict", bad.body, bad.headers) == exchange(
        flask_server, "POST", "/predict", bad.body, bad.headers
    )


TARGETS = [
    ("GET", "http://x"),
    ("HEAD", "http://x?a=b"),
    ("GET", "https://x:80/readyz?a=b"),
    ("POST", "http://x//v1/models/animals:predict"),
    ("POST", "http://u@x/v1/models/animals:predict"),
    ("GET", "http://x:99999/v2"),
    ("GET", "ftp://x/livez"),
    ("OPTIONS", "*"),
    ("OPTIONS", "http://x"),
    ("CONNECT", "x:443"),
    ("CONNECT", "/predict"),
]


@pytest.mark.parametrize("host", ["x", "", "x:", "a b", "u@x", "x:99999", "[::1"])
@pytest.mark.parametrize(("method", "target"), TARGETS)
def test_adapters_agree_on_targets_and_hosts(
    server: Server, flask_server: Server, method: str, target: str, host: str
) -> None:
    """In every form of a request target (RFC 9112, section 3.2), and for valid and invalid values of Host."""
    body = GOOD if method == "POST" else None
    headers = {"Host": host, "Content-Type": "application/json"}
    assert exchange(server, method, target, body, headers) == exchange(flask_server, method, target, body, headers)
