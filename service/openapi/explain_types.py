"""What ``POST /explain`` answers, as types."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.openapi import native_types
from service.openapi.model_types import Vocabulary, closed, record


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


_Connection = record("Connection", {"from": str, "weight": float, "input": float, "contribution": float})


@closed
class DenseNode(TypedDict):
    """``weighted_sum`` is the sum of all contributions and the bias."""

    name: str
    bias: float
    weighted_sum: float
    output: float
    connections: list[_Connection]  # type: ignore[valid-type]


@closed
class DenseLayer(TypedDict):
    name: str
    kind: Literal["dense"]
    activation: str
    nodes: list[DenseNode]


def types(words: Vocabulary) -> list[Any]:
    """Every type of an explanation, for one model."""
    labels = words.manifest.labels
    by_label = record("NumberByLabel", dict.fromkeys(labels, float))
    by_feature = record("AttributionsByFeature", dict.fromkeys(words.numbers, by_label))
    attributions = record("Attributions", {"base": by_label, "values": by_feature})
    change = record("Change", {"at": float, "label": words.label})
    sweep = {
        "values": list[float],
        "labels": list[words.label],  # type: ignore[name-defined]
        "probabilities": record("NumbersByLabel", dict.fromkeys(labels, list[float])),
        "changes": record("Changes", {"below": change | None, "above": change | None}),
    }
    explanation = {
        "prediction": native_types.prediction(words),
        "layers": list[NormalizationLayer | DenseLayer],
        "attributions": attributions | None,
        "attributions_reason": NotRequired[str],
        "sweeps": record("Sweeps", dict.fromkeys(words.numbers, record("Sweep", sweep))),
    }
    return [record("Explanation", explanation)]
