"""Menagerie asked by KServe's inference client, in both protocols: ``python client.py http://localhost:8000 [NAME]``.

What it sends, beside what the protocols say: an id of its own making where none is given, the model's name in the body
too, and headers and body in two pieces. It asks for no version and passes over the one in the answer.
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
        await ask_about_server_and_model(client, url)
        expected = await infer_in_json(client, url)
        await infer_in_bytes(client, url, expected)
        await choose_outputs(client, url, expected)
        await fail(client, url)
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        await speak_v1(client, url, expected)


def request(*, binary, rows=ROWS, **more):
    tensor = InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return InferRequest(NAME, [tensor], **more)


def outputs(response):
    return {output.name: output.as_numpy() for output in response.outputs}


async def ask_about_server_and_model(client, url):
    assert await client.is_server_live(url) is True
    assert await client.is_server_ready(url) is True
    assert await client.is_model_ready(url, NAME) is True
    assert await client.is_model_ready(url, "plants") is False


async def infer_in_json(client, url):
    response = await client.infer(url, request(binary=False, request_id="request 7"), NAME)
    assert (response.id, response.model_name) == ("request 7", NAME)
    found = outputs(response)
    assert found["label"].tolist() == ["cat", "dog"]
    assert (found["probabilities"].shape, found["probabilities"].dtype) == ((2, 4), np.float32)
    nested = InferRequest(NAME, [InferInput("features", [2, 8], "FP32", ROWS.tolist())])
    assert np.array_equal(outputs(await client.infer(url, nested, NAME))["probabilities"], found["probabilities"])
    return found["probabilities"]


async def infer_in_bytes(client, url, expected):
    """Bytes out, JSON back unless bytes are asked for: the other way round than Triton's client."""
    for parameters in (None, {"binary_data_output": True}):
        found = outputs(await client.infer(url, request(binary=True, parameters=parameters), NAME))
        assert np.array_equal(found["probabilities"], expected)
        assert found["label"].tolist() == ["cat", "dog"]


async def choose_outputs(client, url, expected):
    wanted = [
        RequestedOutput("warnings"),
        RequestedOutput("probabilities", {"binary_data": True}),
        RequestedOutput("label", {"binary_data": True}),
    ]
    found = outputs(await client.infer(url, request(binary=True, request_outputs=wanted), NAME))
    assert list(found) == ["warnings", "probabilities", "label"]
    assert found["warnings"].tolist() == ["", ""]
    assert np.array_equal(found["probabilities"], expected)
    assert found["label"].tolist() == ["cat", "dog"]


async def fail(client, url):
    """The status and our sentence."""
    sentence = "body_mass_kg must lie within 0.0005 to 300 kg"
    for binary in (True, False):
        await _expect(client.infer(url, request(binary=binary, rows=ROWS * 10), NAME), 400, sentence)
    plants = client.infer(url, request(binary=True), "plants")
    await _expect(plants, 404, "no model of that name is served here")


async def speak_v1(client, url, expected):
    """The client itself knows no readiness of a V1 server, but of its models."""
    assert await client.is_server_live(url) is True
    assert await client.is_model_ready(url, NAME) is True
    try:
        await client.is_server_ready(url)
    except UnsupportedProtocol:
        pass
    else:
        raise AssertionError("the client has learned something: assert it here")
    answer = await client.infer(url, {"instances": ROWS.tolist()}, NAME)
    assert np.array_equal(np.array(answer["predictions"], np.float32), expected)
    await _expect(client.infer(url, {"instances": [[1]]}, NAME), 400, "instances[0] must have 8 numbers, not 1")
    await _expect(client.is_model_ready(url, "plants"), 404, "no model of that name is served here")


async def _expect(attempt, status, sentence):
    try:
        await attempt
    except httpx.HTTPStatusError as error:
        assert (error.response.status_code, sentence in str(error)) == (status, True), error
    else:
        raise AssertionError(f"nothing was refused where {sentence!r} was to be said")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
