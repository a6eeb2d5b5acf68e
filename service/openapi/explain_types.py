"""Schemas of ``POST /explain``, as types for pydantic."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.openapi import native_types
from service.openapi.model_types import ModelTypes, closed, typed_dict


@closed
class NormalizedNode(TypedDict):
    """``output = (value - mean) / standard_deviation``, in the network's own order of steps."""

    name: str
    value: float
    mean: float
    standard_deviation: float
    output: float


@closed
class NormalizationLayer(TypedDict):
    name: str
    kind: Literal["normalization"]
    nodes: list[NormalizedNode]


_Connection = typed_dict("Connection", {"from": str, "weight": float, "input": float, "contribution": float})


@closed
class DenseNode(TypedDict):
    """``weighted_sum`` is the sum of all contributions and the bias."""

    name: str
    bias: float
    weighted_sum: float
    output: float
    connections: list[_Connection]


@closed
class DenseLayer(TypedDict):
    name: str
    kind: Literal["dense"]
    activation: str
    nodes: list[DenseNode]


def named_types(types: ModelTypes) -> list[Any]:
    """All schemas of this module, for one model."""
    return [explanation(types)]


def explanation(types: ModelTypes) -> Any:
    """The response of ``POST /explain``."""
    labels = types.manifest.labels
    by_label = typed_dict("NumberByLabel", dict.fromkeys(labels, float))
    by_feature = typed_dict("AttributionsByFeature", dict.fromkeys(types.values, by_label))
    attributions = typed_dict("Attributions", {"base": by_label, "values": by_feature})
    change = typed_dict("Change", {"at": float, "label": types.label})
    sweep = {
        "values": list[float],
        "labels": list[types.label],
        "probabilities": typed_dict("NumbersByLabel", dict.fromkeys(labels, list[float])),
        "changes": typed_dict("Changes", {"below": change | None, "above": change | None}),
    }
    fields = {
        "prediction": native_types.prediction(types),
        "layers": list[NormalizationLayer | DenseLayer],
        "attributions": attributions | None,
        "attributions_reason": NotRequired[str],
        "sweeps": typed_dict("Sweeps", dict.fromkeys(types.values, typed_dict("Sweep", sweep))),
    }
    return typed_dict("Explanation", fields)
