"""The types of ``weights.json``: the parameters of each layer, for explanations."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from models.feature import FrozenModel

Vector = tuple[FiniteFloat, ...]


class Source(FrozenModel):
    """A part of a layer's input: the outputs ``start`` to ``stop`` (exclusive) of an earlier layer.

    Without a ``layer``, these are features.
    """

    layer: str | None = None
    start: Annotated[int, Field(ge=0)]
    stop: Annotated[int, Field(ge=1)]


class LayerWeights(FrozenModel):
    """What all layers have. The input is all ``sources``, one after the other.

    Without sources it is the output of the layer before it, or the features. ``parameters`` are those of the activation
    that differ from its defaults in Keras, by Keras' names: ``{"negative_slope": 0.3}``.
    """

    sources: tuple[Source, ...] = ()
    parameters: dict[str, FiniteFloat] = Field(default_factory=dict)


class NormalizationWeights(LayerWeights):
    """``(input - mean) / standard_deviation``; one value of each for every input."""

    mean: Vector
    standard_deviation: Vector


class RescalingWeights(LayerWeights):
    """``input * scale + offset``, one value of each for every input: a rescaling, or a batch normalization."""

    scale: Vector
    offset: Vector


class DenseWeights(LayerWeights):
    """``activation(weights @ input + bias)``; ``weights`` has a row for each unit and a column for each input."""

    weights: tuple[Vector, ...]
    bias: Vector


class ActivationWeights(LayerWeights):
    """``activation(input)``: a layer of its own without weights."""


class Weights(FrozenModel):
    """The parameters of each layer, by layer name, from input to output.

    Layers that change nothing when the network predicts, and those that only join or split others, are left out.
    """

    layers: dict[str, NormalizationWeights | RescalingWeights | DenseWeights | ActivationWeights]
