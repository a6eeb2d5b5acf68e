"""Inference in the Open Inference Protocol: ``POST /v2/models/…/infer``, tensors in, tensors out.

Sources: the protocol's specification (github.com/kserve/open-inference-protocol) and, in Triton's documentation, its
extensions for binary tensor data and for classification.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.http import media_types, strict_json
from service.http.context import Record
from service.http.errors import BadTensorError
from service.http.messages import Reply, Request, json_reply
from service.inference.model import Model
from service.inference.validation import Array, Validator
from service.protocols import oip_tensors
from service.protocols.oip_tensors import Tensor

INPUT, PROBABILITIES, LABEL, WARNINGS = "features", "probabilities", "label", "warnings"
_HEADER = "Inference-Header-Content-Length"
_MEDIA = ("", media_types.JSON, "application/octet-stream")  # the protocol's clients say any of these
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
    """An inference request; keys that it does not name are passed over, as other servers of the protocol do."""

    id: NotRequired[str]
    parameters: NotRequired[Parameters]
    inputs: list[Input]
    outputs: NotRequired[list[Output]]


_inference: TypeAdapter[Inference] = TypeAdapter(Inference)


class Inferring:
    """Answers inferences with one model."""

    def __init__(self, model: Model, validator: Validator) -> None:
        self._model = model
        self._validator = validator
        self._width = len(model.features)
        self._layers = [layer.name for layer in model.manifest.layers[:-1]]
        self._known = {PROBABILITIES, LABEL, WARNINGS, *self._layers}

    def answer(self, request: Request) -> Reply:
        """The tensors asked for, as JSON and, where so asked, as bytes behind it.

        Raises:
            RequestError: the request is not one that this model can answer.
        """
        self._model.require(request.parameters)
        media_types.require(request, *_MEDIA)
        asked, binary = self._read(request)
        rows = self._rows(asked["inputs"], binary)
        wanted = asked.get("outputs") or [Output(name=PROBABILITIES), Output(name=LABEL)]
        request.record.lap("validate")
        found = self._outputs(rows, wanted, request.record)
        unless_told = asked.get("parameters", {}).get("binary_data_output", False)
        as_bytes = [output.get("parameters", {}).get("binary_data", unless_told) for output in wanted]
        identity = self._model.identity
        head = {"model_name": identity["name"], "model_version": identity["version"]}
        return _reply(head | ({"id": asked["id"]} if "id" in asked else {}), found, as_bytes)

    def _read(self, request: Request) -> tuple[Inference, bytes]:
        """What is asked in JSON, and the bytes behind it."""
        body = request.read()
        size = _json_size(request, len(body))
        if size == 0:
            return self._raw(len(body)), body
        content = body[:size]
        document = strict_json.read(content)
        request.record.lap("parse")
        try:
            asked = _inference.validate_python(document)
        except ValidationError as error:
            raise BadTensorError(_first_fault(error)) from None
        strict_json.require_unique(content, strict_json.strings(document, but="data"))
        return asked, body[size:]

    def _raw(self, size: int) -> Inference:
        """What a body of nothing but bytes asks: rows of float32, answered in bytes."""
        row = 4 * self._width
        if size == 0 or size % row:
            raise BadTensorError(f"a raw body must be rows of {self._width} FP32, {row} bytes each, not {size} bytes")
        shape = [size // row, self._width]
        tensor = Input(name=INPUT, shape=shape, datatype="FP32", parameters={"binary_data_size": size})
        return {"inputs": [tensor], "parameters": {"binary_data_output": True}}

    def _rows(self, inputs: Sequence[Input], binary: bytes) -> Array:
        """The one input's rows, [rows, features]."""
        _require_names([tensor["name"] for tensor in inputs], {INPUT}, "input")
        if not inputs:
            raise BadTensorError(f"the input {INPUT} is missing")
        tensor, place = inputs[0], "inputs[0]"
        shape, size = tensor["shape"], tensor.get("parameters", {}).get("binary_data_size")
        if len(shape) != 2 or shape[0] < 1 or shape[1] != self._width:  # noqa: PLR2004 (rows and columns)
            raise BadTensorError(f"{place}.shape must be [rows, {self._width}] with one row or more")
        if ("data" in tensor) == (size is not None):
            raise BadTensorError(f"{place} must have either data or binary_data_size")
        if len(binary) != (size or 0):
            raise BadTensorError(
                f"{len(binary)} bytes follow the JSON where binary_data_size says {size or 0}: "
                f"{_HEADER} must be the length of the JSON"
            )
        if size is None:
            rows = oip_tensors.rows_from_json(tensor["data"], tensor["datatype"], shape, place)
            return self._validator.rows(rows, f"{place}.data")
        return self._validator.array(oip_tensors.from_bytes(binary, tensor["datatype"], shape, place), f"{place}.data")

    def _outputs(self, rows: Array, wanted: Sequence[Output], record: Record) -> list[Tensor]:
        names = [output["name"] for output in wanted]
        _require_names(names, self._known, "output")
        layers = self._model.run(rows, [name for name in self._layers if name in names], record)
        probabilities = layers[self._model.answer]
        best = probabilities.argmax(axis=1).tolist() if {LABEL, WARNINGS}.intersection(names) else []

        def output(name: str, parameters: OutputParameters) -> Tensor:
            if "classification" in parameters:
                return self._classified(name, probabilities, parameters["classification"])
            if name == LABEL:
                return Tensor(name, (len(rows),), [self._model.labels[index] for index in best])
            if name == WARNINGS:
                said = self._model.warnings(rows, best, record.unlike)
                return Tensor(name, (len(rows),), ["; ".join(sentences) for sentences in said])
            values = probabilities if name == PROBABILITIES else layers[name]
            return Tensor(name, values.shape, values)

        return [output(wish["name"], wish.get("parameters", {})) for wish in wanted]

    def _classified(self, name: str, probabilities: Array, count: int) -> Tensor:
        """The likeliest labels of each row, as ``value:index:label``; all of them if more are asked for."""
        if name != PROBABILITIES:
            raise BadTensorError(f"classification is of {PROBABILITIES}, not of {name}")
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
        values = strict_json.shortest(np.take_along_axis(probabilities, best, axis=1))
        told = [
            f"{value}:{index}:{self._model.labels[index]}"
            for row in zip(values, best.tolist(), strict=True)
            for value, index in zip(*row, strict=True)
        ]
        return Tensor(name, best.shape, told)


def _json_size(request: Request, whole: int) -> int:
    """How many bytes of the body are JSON: what the header says, or all of them."""
    told = request.headers.get(_HEADER.lower(), "")
    if not told:
        return whole or 1  # an empty body is bad JSON, not a raw one
    if not (told.isascii() and told.isdigit() and len(told) < 10 and int(told) <= whole):  # noqa: PLR2004 (a GB)
        raise BadTensorError(f"{_HEADER} must be the length of the JSON, at most the body's {whole} bytes")
    return int(told)


def _require_names(names: Sequence[str], known: set[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise BadTensorError(f"there is no {what} {strict_json.shown(name)!r}: there is {', '.join(sorted(known))}")
    if len(set(names)) != len(names):
        raise BadTensorError(f"an {what} stands twice: ask for each once")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault["loc"]).lstrip(".")
    return f"{place or 'the body'}: {fault['msg']}"


def _reply(head: dict[str, Any], outputs: Sequence[Tensor], as_bytes: Sequence[bool]) -> Reply:
    told, binaries = [], []
    for output, binary in zip(outputs, as_bytes, strict=True):
        described: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if binary:
            binaries.append(output.as_bytes())
            told.append(described | {"parameters": {"binary_data_size": len(binaries[-1])}})
        else:
            told.append(described | {"data": output.as_json()})
    reply = json_reply(head | {"outputs": told})
    if not binaries:
        return reply
    size = {_HEADER: str(len(reply.body))}
    return Reply(200, b"".join((reply.body, *binaries)), "application/octet-stream", size)
