"""Schemas of TensorFlow Serving's REST API, as types for pydantic."""

from collections.abc import Sequence
from copy import copy
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.openapi import explain_types
from service.openapi.model_types import ModelTypes, Share, closed, typed_dict
from service.protocols.oip_datatypes import input_types_of
from service.protocols.tfserving import DTYPES, SIGNATURE
from service.protocols.tfserving_methods import has_classes, has_one_value

_Signature = NotRequired[Literal["serving_default", ""] | None]


ServingState = typed_dict("ServingState", {"error_code": Literal["OK", "FAILED_PRECONDITION"], "error_message": str})
ServingVersion = typed_dict(
    "ServingVersion", {"version": str, "state": Literal["AVAILABLE", "UNLOADING", "END"], "status": ServingState}
)


@closed
class ServingStatus(TypedDict):
    """``name`` and ``ready`` are for clients of KServe's V1 protocol; ``error`` says why the model is not ready."""

    model_version_status: list[ServingVersion]
    name: str
    ready: bool
    error: NotRequired[str]


ServingModels = typed_dict("ServingModels", {"models": list[str]}, "The list of models in KServe's V1 protocol.")
ServingSpec = typed_dict("ServingSpec", {"name": str, "signature_name": str, "version": str})
ServingDimension = typed_dict("ServingDimension", {"size": str, "name": str})
ServingShape = typed_dict("ServingShape", {"dim": list[ServingDimension], "unknown_rank": bool})


def named_types(types: ModelTypes) -> list[Any]:
    """All schemas of this module, for one model."""
    explanation = explain_types.explanation(types)
    rows, columns = _outputs(types)
    return [
        ServingModels,
        ServingStatus,
        _metadata(types),
        *_requests(types),
        typed_dict("ServingPredictions", {"predictions": rows}),
        typed_dict("ServingOutputs", {"outputs": columns}),
        typed_dict("ServingExplanations", {"predictions": rows, "explanations": list[explanation]}),
        *_results(types),
    ]


def _results(types: ModelTypes) -> list[Any]:
    """What `:classify` or `:regress` gives, if the model has it."""
    if has_one_value(types.manifest):
        return [typed_dict("ServingValues", {"results": types.many(float)})]
    if not has_classes(types.manifest):
        return []
    classes = Annotated[list[tuple[types.label, Share]], Field(min_length=len(types.manifest.class_labels))]
    return [typed_dict("ServingClasses", {"results": types.many(classes)})]


def _outputs(types: ModelTypes) -> tuple[Any, Any]:
    """Predictions by row, and outputs by column: as the model itself gives them, without a name if there is one."""
    by_name = {each.head.name: each.raw_row for each in types.heads}
    if len(by_name) == 1:
        (row,) = by_name.values()
        return types.many(row), types.many(row)
    columns = {name: types.many(row) for name, row in by_name.items()}
    return types.many(typed_dict("ServingPrediction", by_name)), typed_dict("ServingOutputColumns", columns)


def _requests(types: ModelTypes) -> list[Any]:
    few = copy(types)
    few.max_rows = types.max_explained_rows
    named = {name: value | tuple[value] for name, value in types.values.items()}
    by_input = _by_input(types)
    part = typed_dict("ServingPart", {name: NotRequired[value] for name, value in (named | by_input).items()})
    example = typed_dict("ServingExample", types.by_feature(named))
    if len(by_input) > 1:
        example |= typed_dict("ServingInputExample", types.by_input(by_input))
    return [
        *_row_requests("Serving", types),
        *_row_requests("ServingFew", few),
        _request("ServingExamples", {"examples": types.many(example)}, unlike="context"),
        _request("ServingParts", {"context": part, "examples": types.many(part)}),
    ]


def _by_input(types: ModelTypes) -> dict[str, Any]:
    """What a row may have for each input, by the input's name; for the only input, nothing but a whole row."""
    if len(types.inputs) == 1:
        return {}
    return {name: _input_row(values) for name, values in types.inputs.items()}


def _input_row(values: Sequence[Any]) -> Any:
    """The values of an input in a row: a list, or the value itself if there is only one."""
    return tuple[*values] if len(values) > 1 else values[0] | tuple[values[0]]


def _row_requests(prefix: str, types: ModelTypes) -> list[Any]:
    """The requests for rows: ``instances``, or ``inputs`` as rows or columns, with or without the names of inputs."""
    by_name = {name: types.many(value) for name, value in types.values.items()}
    columns = typed_dict(f"{prefix}Columns", types.by_feature(by_name))
    inputs = types.many(types.row) | columns
    if len(types.inputs) == 1:
        ((name, values),) = types.inputs.items()
        wrapped = types.row if len(values) > 1 else types.row | values[0]
        row = types.row | typed_dict("ServingInstance", {name: wrapped})
        inputs |= typed_dict(f"{prefix}Input", {name: inputs})
    else:
        by_input = _by_input(types)
        row = types.row | typed_dict("ServingInstance", types.by_input(by_input))
        columns = {name: types.many(values) for name, values in by_input.items()}
        inputs |= typed_dict(f"{prefix}Inputs", types.by_input(columns))
    return [
        _request(f"{prefix}Rows", {"instances": types.many(row)}, unlike="inputs"),
        _request(f"{prefix}ByColumn", {"inputs": inputs}, unlike="instances"),
    ]


def _request(name: str, fields: dict[str, Any], *, unlike: str = "") -> Any:
    """A request; unknown keys are ignored, except ``unlike``, with which it would be another kind of request."""
    absent = {unlike: NotRequired[None]} if unlike else {}
    return typed_dict(name, {"signature_name": _Signature, **fields, **absent}, config=ConfigDict())


def _metadata(types: ModelTypes) -> Any:
    """Metadata: nested objects whose keys are names."""
    tensor = typed_dict("ServingTensor", {"dtype": Literal[*_dtypes(types)], "tensor_shape": ServingShape, "name": str})
    signature = {
        "inputs": typed_dict("ServingSignatureInputs", dict.fromkeys(types.inputs, tensor)),
        "outputs": typed_dict("ServingSignatureOutputs", {each.head.name: tensor for each in types.heads}),
        "method_name": Literal["tensorflow/serving/predict"],
        "defaults": typed_dict("ServingDefaults", {}),
    }
    named = typed_dict("ServingSignatures", {SIGNATURE: typed_dict("ServingSignature", signature)})
    metadata = typed_dict(
        "ServingSignatureMap", {"signature_def": typed_dict("ServingSignatureDef", {"signature_def": named})}
    )
    return typed_dict("ServingMetadata", {"model_spec": ServingSpec, "metadata": metadata})


def _dtypes(types: ModelTypes) -> list[str]:
    """The dtypes that the tensors of the model have; outputs are numbers."""
    inputs = input_types_of.of(types.model)
    return list(dict.fromkeys(["DT_FLOAT", *(DTYPES[inputs.by_name[name].datatype] for name in inputs.names)]))
