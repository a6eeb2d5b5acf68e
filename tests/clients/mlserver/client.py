"""Requests with MLServer's types and codecs: ``python client.py http://localhost:8000``.

Beyond the Open Inference Protocol, they add ``content_type`` to the parameters of the request and of every tensor. It
tells MLServer how to decode them; the service decodes them in one way only, and ignores it.
"""

import sys

import numpy as np
import requests
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, StringCodec
from mlserver.types import (
    InferenceErrorResponse,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    Parameters,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RequestOutput,
)

MAINE_COON = (6.8, 31.0, 42.0, 36.0, 11.4, 8.2, 7.6, 38.6)
GREAT_DANE = (61.0, 78.0, 78.0, 47.0, 31.0, 14.5, 15.5, 38.4)
ROWS = np.array([MAINE_COON, GREAT_DANE], np.float32)
SECONDS = 30


def main(url):
    check_server_and_model(url)
    expected = encode_a_whole_request(url)
    encode_one_input(url, expected)
    check_errors(url)


def infer(url, request):
    """The parsed response or error to a request with all of MLServer's fields, as its documentation sends it."""
    response = requests.post(f"{url}/v2/models/animals/infer", json=request.model_dump(), timeout=SECONDS)
    if not response.ok:
        return InferenceErrorResponse.model_validate_json(response.content)
    result = InferenceResponse.model_validate_json(response.content)
    assert (result.model_name, result.model_version, result.id) == ("animals", "1", request.id)
    return result


def check_server_and_model(url):
    server = requests.get(f"{url}/v2", timeout=SECONDS)
    assert MetadataServerResponse.model_validate_json(server.content).name == "menagerie"
    response = requests.get(f"{url}/v2/models/animals", timeout=SECONDS)
    model = MetadataModelResponse.model_validate_json(response.content)
    assert (model.name, model.versions) == ("animals", ["1"])
    assert model.inputs[0].model_dump() == {"name": "features", "datatype": "FP32", "shape": [-1, 8]}
    request = RepositoryIndexRequest(ready=True).model_dump()
    response = requests.post(f"{url}/v2/repository/index", json=request, timeout=SECONDS)
    (entry,) = RepositoryIndexResponse.model_validate_json(response.content)
    assert (entry.name, entry.version, entry.state) == ("animals", "1", "READY")


def encode_a_whole_request(url):
    """The request codec turns an array into a request, and the response into an array."""
    request = NumpyRequestCodec.encode_request(ROWS)
    request.inputs[0].name = "features"  # the codec names it input-1, but the service requires the name in its metadata
    request.outputs = [RequestOutput(name="probabilities")]  # the codec decodes only responses with one output
    probabilities = NumpyRequestCodec.decode_response(infer(url, request))
    assert (probabilities.shape, probabilities.dtype) == ((2, 4), np.float32)
    assert probabilities.argmax(axis=1).tolist() == [0, 1]
    return probabilities


def encode_one_input(url, expected):
    """Both float types, and each output with the codec of its datatype."""
    for dtype in (np.float32, np.float64):
        request = InferenceRequest(
            id="request 7",
            parameters=Parameters(content_type="np"),
            inputs=[NumpyCodec.encode_input("features", ROWS.astype(dtype))],
            outputs=[RequestOutput(name=name) for name in ("label", "probabilities", "warnings", "hidden_2")],
        )
        label, probabilities, warnings, hidden = infer(url, request).outputs
        assert list(StringCodec.decode_output(label)) == ["cat", "dog"]
        np.testing.assert_allclose(NumpyCodec.decode_output(probabilities), expected, rtol=1e-6)
        assert list(StringCodec.decode_output(warnings)) == ["", ""]
        assert NumpyCodec.decode_output(hidden).shape == (2, 6)


def check_errors(url):
    """The error is where MLServer's types expect it."""
    out_of_bounds = InferenceRequest(inputs=[NumpyCodec.encode_input("features", ROWS * 10)])
    assert "body_mass_kg must be in the range 0.0005 to 300 kg" in infer(url, out_of_bounds).error
    missing = np.where(ROWS > 70, np.nan, ROWS)  # the codec writes NaN as null
    assert "not null" in infer(url, InferenceRequest(inputs=[NumpyCodec.encode_input("features", missing)])).error
    misnamed = infer(url, NumpyRequestCodec.encode_request(ROWS))
    assert misnamed.error == "unknown input 'input-1': the model has features"


if __name__ == "__main__":
    main(sys.argv[1])
