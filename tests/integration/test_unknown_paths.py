"""Unknown paths: the error has the shape of the protocol whose routes share the first path segment.

Leading slashes in excess are ignored, so that a path with two of them matches a route like the path with one.
"""

import json
import re

import pytest
from flask.testing import FlaskClient
from support.bad_input import GOOD
from support.http_responses import Send

JSON = {"Content-Type": "application/json"}
NATIVE_PATHS = ["/nope", "//nope", "/predict/", "/v3/models"]
OIP_PATHS = ["/v2//models", "/v2/nope", "/v2/", "//v2/nope"]
TFSERVING_PATHS = ["/v1/nope", "/v1/models/animals:multi_inference", "/v1//models", "//v1"]


def count_unmatched(client: FlaskClient, status: int) -> float:
    """The number of responses with this status to requests that match no route."""
    labels = f'method="none",protocol="none",route="none",status="{status}"'
    return sum(map(float, re.findall(rf"menagerie_requests_total{{{labels}}} (\S+)", client.get("/metrics").text)))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", NATIVE_PATHS)
def test_unknown_path_gets_problem_details(send: Send, method: str, path: str) -> None:
    """Where no other protocol has the first segment."""
    response = send(method, path, GOOD if method == "POST" else None, JSON)
    assert (response.status, response.headers["Content-Type"]) == (404, "application/problem+json")
    assert json.loads(response.body)["type"] == "urn:menagerie:problem:not-found"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", OIP_PATHS)
def test_unknown_path_under_v2_gets_an_oip_error(send: Send, method: str, path: str) -> None:
    """404 in the protocol's shape; empty segments before the first one do not matter."""
    response = send(method, path, GOOD if method == "POST" else None, JSON)
    assert (response.status, response.headers["Content-Type"]) == (404, "application/json")
    assert list(json.loads(response.body)) == ["error"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", TFSERVING_PATHS)
def test_unknown_path_under_v1_gets_a_tfserving_error(send: Send, method: str, path: str) -> None:
    """TensorFlow Serving's status for an unknown path is 400."""
    response = send(method, path, GOOD if method == "POST" else None, JSON)
    assert (response.status, response.headers["Content-Type"]) == (400, "application/json")
    assert json.loads(response.body) == {"error": "malformed request: unknown path"}


LEADING_SLASHES = [
    ("//predict", 422, "application/problem+json"),
    ("//v2/models/animals/infer", 400, "application/json"),
    ("///v2/models/animals/infer", 400, "application/json"),
    ("//v1/models/animals:predict", 400, "application/json"),
]


@pytest.mark.parametrize(("path", "status", "media_type"), LEADING_SLASHES)
def test_leading_slashes_do_not_change_the_error(send: Send, path: str, status: int, media_type: str) -> None:
    """It is the error to the path with one slash, for an invalid body and for an unknown method."""
    for method, expected in (("POST", status), ("GET", 405)):
        headers = JSON | {"X-Request-ID": "same"}
        responses = [send(method, each, b"[]", headers) for each in (path, "/" + path.lstrip("/"))]
        assert [(each.status, each.headers["Content-Type"]) for each in responses] == [(expected, media_type)] * 2
        assert responses[0].body == responses[1].body


def test_unknown_paths_are_counted_without_a_route(client: FlaskClient) -> None:
    """Their paths never become labels.

    In process, where no count comes later; `test_observations_over_workers` compares those of several workers.
    """
    before = [count_unmatched(client, status) for status in (400, 404, 405)]
    for path in [*NATIVE_PATHS, *OIP_PATHS, *TFSERVING_PATHS]:
        client.post(path, data=GOOD, headers=JSON, environ_overrides={"PATH_INFO": path})
    for path, *_ in LEADING_SLASHES:
        client.get(path, environ_overrides={"PATH_INFO": path})
    after = [count_unmatched(client, status) for status in (400, 404, 405)]
    increase = [later - earlier for earlier, later in zip(before, after, strict=True)]
    assert increase == [len(TFSERVING_PATHS), len(NATIVE_PATHS) + len(OIP_PATHS), len(LEADING_SLASHES)]
    assert "nope" not in client.get("/metrics").text
