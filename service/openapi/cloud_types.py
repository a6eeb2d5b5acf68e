"""Schemas of the cloud platforms' routes, as types for pydantic; the document has them only if a platform is on."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.openapi import native_types
from service.openapi.model_types import ModelTypes, closed, typed_dict


@closed
class ExecutionParameters(TypedDict):
    MaxConcurrentTransforms: Annotated[int, Field(ge=1)]
    BatchStrategy: Literal["MULTI_RECORD"]
    MaxPayloadInMB: Annotated[int, Field(ge=1)]


def named_types(types: ModelTypes) -> list[Any]:
    """All schemas of this module, for one model."""
    rows = types.many(types.row)
    value: Any = None
    for each in types.values.values():
        value = each if value is None else value | each
    columns = NotRequired[list[Literal[*types.values]]]
    table = typed_dict("AzureColumns", {"data": types.many(list[value]), "columns": columns}, config=ConfigDict())
    return [
        ExecutionParameters,
        typed_dict("VertexPredictions", {"predictions": native_types.row_predictions(types)}),
        typed_dict("AzureData", {"data": rows}, config=ConfigDict()),
        typed_dict("AzureTable", {"input_data": table}, config=ConfigDict()),
    ]
