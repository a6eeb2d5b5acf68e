"""Menagerie asked with MLServer's types and codecs: ``python client.py http://localhost:8000``.

What they send, beside what the Open Inference Protocol says: ``content_type`` among the parameters of the request and
of every tensor. It says how MLServer is to decode them; here there is but one way, and it is passed over.
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
    ask_about_server_and_model(url)
    expected = encode_a_whole_request(url)
    encode_one_input(url, expected)
    fail(url)


def infer(url, asked):
    """Everything that MLServer knows of a request, sent as its documentation does."""
    answer = requests.post(f"{url}/v2/models/animals/infer", json=asked.model_dump(), timeout=SECONDS)
    if not answer.ok:
        return InferenceErrorResponse.model_validate_json(answer.content)
    response = InferenceResponse.model_validate_json(answer.content)
    assert (response.model_name, response.model_version, response.id) == ("animals", "1", asked.id)
    return response


def ask_about_server_and_model(url):
    server = requests.get(f"{url}/v2", timeout=SECONDS)
    assert MetadataServerResponse.model_validate_json(server.content).name == "menagerie"
    told = requests.get(f"{url}/v2/models/animals", timeout=SECONDS)
    model = MetadataModelResponse.model_validate_json(told.content)
    assert (model.name, model.versions) == ("animals", ["1"])
    assert model.inputs[0].model_dump() == {"name": "features", "datatype": "FP32", "shape": [-1, 8]}
    asked = RepositoryIndexRequest(ready=True).model_dump()
    told = requests.post(f"{url}/v2/repository/index", json=asked, timeout=SECONDS)
    (entry,) = RepositoryIndexResponse.model_validate_json(told.content)
    assert (entry.name, entry.version, entry.state) == ("animals", "1", "READY")


def encode_a_whole_request(url):
    """An array, and an array back."""
    asked = NumpyRequestCodec.encode_request(ROWS)
    asked.inputs[0].name = "features"  # the codec calls it input-1; an input must have the name that the metadata tells
    asked.outputs = [RequestOutput(name="probabilities")]  # it decodes no answer with more than one output
    probabilities = NumpyRequestCodec.decode_response(infer(url, asked))
    assert (probabilities.shape, probabilities.dtype) == ((2, 4), np.float32)
    assert probabilities.argmax(axis=1).tolist() == [0, 1]
    return probabilities


def encode_one_input(url, expected):
    """Any type of number; every output decoded by what it is."""
    for kind in (np.float32, np.float64):
        asked = InferenceRequest(
            id="request 7",
            parameters=Parameters(content_type="np"),
            inputs=[NumpyCodec.encode_input("features", ROWS.astype(kind))],
            outputs=[RequestOutput(name=name) for name in ("label", "probabilities", "warnings", "hidden_2")],
        )
        label, probabilities, warnings, hidden = infer(url, asked).outputs
        assert list(StringCodec.decode_output(label)) == ["cat", "dog"]
        np.testing.assert_allclose(NumpyCodec.decode_output(probabilities), expected, rtol=1e-6)
        assert list(StringCodec.decode_output(warnings)) == ["", ""]
        assert NumpyCodec.decode_output(hidden).shape == (2, 6)


def fail(url):
    """The error is a sentence, where MLServer's types look for it."""
    beyond = InferenceRequest(inputs=[NumpyCodec.encode_input("features", ROWS * 10)])
    assert "body_mass_kg must lie within 0.0005 to 300 kg" in infer(url, beyond).error
    missing = np.where(ROWS > 70, np.nan, ROWS)  # the codec writes null for what is not a number
    assert "not null" in infer(url, InferenceRequest(inputs=[NumpyCodec.encode_input("features", missing)])).error
    misnamed = infer(url, NumpyRequestCodec.encode_request(ROWS))
    assert misnamed.error == "there is no input 'input-1': there is features"


if __name__ == "__main__":
    main(sys.argv[1])
