"""What an inference request of the Open Inference Protocol asks for, apart from its data and its id."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.arrays import Prediction
from service.http import strict_json
from service.http.errors import BadTensorError
from service.inference.model import Model
from service.protocols.oip_datatypes import ALL_FEATURES, InputType, input_types_of
from service.protocols.oip_outputs import ModelOutput, outputs_of
from service.protocols.oip_tensors import Tensor

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
    type: InputType
    shape: tuple[int, int]
    datatype: str
    binary_size: int | None

    @property
    def columns(self) -> slice:
        return self.type.columns


@dataclass(slots=True)
class RequestForm:
    """What a request asks for, apart from its data and its id.

    ``strings`` is how many strings the JSON has. ``binary_size`` is the number of bytes that follow the JSON, None if
    there are none. ``tensors`` makes the outputs, for which ``layers`` are needed. Once there was a response,
    ``template`` is its JSON without what differs in each, and ``is_plain_row`` says whether it was about one row in
    schema order, with nothing but what the last layer has: of FP32, or with ``is_mixed`` of values in the JSON.
    """

    inputs: Sequence[InputForm]
    outputs: Sequence[RequestedOutput]
    strings: int
    binary_size: int | None = None
    layers: Sequence[str] = ()
    tensors: Sequence[Callable[[Prediction], Tensor]] = ()
    is_plain_row: bool = False
    is_mixed: bool = False
    template: bytes = b""

    def __post_init__(self) -> None:
        sizes = [tensor.binary_size for tensor in self.inputs if tensor.binary_size is not None]
        self.binary_size = sum(sizes) if sizes else None
        self.layers = list(dict.fromkeys(layer for each in self.outputs for layer in each.output.layers))
        self.tensors = [each.output.tensor for each in self.outputs]

    def complete(self, template: bytes) -> None:
        """Note what the first response has told."""
        self.template = template
        starts, ends = zip(*((tensor.columns.start, tensor.columns.stop) for tensor in self.inputs), strict=True)
        is_binary = [tensor.binary_size is not None for tensor in self.inputs]
        self.is_mixed = (
            len(self.inputs) > 1 and not any(is_binary) and not all(each.type.is_plain for each in self.inputs)
        )
        self.is_plain_row = (
            all(tensor.shape[0] == 1 for tensor in self.inputs)
            and (self.is_mixed or all(tensor.datatype == "FP32" for tensor in self.inputs))
            and starts == (0, *ends[:-1])
            and len(set(is_binary)) == 1
            and not self.layers
            and not any(each.classes for each in self.outputs)
        )


class FormReader:
    """Reads what requests to one model ask for."""

    def __init__(self, model: Model) -> None:
        self._width = len(model.features)
        self._inputs = input_types_of.of(model)
        self._outputs = outputs_of.of(model)

    def read(self, document: Any, strings: int) -> RequestForm:
        """The form of a request from its JSON, in which null stands for data; it has so many ``strings``.

        Raises:
            BadTensorError: it is not a request that the model can answer.
        """
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

    def read_raw(self, size: int) -> RequestForm:
        """The form of a body without JSON: rows of FP32, answered in bytes (Triton's raw request).

        Raises:
            BadTensorError: the ``size`` in bytes is not that of some rows.
        """
        if not self._inputs.whole or "FP32" not in self._inputs.by_name[self._inputs.whole].accepted:
            raise BadTensorError(f"a raw body has nothing but FP32 values: {self._send_each()}")
        row = 4 * self._width
        if size == 0 or size % row:
            message = f"a raw body must have rows of {self._width} FP32 values, {row} bytes each, not {size} bytes"
            raise BadTensorError(message)
        shape = [size // row, self._width]
        tensor = Input(name=self._inputs.whole, shape=shape, datatype="FP32", parameters={"binary_data_size": size})
        return self.read({"inputs": [tensor], "parameters": {"binary_data_output": True}}, strings=0)

    def _check_inputs(self, tensors: Sequence[Input]) -> list[InputForm]:
        """What each tensor says: they must be all inputs of the model, or the one with all features."""
        inputs = self._inputs
        given = [tensor["name"] for tensor in tensors]
        if not inputs.whole and ALL_FEATURES in given and ALL_FEATURES not in inputs.by_name:
            raise BadTensorError(f"one tensor cannot hold features of several datatypes: {self._send_each()}")
        _require_names(given, inputs.by_name, "input")
        if given != [inputs.whole] or inputs.whole in inputs.names:
            sent = set(given)
            if not sent.issubset(inputs.names):
                raise BadTensorError(f"send either {inputs.whole} with all features, or the other inputs")
            if missing := [name for name in inputs.required if name not in sent]:
                is_one = len(missing) == 1
                raise BadTensorError(
                    f"the input{'' if is_one else 's'} {', '.join(missing)} {'is' if is_one else 'are'} missing"
                )
        if not given:
            raise BadTensorError("send at least one input: its shape tells how many rows there are")
        forms = [_check_input(tensor, inputs.by_name[tensor["name"]], index) for index, tensor in enumerate(tensors)]
        for form in forms:
            if form.shape[0] != forms[0].shape[0]:
                raise BadTensorError(
                    f"{form.location} has {form.shape[0]} rows, but {forms[0].location} has {forms[0].shape[0]}"
                )
        return forms

    def _send_each(self) -> str:
        return f"send a tensor for each input: {', '.join(self._inputs.names)}"

    def _check_output(self, output: Output, default: bool) -> RequestedOutput:  # noqa: FBT001
        parameters: OutputParameters = output.get("parameters") or {}
        name, classes, is_binary = output["name"], parameters.get("classification") or 0, parameters.get("binary_data")
        if classes and name not in self._outputs.scored:
            scored = ", ".join(self._outputs.scored) or "no output of this model"
            raise BadTensorError(f"classification is available for {scored}, not for {name}")
        return RequestedOutput(self._outputs.by_name[name], classes, default if is_binary is None else is_binary)


def _check_input(tensor: Input, kind: InputType, index: int) -> InputForm:
    location, width = f"inputs[{index}]", len(kind.features)
    shape, size = tensor["shape"], (tensor.get("parameters") or {}).get("binary_data_size")
    if width == 1 and len(shape) == 1:
        shape = [*shape, 1]
    if len(shape) != 2 or shape[0] < 1 or shape[1] != width:  # noqa: PLR2004 (rows and columns)
        raise BadTensorError(f"{location}.shape must be [rows, {width}] with at least one row")
    if ("data" in tensor) == (size is not None):
        raise BadTensorError(f"{location} must have either data or binary_data_size")
    kind.require(tensor["datatype"], location)
    return InputForm(location, kind, (shape[0], shape[1]), tensor["datatype"], size)


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
