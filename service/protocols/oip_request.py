"""Inference requests of the Open Inference Protocol: what they ask for, and the rows that they bring.

A client's requests differ in their data and ids only. So what a request asks for is checked once, and looked up when it
comes again: that saves two thirds of the time that reading it takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NotRequired

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.arrays import Array
from service.http import strict_json
from service.http.errors import BadTensorError
from service.http.messages import Request
from service.inference.model import Model
from service.inference.validation import Validator
from service.protocols import oip_tensors

INPUT, PROBABILITIES, LABEL, WARNINGS = "features", "probabilities", "label", "warnings"
LENGTH_HEADER = "Inference-Header-Content-Length"
_MAX_LENGTH_DIGITS = 9  # below a GB
_MAX_KNOWN = 256  # forms of requests
_MAX_KNOWN_BYTES = 4096  # of one of them
_LOCATION = "inputs[0]"
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

    name: str
    classes: int
    is_binary: bool


@dataclass(slots=True)
class RequestForm:
    """What a request asks for, apart from its data and its id.

    ``binary_size`` is the number of bytes that follow the JSON, None if the data are in the JSON. ``strings`` is how
    many strings the JSON has. Once there was a response, ``template`` is its JSON without what differs in each, and
    ``is_plain_row`` says whether it was about one row of FP32, with no outputs but probabilities and labels.
    """

    shape: Sequence[int]
    datatype: str
    binary_size: int | None
    outputs: Sequence[RequestedOutput]
    strings: int
    template: bytes = b""
    is_plain_row: bool = False


class RequestReader:
    """Reads the requests to one model."""

    def __init__(self, model: Model) -> None:
        self._width = len(model.features)
        self._hidden_layers = model.hidden_layers
        self._known: dict[bytes | int, RequestForm] = {}

    def read(self, request: Request, validator: Validator) -> tuple[Array, RequestForm, str | None]:
        """The rows, [rows, features], the request's form, and its id.

        Raises:
            NotJsonError, BadTensorError, UnacceptableError: the request is not one that the model can answer.
        """
        body = request.read()
        size = _json_size(request, len(body))
        content, binary = body[:size], body[size:]
        data, request_id = None, None
        if size == 0:
            form = self._known.get(len(body)) or self._check(_raw_inference(len(body), self._width), strings=0)
            self._keep(len(body), form)
        elif not binary or not (known := self._known.get(content)):
            form, data, request_id = self._read_json(content)
            if binary and request_id is None:
                self._keep(content, form)
        else:
            form = known
        request.context.mark("parse")
        rows = self._rows(form, data, binary, validator)
        request.context.mark("validate")
        return rows, form, request_id

    def _read_json(self, content: bytes) -> tuple[RequestForm, Any, str | None]:
        """The form of a request, its data if they are in the JSON, and its id."""
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
        _require_names([tensor["name"] for tensor in inference["inputs"]], {INPUT}, "input")
        if not inference["inputs"]:
            raise BadTensorError(f"the input {INPUT} is missing")
        tensor = inference["inputs"][0]
        shape, size = tensor["shape"], (tensor.get("parameters") or {}).get("binary_data_size")
        if len(shape) != 2 or shape[0] < 1 or shape[1] != self._width:  # noqa: PLR2004 (rows and columns)
            raise BadTensorError(f"{_LOCATION}.shape must be [rows, {self._width}] with at least one row")
        if ("data" in tensor) == (size is not None):
            raise BadTensorError(f"{_LOCATION} must have either data or binary_data_size")
        outputs = inference.get("outputs") or [Output(name=PROBABILITIES), Output(name=LABEL)]
        known = {PROBABILITIES, LABEL, WARNINGS, *self._hidden_layers}
        _require_names([output["name"] for output in outputs], known, "output")
        default = (inference.get("parameters") or {}).get("binary_data_output") or False
        requested = [_requested(output["name"], output.get("parameters") or {}, default) for output in outputs]
        return RequestForm(shape, tensor["datatype"], size, requested, strings)

    def _keep(self, key: bytes | int, form: RequestForm) -> None:
        if key not in self._known and (isinstance(key, int) or len(key) <= _MAX_KNOWN_BYTES):
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = form

    def _rows(self, form: RequestForm, data: Any, binary: bytes, validator: Validator) -> Array:
        """The rows of the only input."""
        size = form.binary_size
        if len(binary) != (size or 0):
            raise BadTensorError(
                f"{len(binary)} bytes follow the JSON, but binary_data_size is {size or 0}: "
                f"{LENGTH_HEADER} must be the length of the JSON"
            )
        if size is None:
            rows, are_numbers = oip_tensors.rows_from_json(data, form.datatype, form.shape, _LOCATION)
            return validator.validate_rows(rows, f"{_LOCATION}.data", are_numbers=are_numbers)
        array = oip_tensors.array_from_bytes(binary, form.datatype, form.shape, _LOCATION)
        return validator.validate_array(array, f"{_LOCATION}.data")


def take_variable_parts(document: Any) -> tuple[Any, str | None]:
    """Take a request's data and id out of its JSON: what is left is its form, in which null stands for the data."""
    data, request_id = None, None
    if type(document) is dict:
        if type(document.get("id")) is str:
            request_id = document.pop("id")
        inputs = document.get("inputs")
        if type(inputs) is list and inputs and type(inputs[0]) is dict and "data" in inputs[0]:
            data, inputs[0]["data"] = inputs[0]["data"], None
            if data is None:
                del inputs[0]["data"]
    return data, request_id


def _requested(name: str, parameters: OutputParameters, default: bool) -> RequestedOutput:  # noqa: FBT001
    classes = parameters.get("classification") or 0
    if classes and name != PROBABILITIES:
        raise BadTensorError(f"classification is available for {PROBABILITIES}, not for {name}")
    is_binary = parameters.get("binary_data")
    return RequestedOutput(name, classes, default if is_binary is None else is_binary)


def _raw_inference(size: int, width: int) -> Inference:
    """The request that a body without JSON stands for: rows of FP32, answered in bytes (Triton's raw request)."""
    row = 4 * width
    if size == 0 or size % row:
        raise BadTensorError(f"a raw body must have rows of {width} FP32 values, {row} bytes each, not {size} bytes")
    shape = [size // row, width]
    tensor = Input(name=INPUT, shape=shape, datatype="FP32", parameters={"binary_data_size": size})
    return {"inputs": [tensor], "parameters": {"binary_data_output": True}}


def _json_size(request: Request, body_size: int) -> int:
    """How many bytes of the body are JSON: as many as the header says, or all."""
    value = request.headers.get("inference-header-content-length", "")
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
