"""A model with inputs and outputs of any kind, asked by NVIDIA's Triton client: ``python adopted.py URL MODEL``.

The client reads the names, types and shapes of the tensors from the model's metadata, as tools do that know no model.
"""

import json
import sys
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
import tritonclient.http as triton

ROWS = 5


def main(url, name):
    with triton.InferenceServerClient(urlsplit(url).netloc) as client:
        metadata = client.get_model_metadata(name)
        columns = draw_columns(metadata)
        for binary in (True, False):
            results = infer(client, metadata, columns, binary=binary)
            compare_with_tfserving(url, metadata, columns, results)


def draw_columns(metadata):
    rng = np.random.default_rng(0)
    return {
        tensor["name"]: rng.uniform(-1, 1, (ROWS, tensor["shape"][1])).astype(np.float32)
        for tensor in metadata["inputs"]
    }


def infer(client, metadata, columns, *, binary):
    """All outputs of the metadata have the type and the shape that it says."""
    inputs = []
    for tensor in metadata["inputs"]:
        values = columns[tensor["name"]]
        inputs.append(triton.InferInput(tensor["name"], list(values.shape), tensor["datatype"]))
        inputs[-1].set_data_from_numpy(values, binary_data=binary)
    outputs = [triton.InferRequestedOutput(tensor["name"], binary_data=binary) for tensor in metadata["outputs"]]
    result = client.infer(metadata["name"], inputs, outputs=outputs)
    arrays = {tensor["name"]: result.as_numpy(tensor["name"]) for tensor in metadata["outputs"]}
    for tensor in metadata["outputs"]:
        assert arrays[tensor["name"]].shape == (ROWS, *tensor["shape"][1:]), tensor
        kind = {"FP32": "f", "BOOL": "b", "BYTES": "O"}[tensor["datatype"]]
        assert arrays[tensor["name"]].dtype.kind == kind, tensor
    return arrays


def compare_with_tfserving(url, metadata, columns, results):
    """The model's own outputs are those that `/v1` gives for the same columns."""
    body = json.dumps({"inputs": {name: values.tolist() for name, values in columns.items()}}).encode()
    with urlopen(Request(f"{url}/v1/models/{metadata['name']}:predict", body), timeout=30) as response:
        outputs = json.load(response)["outputs"]
    if not isinstance(outputs, dict):  # of a model with one output
        outputs = {metadata["outputs"][0]["name"]: outputs}
    for name, values in outputs.items():
        np.testing.assert_allclose(results[name].reshape(ROWS, -1), np.reshape(values, (ROWS, -1)), rtol=1e-6)


if __name__ == "__main__":
    main(*sys.argv[1:])
