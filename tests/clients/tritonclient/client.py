"""Menagerie asked by NVIDIA's Triton client: ``python client.py http://localhost:8000``.

What it sends, beside what the Open Inference Protocol says: no Content-Type at all (``application/octet-stream`` from
``aio``), tensors as bytes behind the JSON unless told otherwise, and, for a request that names no outputs, the wish to
have them all as bytes.
"""

import asyncio
import sys
from urllib.parse import urlsplit

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

MAINE_COON = (6.8, 31.0, 42.0, 36.0, 11.4, 8.2, 7.6, 38.6)
GREAT_DANE = (61.0, 78.0, 78.0, 47.0, 31.0, 14.5, 15.5, 38.4)
ROWS = np.array([MAINE_COON, GREAT_DANE], np.float32)
LABELS = ["cat", "dog", "llama", "lizard"]


def main(url):
    address = urlsplit(url).netloc  # it wants no scheme
    with triton.InferenceServerClient(address) as client:
        ask_about_the_server(client)
        ask_about_the_model(client)
        expected = infer_in_bytes(client)
        infer_in_json(client, expected)
        choose_outputs(client, expected)
        classify(client)
        infer_beside_other_work(client, expected)
        count(client)
        fail(client)
        compress(client, expected)
    asyncio.run(infer_on_an_event_loop(address, expected))


def features(rows=ROWS, datatype="FP32", *, binary=True, of=triton):
    tensor = of.InferInput("features", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def ask_about_the_server(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "menagerie"
    assert "binary_tensor_data" in metadata["extensions"]
    index = client.get_model_repository_index()
    assert index == [{"name": "animals", "version": "1", "state": "READY", "reason": ""}]


def ask_about_the_model(client):
    assert client.is_model_ready("animals")
    assert client.is_model_ready("animals", "1")
    assert not client.is_model_ready("animals", "2")
    assert not client.is_model_ready("plants")
    metadata = client.get_model_metadata("animals")
    assert metadata == client.get_model_metadata("animals", "1")
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 8]}]
    config = client.get_model_config("animals")
    assert config["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": [8]}]
    assert [output["name"] for output in config["output"]] == [output["name"] for output in metadata["outputs"]]


def infer_in_bytes(client):
    """The default: bytes out, bytes back; strings come back as bytes too."""
    result = client.infer("animals", [features()])
    assert result.get_response()["model_version"] == "1"
    assert result.as_numpy("label").tolist() == [b"cat", b"dog"]
    probabilities = result.as_numpy("probabilities")
    assert (probabilities.shape, probabilities.dtype) == ((2, 4), np.float32)
    assert probabilities.argmax(axis=1).tolist() == [0, 1]
    doubles = client.infer("animals", [features(ROWS.astype(np.float64), "FP64")])
    assert np.array_equal(doubles.as_numpy("probabilities"), probabilities)
    many = client.infer("animals", [features(np.repeat(ROWS, 1000, axis=0))])
    assert np.array_equal(many.as_numpy("probabilities"), np.repeat(probabilities, 1000, axis=0))
    return probabilities


def infer_in_json(client, expected):
    """The same numbers, to the bit."""
    result = client.infer("animals", [features(binary=False)])
    assert np.array_equal(result.as_numpy("probabilities"), expected)


def choose_outputs(client, expected):
    """Each in the form asked for; what is only Triton's (``priority``, own parameters …) is passed over."""
    result = client.infer(
        "animals",
        [features(binary=False)],
        model_version="1",
        outputs=[
            triton.InferRequestedOutput("label", binary_data=False),
            triton.InferRequestedOutput("probabilities", binary_data=True),
            triton.InferRequestedOutput("warnings"),
            triton.InferRequestedOutput("hidden_2", binary_data=False),
        ],
        request_id="request 7",
        sequence_id=7,
        sequence_start=True,
        priority=1,
        timeout=1_000_000,
        headers={"X-Team": "zoo"},
        query_params={"trace": "1"},
        parameters={"team": "zoo"},
    )
    response = result.get_response()
    assert response["id"] == "request 7"
    assert [output["name"] for output in response["outputs"]] == ["label", "probabilities", "warnings", "hidden_2"]
    assert result.as_numpy("label").tolist() == ["cat", "dog"]
    assert np.array_equal(result.as_numpy("probabilities"), expected)
    assert result.as_numpy("warnings").tolist() == [b"", b""]
    assert result.as_numpy("hidden_2").shape == (2, 6)


def classify(client):
    """``value:index:label``, the likeliest first."""
    for binary in (True, False):
        wish = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)
        told = client.infer("animals", [features()], outputs=[wish]).as_numpy("probabilities")
        assert told.shape == (2, 2)
        for entry, label in zip(told[:, 0], ["cat", "dog"], strict=True):
            value, index, name = (entry.decode() if binary else entry).split(":")
            assert (LABELS[int(index)], name) == (label, label)
            assert float(value) > 0.9


def infer_beside_other_work(client, expected):
    asked = [client.async_infer("animals", [features()], request_id=str(number)) for number in range(4)]
    for number, handle in enumerate(asked):
        result = handle.get_result()
        assert result.get_response()["id"] == str(number)
        assert np.array_equal(result.as_numpy("probabilities"), expected)


def count(client):
    before, after = (_statistics(client, asks=asks) for asks in (0, 3))
    assert after["inference_count"] - before["inference_count"] == 6
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 3
    assert len(client.get_inference_statistics()["model_stats"]) == 1


def _statistics(client, *, asks):
    for _ in range(asks):
        client.infer("animals", [features()])
    return client.get_inference_statistics("animals", "1")["model_stats"][0]


def fail(client):
    """The status and our sentence."""
    ten_times = features(ROWS[1:] * 10)
    for status, sentence, attempt in (
        ("400", "body_mass_kg must lie within 0.0005 to 300 kg", lambda: client.infer("animals", [ten_times])),
        ("400", "inputs[0].shape must be [rows, 8]", lambda: client.infer("animals", [features(ROWS[0])])),
        ("404", "no such version of animals is served here", lambda: client.infer("animals", [features()], "2")),
        ("404", "no model of that name is served here", lambda: client.get_model_metadata("plants")),
        ("404", "see / for the paths", lambda: client.load_model("animals")),
        ("404", "see / for the paths", client.get_trace_settings),
        ("404", "see / for the paths", client.get_log_settings),
        ("404", "see / for the paths", client.get_system_shared_memory_status),
    ):
        _expect(attempt, status, sentence)


def compress(client, expected):
    """A compressed request is refused, and a compressed answer may be asked for, but comes as it is."""
    for algorithm in ("gzip", "deflate"):
        _expect(
            lambda: client.infer("animals", [features()], request_compression_algorithm=algorithm),  # noqa: B023
            "415",
            "without Content-Encoding",
        )
        result = client.infer("animals", [features()], response_compression_algorithm=algorithm)
        assert np.array_equal(result.as_numpy("probabilities"), expected)


def _expect(attempt, status, sentence):
    try:
        attempt()
    except InferenceServerException as error:
        assert (error.status(), sentence in error.message()) == (status, True), error
    else:
        raise AssertionError(f"nothing was refused where {sentence!r} was to be said")


async def infer_on_an_event_loop(address, expected):
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("animals")
        for binary in (True, False):
            inputs = [features(of=triton_aio, binary=binary)]
            results = await asyncio.gather(*(client.infer("animals", inputs) for _ in range(4)))
            assert all(np.array_equal(result.as_numpy("probabilities"), expected) for result in results)
        try:
            await client.infer("plants", inputs)
        except InferenceServerException as error:
            assert "no model of that name" in error.message()
        else:
            raise AssertionError("there are no plants here")


if __name__ == "__main__":
    main(sys.argv[1])
