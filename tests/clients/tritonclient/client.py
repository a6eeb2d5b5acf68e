"""Requests from NVIDIA's Triton client: ``python client.py http://localhost:8000``.

Unlike the Open Inference Protocol's examples, the client sends no Content-Type (``aio``: ``application/octet-stream``),
tensors as bytes after the JSON by default, and requests all outputs as bytes if the caller names none.
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
    address = urlsplit(url).netloc  # the client takes no scheme
    with triton.InferenceServerClient(address) as client:
        check_server(client)
        check_model(client)
        expected = infer_in_bytes(client)
        infer_in_json(client, expected)
        choose_outputs(client, expected)
        classify(client)
        infer_asynchronously(client, expected)
        check_statistics(client)
        check_errors(client)
        compress(client, expected)
    asyncio.run(infer_on_an_event_loop(address, expected))


def features(rows=ROWS, datatype="FP32", *, binary=True, module=triton):
    tensor = module.InferInput("features", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def check_server(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "menagerie"
    assert "binary_tensor_data" in metadata["extensions"]
    index = client.get_model_repository_index()
    assert index == [{"name": "animals", "version": "1", "state": "READY", "reason": ""}]


def check_model(client):
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
    """The default: binary input and output; strings are returned as bytes, too."""
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
    """The same float32, to the bit."""
    result = client.infer("animals", [features(binary=False)])
    assert np.array_equal(result.as_numpy("probabilities"), expected)


def choose_outputs(client, expected):
    """Each in the requested form; the service ignores what only Triton knows (``priority``, own parameters …)."""
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
    """``value:index:label``, the most probable first."""
    for binary in (True, False):
        requested = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)
        entries = client.infer("animals", [features()], outputs=[requested]).as_numpy("probabilities")
        assert entries.shape == (2, 2)
        for entry, label in zip(entries[:, 0], ["cat", "dog"], strict=True):
            value, index, name = (entry.decode() if binary else entry).split(":")
            assert (LABELS[int(index)], name) == (label, label)
            assert float(value) > 0.9


def infer_asynchronously(client, expected):
    handles = [client.async_infer("animals", [features()], request_id=str(number)) for number in range(4)]
    for number, handle in enumerate(handles):
        result = handle.get_result()
        assert result.get_response()["id"] == str(number)
        assert np.array_equal(result.as_numpy("probabilities"), expected)


def check_statistics(client):
    before, after = (_statistics(client, requests=requests) for requests in (0, 3))
    assert after["inference_count"] - before["inference_count"] == 6
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 3
    assert len(client.get_inference_statistics()["model_stats"]) == 1


def _statistics(client, *, requests):
    for _ in range(requests):
        client.infer("animals", [features()])
    return client.get_inference_statistics("animals", "1")["model_stats"][0]


def check_errors(client):
    """The exception has the status and the message of the service."""
    ten_times = features(ROWS[1:] * 10)
    for status, message, attempt in (
        ("400", "body_mass_kg must be in the range 0.0005 to 300 kg", lambda: client.infer("animals", [ten_times])),
        ("400", "inputs[0].shape must be [rows, 8]", lambda: client.infer("animals", [features(ROWS[0])])),
        ("404", "version not found", lambda: client.infer("animals", [features()], "2")),
        ("404", "model not found", lambda: client.get_model_metadata("plants")),
        ("403", "requests load no models", lambda: client.load_model("animals")),
        ("403", "requests unload no models", lambda: client.unload_model("animals")),
        ("404", "unknown path", client.get_trace_settings),
        ("404", "unknown path", client.get_log_settings),
        ("404", "unknown path", client.get_system_shared_memory_status),
    ):
        _expect_error(attempt, status, message)


def compress(client, expected):
    """Compressed requests are refused; a request for a compressed response gets an uncompressed one."""
    for algorithm in ("gzip", "deflate"):
        _expect_error(
            lambda: client.infer("animals", [features()], request_compression_algorithm=algorithm),  # noqa: B023
            "415",
            "without Content-Encoding",
        )
        result = client.infer("animals", [features()], response_compression_algorithm=algorithm)
        assert np.array_equal(result.as_numpy("probabilities"), expected)


def _expect_error(attempt, status, message):
    try:
        attempt()
    except InferenceServerException as error:
        assert (error.status(), message in error.message()) == (status, True), error
    else:
        raise AssertionError(f"expected an error with {message!r}")


async def infer_on_an_event_loop(address, expected):
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("animals")
        for binary in (True, False):
            inputs = [features(module=triton_aio, binary=binary)]
            results = await asyncio.gather(*(client.infer("animals", inputs) for _ in range(4)))
            assert all(np.array_equal(result.as_numpy("probabilities"), expected) for result in results)
        try:
            await client.infer("plants", inputs)
        except InferenceServerException as error:
            assert "model not found" in error.message()
        else:
            raise AssertionError("expected an error: there is no such model")


if __name__ == "__main__":
    main(sys.argv[1])
