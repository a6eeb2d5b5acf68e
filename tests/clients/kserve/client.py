"""Requests from KServe's inference client, in both protocols: ``python client.py http://localhost:8000 [NAME]``.

Beyond the protocols, the client generates an id where the caller gives none, repeats the model's name in the body, and
sends headers and body separately. It cannot request a version, and ignores the version in the response.
"""

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.errors import UnsupportedProtocol
from kserve.protocol.infer_type import RequestedOutput

MAINE_COON = (6.8, 31.0, 42.0, 36.0, 11.4, 8.2, 7.6, 38.6)
GREAT_DANE = (61.0, 78.0, 78.0, 47.0, 31.0, 14.5, 15.5, 38.4)
NAME = sys.argv[2] if len(sys.argv) > 2 else "animals"
ROWS = np.array([MAINE_COON, GREAT_DANE], np.float32)


async def main(url):
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        await check_server_and_model(client, url)
        expected = await infer_in_json(client, url)
        await infer_in_bytes(client, url, expected)
        await choose_outputs(client, url, expected)
        await check_errors(client, url)
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        await infer_by_v1(client, url, expected)


def request(*, binary, rows=ROWS, **options):
    tensor = InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(NAME, [tensor], **options)


def outputs(response):
    return {output.name: output.as_numpy() for output in response.outputs}


async def check_server_and_model(client, url):
    assert await client.is_server_live(url) is True
    assert await client.is_server_ready(url) is True
    assert await client.is_model_ready(url, NAME) is True
    assert await client.is_model_ready(url, "plants") is False


async def infer_in_json(client, url):
    response = await client.infer(url, request(binary=False, request_id="request 7"), NAME)
    assert (response.id, response.model_name) == ("request 7", NAME)
    results = outputs(response)
    assert results["label"].tolist() == ["cat", "dog"]
    assert (results["probabilities"].shape, results["probabilities"].dtype) == ((2, 4), np.float32)
    nested = InferRequest(NAME, [InferInput("features", [2, 8], "FP32", ROWS.tolist())])
    assert np.array_equal(outputs(await client.infer(url, nested, NAME))["probabilities"], results["probabilities"])
    return results["probabilities"]


async def infer_in_bytes(client, url, expected):
    """Binary input, and JSON output unless binary output is requested, contrary to Triton's client."""
    for parameters in (None, {"binary_data_output": True}):
        results = outputs(await client.infer(url, request(binary=True, parameters=parameters), NAME))
        assert np.array_equal(results["probabilities"], expected)
        assert results["label"].tolist() == ["cat", "dog"]


async def choose_outputs(client, url, expected):
    requested = [
        RequestedOutput("warnings"),
        RequestedOutput("probabilities", {"binary_data": True}),
        RequestedOutput("label", {"binary_data": True}),
    ]
    results = outputs(await client.infer(url, request(binary=True, request_outputs=requested), NAME))
    assert list(results) == ["warnings", "probabilities", "label"]
    assert results["warnings"].tolist() == ["", ""]
    assert np.array_equal(results["probabilities"], expected)
    assert results["label"].tolist() == ["cat", "dog"]


async def check_errors(client, url):
    """The exception has the status and the message of the service."""
    message = "body_mass_kg must be in the range 0.0005 to 300 kg"
    for binary in (True, False):
        await _expect_error(client.infer(url, request(binary=binary, rows=ROWS * 10), NAME), 400, message)
    plants = client.infer(url, request(binary=True), "plants")
    await _expect_error(plants, 404, "model not found")


async def infer_by_v1(client, url, expected):
    """For V1, the client supports the readiness of models, but not of the server."""
    assert await client.is_server_live(url) is True
    assert await client.is_model_ready(url, NAME) is True
    try:
        await client.is_server_ready(url)
    except UnsupportedProtocol:
        pass
    else:
        raise AssertionError("the client now supports this: assert its result")
    response = await client.infer(url, {"instances": ROWS.tolist()}, NAME)
    assert np.array_equal(np.array(response["predictions"], np.float32), expected)
    explained = await client.explain(url, NAME, {"instances": ROWS.tolist()})
    assert np.array_equal(np.array(explained["predictions"], np.float32), expected)
    assert [explanation["prediction"]["label"] for explanation in explained["explanations"]] == ["cat", "dog"]
    await _expect_error(client.infer(url, {"instances": [[1]]}, NAME), 400, "instances[0] must have 8 numbers, not 1")
    await _expect_error(client.is_model_ready(url, "plants"), 404, "model not found")


async def _expect_error(attempt, status, message):
    try:
        await attempt
    except httpx.HTTPStatusError as error:
        assert (error.response.status_code, message in str(error)) == (status, True), error
    else:
        raise AssertionError(f"expected an error with {message!r}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
