"""Schemas of TensorFlow Serving's REST API, as types for pydantic."""

from copy import copy
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.openapi import explain_types
from service.openapi.model_types import ModelTypes, Share, closed, typed_dict
from service.protocols.tfserving import INPUT, OUTPUT, SIGNATURE

_Signature = NotRequired[Literal["serving_default", ""] | None]


ServingState = typed_dict("ServingState", {"error_code": Literal["OK"], "error_message": str})
ServingVersion = typed_dict(
    "ServingVersion", {"version": str, "state": Literal["AVAILABLE", "UNLOADING"], "status": ServingState}
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
ServingTensor = typed_dict("ServingTensor", {"dtype": Literal["DT_FLOAT"], "tensor_shape": ServingShape, "name": str})


def named_types(types: ModelTypes) -> list[Any]:
    """All schemas of this module, for one model."""
    row = Annotated[list[Share], Field(min_length=len(types.manifest.labels), max_length=len(types.manifest.labels))]
    explanation = explain_types.explanation(types)
    classes = Annotated[list[tuple[types.label, Share]], Field(min_length=len(types.manifest.labels))]
    return [
        ServingModels,
        ServingStatus,
        _metadata(),
        *_requests(types),
        typed_dict("ServingPredictions", {"predictions": types.many(row)}),
        typed_dict("ServingOutputs", {"outputs": types.many(row)}),
        typed_dict("ServingClasses", {"results": types.many(classes)}),
        typed_dict("ServingExplanations", {"predictions": types.many(row), "explanations": list[explanation]}),
    ]


def _requests(types: ModelTypes) -> list[Any]:
    few = copy(types)
    few.max_rows = types.max_explained_rows
    wrapped = types.row | typed_dict("ServingInstance", {INPUT: types.row})
    values = {name: value | tuple[value] for name, value in types.values.items()}
    part = typed_dict("ServingPart", {name: NotRequired[value] for name, value in values.items()})
    examples = types.many(typed_dict("ServingExample", values))
    return [
        *_row_requests("Serving", types, wrapped),
        *_row_requests("ServingFew", few, wrapped),
        _request("ServingExamples", {"examples": examples}, unlike="context"),
        _request("ServingParts", {"context": part, "examples": types.many(part)}),
    ]


def _row_requests(prefix: str, types: ModelTypes, row: Any) -> list[Any]:
    """The requests for rows: ``instances``, or ``inputs`` as rows or columns, with or without the name of the input."""
    columns = typed_dict(f"{prefix}Columns", {name: types.many(number) for name, number in types.values.items()})
    inputs = types.many(types.row) | columns
    named = typed_dict(f"{prefix}Input", {INPUT: inputs})
    return [
        _request(f"{prefix}Rows", {"instances": types.many(row)}, unlike="inputs"),
        _request(f"{prefix}ByColumn", {"inputs": inputs | named}, unlike="instances"),
    ]


def _request(name: str, fields: dict[str, Any], *, unlike: str = "") -> Any:
    """A request; unknown keys are ignored, except ``unlike``, with which it would be another kind of request."""
    absent = {unlike: NotRequired[None]} if unlike else {}
    return typed_dict(name, {"signature_name": _Signature, **fields, **absent}, config=ConfigDict())


def _metadata() -> Any:
    """Metadata: nested objects whose keys are names."""
    signature = {
        "inputs": typed_dict("ServingSignatureInputs", {INPUT: ServingTensor}),
        "outputs": typed_dict("ServingSignatureOutputs", {OUTPUT: ServingTensor}),
        "method_name": Literal["tensorflow/serving/predict"],
        "defaults": typed_dict("ServingDefaults", {}),
    }
    named = typed_dict("ServingSignatures", {SIGNATURE: typed_dict("ServingSignature", signature)})
    metadata = typed_dict(
        "ServingSignatureMap", {"signature_def": typed_dict("ServingSignatureDef", {"signature_def": named})}
    )
    return typed_dict("ServingMetadata", {"model_spec": ServingSpec, "metadata": metadata})
