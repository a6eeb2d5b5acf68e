"""Examples of requests: valid for the loaded model, by schema and title."""

from itertools import islice
from typing import Any

from models.manifest import Manifest
from service.openapi.model_types import ModelTypes
from service.protocols.oip_datatypes import input_types_of
from service.protocols.oip_outputs import LABEL, outputs_of


def request_examples(types: ModelTypes) -> dict[str, dict[str, Any]]:
    """For each request schema its examples by title."""
    row, values = types.example, list(types.example.values())
    by_input = _by_input(types.manifest, values)
    named_inputs = {"by input": {"instances": [by_input]}} if len(by_input) > 1 else {}
    return {
        "OneRow": {"by name": {"features": row}, "as a list": {"features": values}},
        "ManyRows": {"rows by name and as a list": {"instances": [row, values]}},
        "InferenceRequest": _inference_examples(types, by_input),
        "ServingRows": {"rows": {"instances": [row, values]}, **named_inputs},
        "ServingByColumn": {"columns": {"inputs": {name: [value] for name, value in row.items()}}},
        "ServingFewRows": {"a row": {"instances": [values]}},
        "ServingFewByColumn": {},
        "ServingExamples": {"one": {"examples": [row]}},
        "ServingParts": {},
        "AzureData": {"data": {"data": [row, values]}},
        "AzureTable": {"table": {"input_data": {"columns": list(row), "data": [values]}}},
    }


def _inference_examples(types: ModelTypes, by_input: dict[str, list[Any]]) -> dict[str, Any]:
    one, two = _tensors(types, by_input, 1), _tensors(types, by_input, 2)
    outputs = outputs_of.of(types.model)
    names = [LABEL] if types.manifest.class_labels else outputs.defaults[:1]
    asked = [
        *({"name": name} for name in names if name not in outputs.scored),
        *({"name": name, "parameters": {"classification": 2}} for name in outputs.scored[:1]),
    ]
    return {
        "one row": {"inputs": one},
        "two rows": {"id": "7", "inputs": two, "outputs": asked},
        "binary output": {"inputs": one, "parameters": {"binary_data_output": True}},
    }


def _by_input(manifest: Manifest, values: list[Any]) -> dict[str, list[Any]]:
    remaining = iter(values)
    return {tensor.name: list(islice(remaining, tensor.width)) for tensor in manifest.input_tensors}


def _tensors(types: ModelTypes, by_input: dict[str, list[Any]], rows: int) -> list[dict[str, Any]]:
    """A tensor for each input, with the same row several times."""
    kinds = input_types_of.of(types.model)
    return [
        {
            "name": name,
            "shape": [rows, len(values)],
            "datatype": kinds.by_name[name].datatype,
            "data": values if rows == 1 else [values] * rows,
        }
        for name, values in by_input.items()
    ]
