"""Schemas of ``POST /explain``, as types for pydantic."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from models.feature import Category, Feature
from service.inference import shapley
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
class RescaledNode(TypedDict):
    """``output = value * scale + offset``."""

    name: str
    value: float
    scale: float
    offset: float
    output: float


@closed
class ActivatedNode(TypedDict):
    """``output = activation(value)``; of glu ``value * sigmoid(gate)``."""

    name: str
    value: float
    gate: NotRequired[float]
    output: float


_Connection = typed_dict("Connection", {"from": str, "weight": float, "input": float, "contribution": float})


@closed
class EncodedFeature(TypedDict):
    """How a value becomes columns of the network's input; null is missing, or not known any more: see ``read_as``."""

    feature: str
    value: Category | float | None
    read_as: NotRequired[str]
    columns: dict[str, float]


@closed
class HashedSweep(TypedDict):
    """A feature whose values are hashed has no list of categories."""

    categories: None
    categories_reason: str


@closed
class DenseNode(TypedDict):
    """``weighted_sum`` is the sum of all contributions and the bias."""

    name: str
    bias: float
    weighted_sum: float
    output: float
    connections: list[_Connection]


def named_types(types: ModelTypes) -> list[Any]:
    """All schemas of this module, for one model."""
    return [explanation(types)]


def explanation(types: ModelTypes) -> Any:
    """The response of ``POST /explain``; only a model that was adopted can lack layers or sweeps."""
    fields = {
        "prediction": native_types.prediction(types),
        **({"encoded": list[EncodedFeature]} if types.manifest.encoders else {}),
        "layers": list[_layer(types)],
        "attributions": _attributions(types) | None,
        "attributions_reason": NotRequired[str],
        "sweeps": typed_dict("Sweeps", _sweeps(types)),
    }
    if types.manifest.format > 1:
        for part in ("layers", "sweeps"):
            fields |= {part: fields[part] | None, f"{part}_reason": NotRequired[str]}
    return typed_dict("Explanation", fields)


def _layer(types: ModelTypes) -> Any:
    """A layer of any kind that the model can have."""
    is_trained = types.manifest.format == 1
    inputs = {} if is_trained else {"inputs": NotRequired[list[str]]}
    parameters = {} if is_trained else {"parameters": NotRequired[dict[str, float]]}

    def layer(name: str, kind: Any, node: Any, activation: dict[str, Any]) -> Any:
        return typed_dict(name, {"name": str, "kind": kind, **inputs, **activation, "nodes": list[node]})

    activation = {"activation": str, **parameters}
    trained = layer("NormalizationLayer", Literal["normalization"], NormalizedNode, {}) | layer(
        "DenseLayer", Literal["dense"], DenseNode, activation
    )
    if is_trained:
        return trained
    rescaling = layer("RescalingLayer", Literal["rescaling"], RescaledNode, {})
    return trained | rescaling | layer("ActivationLayer", Literal["activation"], ActivatedNode, activation)


def _attributions(types: ModelTypes) -> Any:
    kind = "Label" if types.manifest.class_labels else "Output"
    by_column = typed_dict(f"NumberBy{kind}", dict.fromkeys(types.manifest.column_names, float))
    by_feature = typed_dict("AttributionsByFeature", dict.fromkeys(types.values, by_column))
    exact = {"base": by_column, "values": by_feature}
    sampled = {"standard_errors": by_feature, "evaluations": int}
    return typed_dict("Attributions", exact | (sampled if len(types.values) > shapley.MAX_FEATURES else {}))


def _sweeps(types: ModelTypes) -> dict[str, Any]:
    """The type of each feature's sweep."""
    number = _number_sweep(types)
    one = typed_dict("Sweep", number)
    if not types.manifest.encoders:
        return dict.fromkeys(types.values, one)
    predicted = _alternative(types)
    kinds = {"value": NotRequired[Category | None], "other": NotRequired[Literal[True]]}
    entries = list[typed_dict("TriedCategory", kinds | predicted)]
    categories = typed_dict("CategorySweep", {"categories": entries, "omitted": int})
    nullable = typed_dict("NullableSweep", number | {"missing": typed_dict("WithoutValue", predicted)})

    def sweep(feature: Feature) -> Any:
        if feature.is_category:
            return HashedSweep if feature.hashing else categories
        return nullable if feature.allow_missing else one

    return {feature.name: sweep(feature) for feature in types.manifest.features}


def _alternative(types: ModelTypes) -> dict[str, Any]:
    """What is predicted with one other value; ``own``: it is the row's."""
    names = dict.fromkeys(types.manifest.column_names, float)
    if not types.manifest.class_labels:
        return {"own": bool, "outputs": typed_dict("NumberByOutput", names)}
    return {"own": bool, "label": types.label, "probabilities": typed_dict("NumberByLabel", names)}


def _number_sweep(types: ModelTypes) -> dict[str, Any]:
    numbers = dict.fromkeys(types.manifest.column_names, list[float])
    if not types.manifest.class_labels:
        return {"values": list[float], "outputs": typed_dict("NumbersByOutput", numbers)}
    change = typed_dict("Change", {"at": float, "label": types.label})
    return {
        "values": list[float],
        "labels": list[types.label],
        "probabilities": typed_dict("NumbersByLabel", numbers),
        "changes": typed_dict("Changes", {"below": change | None, "above": change | None}),
    }
