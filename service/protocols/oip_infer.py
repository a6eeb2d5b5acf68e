"""Inference requests of the Open Inference Protocol: tensors in, tensors out, as JSON or as bytes.

Sources: the protocol's specification (github.com/kserve/open-inference-protocol) and, in Triton's documentation, its
extensions for binary tensor data and for classification.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.arrays import Array
from service.http import strict_json
from service.http.errors import BadTensorError
from service.http.media_types import require_media_type
from service.http.messages import Request, Response, json_response
from service.http.routing import JSON
from service.inference.model import Model
from service.inference.validation import Validator
from service.protocols import oip_tensors
from service.protocols.oip_tensors import Tensor

INPUT, PROBABILITIES, LABEL, WARNINGS = "features", "probabilities", "label", "warnings"
BYTES = "application/octet-stream"
LENGTH_HEADER = "Inference-Header-Content-Length"
_MEDIA_TYPES = ("", JSON, BYTES)  # the protocol's clients send any of these
_MAX_LENGTH_DIGITS = 9  # below a GB
_strict = with_config(ConfigDict(strict=True))


@_strict
class InputParameters(TypedDict):
    binary_data_size: NotRequired[Annotated[int, Field(ge=0)]]


@_strict
class Input(TypedDict):
    name: str
    shape: list[int]
    datatype: str
    parameters: NotRequired[InputParameters]
    data: NotRequired[Any]


@_strict
class OutputParameters(TypedDict):
    binary_data: NotRequired[bool]
    classification: NotRequired[Annotated[int, Field(ge=1)]]


@_strict
class Output(TypedDict):
    name: str
    parameters: NotRequired[OutputParameters]


@_strict
class Parameters(TypedDict):
    binary_data_output: NotRequired[bool]


@_strict
class Inference(TypedDict):
    """An inference request; unknown keys are ignored, as other servers of the protocol do."""

    id: NotRequired[str]
    parameters: NotRequired[Parameters]
    inputs: list[Input]
    outputs: NotRequired[list[Output]]


_inference: TypeAdapter[Inference] = TypeAdapter(Inference)


def infer(model: Model, validator: Validator, request: Request) -> Response:
    """The requested output tensors, as JSON and, where requested, as bytes after it.

    Raises:
        RequestError: the request is not one that this model can answer.
    """
    require_media_type(request, *_MEDIA_TYPES)
    inference, binary = _parse(request, len(model.features))
    rows = _input_rows(inference["inputs"], binary, validator, len(model.features))
    requested = inference.get("outputs") or [Output(name=PROBABILITIES), Output(name=LABEL)]
    request.context.mark("validate")
    outputs = _outputs(model, rows, requested, request)
    default = inference.get("parameters", {}).get("binary_data_output", False)
    as_bytes = [output.get("parameters", {}).get("binary_data", default) for output in requested]
    head = {"model_name": model.identity["name"], "model_version": model.identity["version"]}
    return _response(head | ({"id": inference["id"]} if "id" in inference else {}), outputs, as_bytes)


def _parse(request: Request, width: int) -> tuple[Inference, bytes]:
    """The JSON part of the body, and the bytes after it."""
    body = request.read()
    size = _json_size(request, len(body))
    if size == 0:
        return _raw_inference(len(body), width), body
    content = body[:size]
    document = strict_json.parse(content)
    request.context.mark("parse")
    try:
        inference = _inference.validate_python(document)
    except ValidationError as error:
        raise BadTensorError(_first_fault(error)) from None
    strict_json.require_unique_keys(content, strict_json.count_strings(document, skip="data"))
    return inference, body[size:]


def _raw_inference(size: int, width: int) -> Inference:
    """The request that a body without JSON stands for: rows of FP32, answered in bytes (Triton's raw request)."""
    row = 4 * width
    if size == 0 or size % row:
        raise BadTensorError(f"a raw body must have rows of {width} FP32 values, {row} bytes each, not {size} bytes")
    shape = [size // row, width]
    tensor = Input(name=INPUT, shape=shape, datatype="FP32", parameters={"binary_data_size": size})
    return {"inputs": [tensor], "parameters": {"binary_data_output": True}}


def _input_rows(inputs: Sequence[Input], binary: bytes, validator: Validator, width: int) -> Array:
    """The rows of the only input, [rows, features]."""
    _require_names([tensor["name"] for tensor in inputs], {INPUT}, "input")
    if not inputs:
        raise BadTensorError(f"the input {INPUT} is missing")
    tensor, location = inputs[0], "inputs[0]"
    shape, size = tensor["shape"], tensor.get("parameters", {}).get("binary_data_size")
    if len(shape) != 2 or shape[0] < 1 or shape[1] != width:  # noqa: PLR2004 (rows and columns)
        raise BadTensorError(f"{location}.shape must be [rows, {width}] with at least one row")
    if ("data" in tensor) == (size is not None):
        raise BadTensorError(f"{location} must have either data or binary_data_size")
    if len(binary) != (size or 0):
        raise BadTensorError(
            f"{len(binary)} bytes follow the JSON, but binary_data_size is {size or 0}: "
            f"{LENGTH_HEADER} must be the length of the JSON"
        )
    if size is None:
        rows = oip_tensors.rows_from_json(tensor["data"], tensor["datatype"], shape, location)
        return validator.validate_rows(rows, f"{location}.data")
    array = oip_tensors.array_from_bytes(binary, tensor["datatype"], shape, location)
    return validator.validate_array(array, f"{location}.data")


def _outputs(model: Model, rows: Array, requested: Sequence[Output], request: Request) -> list[Tensor]:
    names = [output["name"] for output in requested]
    _require_names(names, {PROBABILITIES, LABEL, WARNINGS, *model.hidden_layers}, "output")
    hidden = [name for name in model.hidden_layers if name in names]
    request.context.prediction = prediction = model.predict(rows, hidden)
    request.context.mark("infer")

    def output(name: str, parameters: OutputParameters) -> Tensor:
        if "classification" in parameters:
            return _classification(model, name, prediction.probabilities, parameters["classification"])
        if name == LABEL:
            return Tensor(name, (len(rows),), [model.labels[label] for label in prediction.labels])
        if name == WARNINGS:
            return Tensor(name, (len(rows),), ["; ".join(sentences) for sentences in model.warnings(prediction)])
        values = prediction.probabilities if name == PROBABILITIES else prediction.layers[name]
        return Tensor(name, values.shape, values)

    return [output(each["name"], each.get("parameters", {})) for each in requested]


def _classification(model: Model, name: str, probabilities: Array, count: int) -> Tensor:
    """The most probable labels of each row, as ``value:index:label``; all of them if more are requested."""
    if name != PROBABILITIES:
        raise BadTensorError(f"classification is available for {PROBABILITIES}, not for {name}")
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    values = strict_json.shortest_floats(np.take_along_axis(probabilities, best, axis=1))
    classes = [
        f"{value}:{index}:{model.labels[index]}"
        for row in zip(values, best.tolist(), strict=True)
        for value, index in zip(*row, strict=True)
    ]
    return Tensor(name, best.shape, classes)


def _json_size(request: Request, body_size: int) -> int:
    """How many bytes of the body are JSON: as many as the header says, or all."""
    value = request.headers.get(LENGTH_HEADER.lower(), "")
    if not value:
        return body_size or 1  # an empty body is malformed JSON, not a raw request
    is_number = value.isascii() and value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS
    if not is_number or int(value) > body_size:
        raise BadTensorError(f"{LENGTH_HEADER} must be the length of the JSON, at most {body_size} bytes")
    return int(value)


def _require_names(names: Sequence[str], known: set[str], what: str) -> None:
    for name in names:
        if name not in known:
            known_names = ", ".join(sorted(known))
            raise BadTensorError(f"unknown {what} {strict_json.truncated(name)!r}: the model has {known_names}")
    if len(set(names)) != len(names):
        raise BadTensorError(f"duplicate {what}: name each one once")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    location = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault["loc"]).lstrip(".")
    return f"{location or 'the body'}: {fault['msg']}"


def _response(head: dict[str, Any], outputs: Sequence[Tensor], as_bytes: Sequence[bool]) -> Response:
    documents, binaries = [], []
    for output, is_binary in zip(outputs, as_bytes, strict=True):
        document: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if is_binary:
            binaries.append(output.as_bytes())
            documents.append(document | {"parameters": {"binary_data_size": len(binaries[-1])}})
        else:
            documents.append(document | {"data": output.as_json()})
    response = json_response(head | {"outputs": documents})
    if not binaries:
        return response
    headers = {LENGTH_HEADER: str(len(response.body))}
    return Response(200, b"".join((response.body, *binaries)), BYTES, headers)
