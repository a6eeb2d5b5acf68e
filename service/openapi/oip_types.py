"""Schemas of the Open Inference Protocol, as types for pydantic."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired, Union

from pydantic import ConfigDict, Field
from typing_extensions import TypeAliasType, TypedDict  # pydantic wants these below Python 3.12

from service.openapi.model_types import ModelTypes, closed, typed_dict
from service.protocols.oip import CONFIG_TYPES
from service.protocols.oip_datatypes import input_types_of
from service.protocols.oip_forms import OutputParameters, Parameters
from service.protocols.oip_outputs import outputs_of

_Size = Annotated[int, Field(ge=0)]


Error = typed_dict("Error", {"error": str}, "An error of the Open Inference Protocol or of TensorFlow Serving.")
ServerMetadata = typed_dict("ServerMetadata", {"name": Literal["menagerie"], "version": str, "extensions": list[str]})
Live = typed_dict("Live", {"live": Literal[True]})
ServerReady = typed_dict("ServerReady", {"live": Literal[True], "ready": bool, "error": NotRequired[str]})
ModelReady = typed_dict("ModelReady", {"name": str, "ready": bool, "error": NotRequired[str]})


LatestVersions = typed_dict("LatestVersions", {"num_versions": _Size})
VersionPolicy = typed_dict("VersionPolicy", {"latest": LatestVersions})


@closed
class RepositoryModel(TypedDict):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


RepositoryIndex = TypeAliasType("RepositoryIndex", list[RepositoryModel])


Duration = typed_dict("Duration", {"count": _Size, "ns": _Size})


_STATISTICS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)
InferenceDurations = typed_dict("InferenceDurations", dict.fromkeys(_STATISTICS, Duration))


@closed
class ModelStatistics(TypedDict):
    """``last_inference`` is in milliseconds since 1970."""

    name: str
    version: str
    last_inference: _Size
    inference_count: _Size
    execution_count: _Size
    inference_stats: InferenceDurations
    batch_stats: list[Any]


Statistics = typed_dict("Statistics", {"model_stats": list[ModelStatistics]})
BinarySize = typed_dict("BinarySize", {"binary_data_size": _Size})


@closed
class OutputTensor(TypedDict):
    """``data`` row by row; or ``parameters.binary_data_size``, and the data as bytes after the JSON."""

    name: str
    datatype: Literal["FP32", "BYTES", "BOOL"]
    shape: list[_Size]
    data: NotRequired[list[float] | list[str] | list[bool]]
    parameters: NotRequired[BinarySize]


@closed
class InferenceResponse(TypedDict):
    model_name: str
    model_version: str
    id: NotRequired[str]
    outputs: list[OutputTensor]


def named_types(types: ModelTypes) -> list[Any]:
    """All schemas of this module, for one model."""
    server = [Error, ServerMetadata, Live, ServerReady, RepositoryIndex]
    model = [ModelReady, *_metadata(types), Statistics]
    return [*server, *model, InferenceResponse, _request(types)]


def _metadata(types: ModelTypes) -> list[Any]:
    """The model's metadata, and its configuration in Triton's form."""
    inputs = input_types_of.of(types.model)
    datatypes = dict.fromkeys(["FP32", "BYTES", "BOOL", *(inputs.by_name[name].datatype for name in inputs.names)])
    optional = {"optional": NotRequired[Literal[True]]} if len(inputs.required) < len(inputs.names) else {}
    tensor = typed_dict(
        "TensorMetadata",
        {"name": str, "datatype": Literal[*datatypes], "shape": list[int], **optional},
        "``shape`` has -1 for the number of rows.",
    )
    metadata = {"name": str, "versions": list[str], "platform": str, "inputs": list[tensor], "outputs": list[tensor]}
    configured = typed_dict(
        "ConfiguredTensor",
        {"name": str, "data_type": Literal[*map(CONFIG_TYPES.get, datatypes)], "dims": list[_Size], **optional},
        "``dims`` excludes the number of rows.",
    )
    configuration = {
        "name": str,
        "platform": str,
        "version_policy": VersionPolicy,
        "max_batch_size": _Size,
        "input": list[configured],
        "output": list[configured],
    }
    about = "A model's configuration in Triton's form."
    return [typed_dict("ModelMetadata", metadata), typed_dict("ModelConfiguration", configuration, about)]


def _request(types: ModelTypes) -> Any:
    """A request with its data as JSON. Unknown keys are ignored, so no object is closed.

    A schema cannot say that there must be as many data as ``shape`` has, integers for a datatype of integers, each
    within its feature's bounds; that each input and each output may be there only once, and no input may be missing.
    """
    open_object = ConfigDict()
    names = list(outputs_of.of(types.model).by_name)
    output = {"name": Literal[*names], "parameters": NotRequired[OutputParameters | None]}
    outputs: Any = list[typed_dict("InferenceOutput", output, config=open_object)]
    request = {
        "id": NotRequired[str | None],
        "parameters": NotRequired[Parameters | None],
        "inputs": _inputs(types),
        "outputs": NotRequired[Annotated[outputs, Field(json_schema_extra={"uniqueItems": True})] | None],
    }
    return typed_dict("InferenceRequest", request, config=open_object)


def _inputs(types: ModelTypes) -> Any:
    """The only input; or a tensor for each input, in any order, or one with all features."""
    kinds = input_types_of.of(types.model)
    is_single = len(types.inputs) == 1
    tensors = [
        _input(types, "InferenceInput" if is_single else f"InferenceInput{number}", name, values)
        for number, (name, values) in enumerate(types.inputs.items(), 1)
    ]
    inputs = _list_of(Union[*tensors], max(len(kinds.required), 1), len(tensors))
    if is_single or not kinds.whole or kinds.whole in types.inputs:
        return inputs
    return inputs | _list_of(_input(types, "InferenceInput", kinds.whole, list(types.values.values())), 1, 1)


def _list_of(tensor: Any, least: int, most: int) -> Any:
    return Annotated[list[tensor], Field(min_length=least, max_length=most)]


def _input(types: ModelTypes, schema: str, name: str, values: Sequence[Any]) -> Any:
    """An input tensor with its data as JSON, flat or row by row."""
    width, kind = len(values), input_types_of.of(types.model).by_name[name]
    row: Any = types.feature_list if width == len(types.values) else tuple[*values]
    element: Any = {"BYTES": str, "BOOL": bool}.get(kind.datatype, float)
    if kind.is_optional:
        element |= None
    no_bytes = typed_dict("InferenceInputParameters", {"binary_data_size": NotRequired[None]}, config=ConfigDict())
    flat = Annotated[list[element], Field(min_length=width, max_length=width * types.max_rows)]
    count = Annotated[int, Field(ge=1, le=types.max_rows)]
    shape: Any = tuple[count, Annotated[int, Field(ge=width, le=width)]]
    tensor = {
        "name": Literal[name],
        "shape": shape if width > 1 else shape | tuple[count],
        "datatype": Literal[*kind.accepted],
        "parameters": NotRequired[no_bytes | None],
        "data": flat | types.many(row),
    }
    return typed_dict(schema, tensor, config=ConfigDict())
