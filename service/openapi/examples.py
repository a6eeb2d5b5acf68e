"""Examples of requests: valid for the loaded model, by schema and title."""

from typing import Any

from service.openapi.model_types import ModelTypes
from service.protocols.oip_request import INPUT


def request_examples(types: ModelTypes) -> dict[str, dict[str, Any]]:
    """For each request schema its examples by title."""
    row, values = types.example, list(types.example.values())
    tensor = {"name": INPUT, "shape": [1, len(values)], "datatype": "FP32", "data": values}
    two_rows = tensor | {"shape": [2, len(values)], "data": [values, values]}
    outputs = [{"name": "label"}, {"name": "probabilities", "parameters": {"classification": 2}}]
    return {
        "OneRow": {"by name": {"features": row}, "as a list": {"features": values}},
        "ManyRows": {"rows by name and as a list": {"instances": [row, values]}},
        "InferenceRequest": {
            "one row": {"inputs": [tensor]},
            "two rows": {"id": "7", "inputs": [two_rows], "outputs": outputs},
            "binary output": {"inputs": [tensor], "parameters": {"binary_data_output": True}},
        },
        "ServingRows": {"rows": {"instances": [row, values]}},
        "ServingByColumn": {"columns": {"inputs": {name: [value] for name, value in row.items()}}},
        "ServingFewRows": {"a row": {"instances": [values]}},
        "ServingFewByColumn": {},
        "ServingExamples": {"one": {"examples": [row]}},
        "ServingParts": {},
    }
