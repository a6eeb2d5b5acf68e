"""Inference requests of the Open Inference Protocol: what they ask for, and the rows that they bring.

A client's requests differ in their data and ids only. So what a request asks for is checked once, and looked up when it
comes again: that saves two thirds of the time that reading it takes.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NotRequired

import numpy as np
import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.arrays import Array, Prediction
from service.http import strict_json
from service.http.errors import BadTensorError
from service.http.messages import Request
from service.inference.model import Model
from service.inference.validation import Validator
from service.protocols import oip_tensors
from service.protocols.oip_outputs import ModelOutput, outputs_of
from service.protocols.oip_tensors import Tensor

ALL_FEATURES = "features"  # a tensor with all features, for a model with several inputs
LENGTH_HEADER = "Inference-Header-Content-Length"
_MAX_LENGTH_DIGITS = 9  # below a GB
_MAX_KNOWN = 256  # forms of requests
_MAX_KNOWN_BYTES = 4096  # of one of them
_strict = with_config(ConfigDict(strict=True))


@_strict
class InputParameters(TypedDict):
    binary_data_size: NotRequired[Annotated[int, Field(ge=0)] | None]


@_strict
class Input(TypedDict):
    name: str
    shape: list[int]
    datatype: str
    parameters: NotRequired[InputParameters | None]
    data: NotRequired[Any]


@_strict
class OutputParameters(TypedDict):
    binary_data: NotRequired[bool | None]
    classification: NotRequired[Annotated[int, Field(ge=1)] | None]


@_strict
class Output(TypedDict):
    name: str
    parameters: NotRequired[OutputParameters | None]


@_strict
class Parameters(TypedDict):
    binary_data_output: NotRequired[bool | None]


@_strict
class Inference(TypedDict):
    """An inference request. Unknown keys are ignored, as other servers of the protocol do.

    Null stands for an optional member that is absent: typed clients, such as KServe's, send it.
    """

    id: NotRequired[str | None]
    parameters: NotRequired[Parameters | None]
    inputs: list[Input]
    outputs: NotRequired[list[Output] | None]


_inference: Any = TypeAdapter(Inference).validator


class RequestedOutput(NamedTuple):
    """``classes`` is how many labels a classification is to have; 0 if none is wanted."""

    output: ModelOutput
    classes: int
    is_binary: bool


class InputForm(NamedTuple):
    """What a request says of one tensor; ``columns`` are those of its features among all.

    ``binary_size`` is the number of its bytes that follow the JSON, None if its data are in the JSON.
    """

    location: str
    columns: slice
    shape: tuple[int, int]
    datatype: str
    binary_size: int | None


@dataclass(slots=True)
class RequestForm:
    """What a request asks for, apart from its data and its id.

    ``strings`` is how many strings the JSON has. ``binary_size`` is the number of bytes that follow the JSON, None if
    there are none. ``tensors`` makes the outputs, for which ``layers`` are needed. ``is_plain_row`` says whether the
    request is about one row of FP32 in schema order, and asks for nothing but what the last layer has. Once there was a
    response, ``template`` is its JSON without what differs in each.
    """

    inputs: Sequence[InputForm]
    outputs: Sequence[RequestedOutput]
    strings: int
    binary_size: int | None = None
    layers: Sequence[str] = ()
    tensors: Sequence[Callable[[Prediction], Tensor]] = ()
    is_plain_row: bool = False
    template: bytes = b""

    def __post_init__(self) -> None:
        sizes = [tensor.binary_size for tensor in self.inputs if tensor.binary_size is not None]
        self.binary_size = sum(sizes) if sizes else None
        self.layers = list(dict.fromkeys(layer for each in self.outputs for layer in each.output.layers))
        self.tensors = [each.output.tensor for each in self.outputs]
        ends = [0, *(tensor.columns.stop for tensor in self.inputs)]
        self.is_plain_row = (
            all(tensor.shape[0] == 1 and tensor.datatype == "FP32" for tensor in self.inputs)
            and [tensor.columns.start for tensor in self.inputs] == ends[:-1]
            and len(sizes) in (0, len(self.inputs))
            and not self.layers
            and not any(each.classes for each in self.outputs)
        )


class RequestReader:
    """Reads the requests to one model."""

    def __init__(self, model: Model) -> None:
        self._width = len(model.features)
        self._columns: dict[str, slice] = {}
        start = 0
        for tensor in model.manifest.input_tensors:
            self._columns[tensor.name] = slice(start, start := start + tensor.width)
        self._all = ALL_FEATURES if len(self._columns) > 1 else next(iter(self._columns))
        self._outputs = outputs_of.of(model)
        self._known: dict[bytes | int, RequestForm] = {}

    def read(self, request: Request, validator: Validator) -> tuple[Array, RequestForm, str | None]:
        """The rows, [rows, features], the request's form, and its id.

        Raises:
            NotJsonError, BadTensorError, UnacceptableError: the request is not one that the model can answer.
        """
        body = request.read()
        size = _json_size(request, len(body))
        content, binary = body[:size], body[size:]
        data: Sequence[Any] = ()
        request_id = None
        if size == 0:
            form = self._known.get(len(body)) or self._check(self._raw_inference(len(body)), strings=0)
            self._keep(len(body), form)
        elif not binary or not (known := self._known.get(content)):
            form, data, request_id = self._read_json(content)
            if binary and request_id is None and not any(values is not None for values in data):
                self._keep(content, form)
        else:
            form = known
        request.context.mark("parse")
        rows = self._rows(form, data, binary, validator)
        request.context.mark("validate")
        return rows, form, request_id

    def _read_json(self, content: bytes) -> tuple[RequestForm, Sequence[Any], str | None]:
        """The form of a request, each tensor's data if they are in the JSON, and the request's id."""
        document = strict_json.parse(content)
        data, request_id = take_variable_parts(document)
        key = orjson.dumps(document)
        form = self._known.get(key)
        strings = form.strings if form else strict_json.count_strings(document)
        strict_json.require_unique_keys(content, strings + (2 if request_id is not None else 0))
        if not form:
            form = self._check(document, strings)
            self._keep(key, form)
        return form, data, request_id

    def known_form(self, key: bytes | int) -> RequestForm | None:
        """The form of a request, if there was one like it: by its JSON without `take_variable_parts`, or by its size.

        Only a request without JSON is known by its size.
        """
        return self._known.get(key)

    def _check(self, document: Any, strings: int) -> RequestForm:
        """The form of a request whose data are left out."""
        try:
            inference: Inference = _inference.validate_python(document)
        except ValidationError as error:
            raise BadTensorError(_first_fault(error)) from None
        inputs = self._check_inputs(inference["inputs"])
        names = self._outputs.by_name
        outputs = inference.get("outputs") or [Output(name=name) for name in self._outputs.defaults]
        _require_names([output["name"] for output in outputs], names, "output")
        default = (inference.get("parameters") or {}).get("binary_data_output") or False
        return RequestForm(inputs, [self._check_output(output, default) for output in outputs], strings)

    def _check_inputs(self, tensors: Sequence[Input]) -> list[InputForm]:
        """What each tensor says: they must be all inputs of the model, or the one with all features."""
        columns = {self._all: slice(0, self._width)} | self._columns  # the model's own input wins
        given = [tensor["name"] for tensor in tensors]
        _require_names(given, columns, "input")
        if given != [self._all] or self._all in self._columns:
            if any(name not in self._columns for name in given):
                raise BadTensorError(f"send either {self._all} with all features, or the other inputs")
            if missing := [name for name in self._columns if name not in given]:
                is_one = len(missing) == 1
                raise BadTensorError(
                    f"the input{'' if is_one else 's'} {', '.join(missing)} {'is' if is_one else 'are'} missing"
                )
        forms = [_check_input(tensor, columns[tensor["name"]], index) for index, tensor in enumerate(tensors)]
        for form in forms:
            if form.shape[0] != forms[0].shape[0]:
                raise BadTensorError(
                    f"{form.location} has {form.shape[0]} rows, but {forms[0].location} has {forms[0].shape[0]}"
                )
        return forms

    def _check_output(self, output: Output, default: bool) -> RequestedOutput:  # noqa: FBT001
        parameters: OutputParameters = output.get("parameters") or {}
        name, classes, is_binary = output["name"], parameters.get("classification") or 0, parameters.get("binary_data")
        if classes and name not in self._outputs.scored:
            scored = ", ".join(self._outputs.scored) or "no output of this model"
            raise BadTensorError(f"classification is available for {scored}, not for {name}")
        return RequestedOutput(self._outputs.by_name[name], classes, default if is_binary is None else is_binary)

    def _raw_inference(self, size: int) -> Inference:
        """The request that a body without JSON stands for: rows of FP32, answered in bytes (Triton's raw request)."""
        row = 4 * self._width
        if size == 0 or size % row:
            message = f"a raw body must have rows of {self._width} FP32 values, {row} bytes each, not {size} bytes"
            raise BadTensorError(message)
        shape = [size // row, self._width]
        tensor = Input(name=self._all, shape=shape, datatype="FP32", parameters={"binary_data_size": size})
        return {"inputs": [tensor], "parameters": {"binary_data_output": True}}

    def _keep(self, key: bytes | int, form: RequestForm) -> None:
        if key not in self._known and (isinstance(key, int) or len(key) <= _MAX_KNOWN_BYTES):
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = form

    def _rows(self, form: RequestForm, data: Sequence[Any], binary: bytes, validator: Validator) -> Array:
        """The rows of all inputs, [rows, features]."""
        if len(binary) != (form.binary_size or 0):
            raise BadTensorError(
                f"{len(binary)} bytes follow the JSON, but binary_data_size is {form.binary_size or 0}: "
                f"{LENGTH_HEADER} must be the length of the JSON"
            )
        if len(form.inputs) == 1:
            return _tensor_rows(form.inputs[0], data[0] if data else None, binary, validator)
        parts, start = [], 0
        for index, tensor in enumerate(form.inputs):
            stop = start + (tensor.binary_size or 0)
            part = validator.part(tensor.columns)
            parts.append(_tensor_rows(tensor, data[index] if data else None, binary[start:stop], part))
            start = stop
        order = sorted(range(len(parts)), key=lambda index: form.inputs[index].columns.start)
        return np.concatenate([parts[index] for index in order], axis=1)


def take_variable_parts(document: Any) -> tuple[Sequence[Any], str | None]:
    """Take the data and the id out of a request's JSON: what is left is its form, in which null stands for data.

    The data are those of each tensor, None for one that has none.
    """
    data: list[Any] = []
    request_id = None
    if type(document) is dict:
        if type(document.get("id")) is str:
            request_id = document.pop("id")
        inputs = document.get("inputs")
        if type(inputs) is list:
            for tensor in inputs:
                if type(tensor) is not dict:
                    data.append(None)
                    continue
                data.append(values := tensor.get("data"))
                if values is not None:
                    tensor["data"] = None
                elif "data" in tensor:
                    del tensor["data"]
    return data, request_id


def _tensor_rows(tensor: InputForm, data: Any, binary: bytes, validator: Validator) -> Array:
    """The rows [rows, features] of one input; the validator is that of its features."""
    location = tensor.location
    if tensor.binary_size is None:
        rows, are_numbers = oip_tensors.rows_from_json(data, tensor.datatype, tensor.shape, location)
        return validator.validate_rows(rows, f"{location}.data", are_numbers=are_numbers)
    array = oip_tensors.array_from_bytes(binary, tensor.datatype, tensor.shape, location)
    return validator.validate_array(array, f"{location}.data")


def _check_input(tensor: Input, columns: slice, index: int) -> InputForm:
    location, width = f"inputs[{index}]", columns.stop - columns.start
    shape, size = tensor["shape"], (tensor.get("parameters") or {}).get("binary_data_size")
    if width == 1 and len(shape) == 1:
        shape = [*shape, 1]
    if len(shape) != 2 or shape[0] < 1 or shape[1] != width:  # noqa: PLR2004 (rows and columns)
        raise BadTensorError(f"{location}.shape must be [rows, {width}] with at least one row")
    if ("data" in tensor) == (size is not None):
        raise BadTensorError(f"{location} must have either data or binary_data_size")
    return InputForm(location, columns, (shape[0], shape[1]), tensor["datatype"], size)


def _json_size(request: Request, body_size: int) -> int:
    """How many bytes of the body are JSON: as many as the header says, or all."""
    value = request.headers.get("inference-header-content-length", "")
    if not value:
        return body_size or 1  # an empty body is malformed JSON, not a raw request
    is_number = value.isascii() and value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS
    if not is_number or int(value) > body_size:
        raise BadTensorError(f"{LENGTH_HEADER} must be the length of the JSON, at most {body_size} bytes")
    return int(value)


def _require_names(names: Sequence[str], known: Collection[str], what: str) -> None:
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
