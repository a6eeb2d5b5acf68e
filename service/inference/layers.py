"""The weights of each layer, as an explanation shows them, read from the bundle and checked against its golden rows.

They are a file of their own because the LiteRT file does not always have them: its converter folds a normalization into
the next layer if there is but one feature, leaves out what changes nothing, and merges layers without activation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.bundle import WEIGHTS, Bundle, BundleError
from models.golden import find_golden_mismatch
from models.manifest import Manifest
from models.signature import Layer
from models.weights import (
    ActivationWeights,
    DenseWeights,
    LayerWeights,
    NormalizationWeights,
    RescalingWeights,
    Source,
    Weights,
)
from service.arrays import Array, Doubles
from service.http.errors import NotExplainableError
from service.inference import activations

_TRAINED_ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")  # all that format 1 has
_LAYER_KINDS = "Dense, Normalization, BatchNormalization, Rescaling, Dropout, Concatenate and activation layers"


@dataclass(frozen=True, eq=False)
class NormalizationLayer:
    """``(input - mean) / deviation``, each of them [units]."""

    name: str
    mean: Array
    deviation: Array
    sources: tuple[Source, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of units and of inputs."""
        return len(self.mean), len(self.deviation)

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` of the same shape."""
        return (rows.astype(np.float64) - self.mean) / self.deviation


@dataclass(frozen=True, eq=False)
class RescalingLayer:
    """``input * scale + offset``, each of them [units]."""

    name: str
    scale: Array
    offset: Array
    sources: tuple[Source, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of units and of inputs."""
        return len(self.scale), len(self.offset)

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` of the same shape."""
        return rows.astype(np.float64) * self.scale + self.offset


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """``activation(weights @ input + bias)``; ``weights`` are [units, inputs], ``bias`` is [units]."""

    name: str
    activation: str
    weights: Array
    bias: Array
    parameters: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of units and of inputs."""
        units, inputs = self.weights.shape
        if len(self.bias) != units:
            raise ValueError("a layer does not have one bias for each unit")
        return units, inputs

    def contributions(self, row: Array) -> Doubles:
        """Each weight times its input, [units, inputs], for ``row`` [inputs]."""
        return self.weights.astype(np.float64) * row

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` [rows, inputs]."""
        sums = rows.astype(np.float64) @ self.weights.T + self.bias
        return activations.bind(self.activation, self.parameters)(sums)


@dataclass(frozen=True, eq=False)
class ActivationLayer:
    """``activation(input)``; `glu` has twice as many inputs as units."""

    name: str
    activation: str
    units: int
    parameters: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of units and of inputs."""
        return self.units, self.units * (2 if self.activation == "glu" else 1)

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` [rows, inputs]."""
        return activations.bind(self.activation, self.parameters)(rows.astype(np.float64))


# The input of a layer is all its ``sources``; without any it is the whole layer before it, or all features.
NetworkLayer = NormalizationLayer | RescalingLayer | DenseLayer | ActivationLayer


def read(source: Bundle) -> tuple[NetworkLayer, ...]:
    """The layers of a bundle's network from input to output.

    Raises:
        NotExplainableError: the bundle has no weights, one of its activations is unknown, or the weights do not give
            the golden rows the outputs that the manifest has.
    """
    manifest = source.manifest
    again = source.remedy
    if WEIGHTS not in manifest.files:
        raise NotExplainableError(_why_without_weights(source))
    try:
        weights = Weights.model_validate_json(source.read_bytes(WEIGHTS))
        network = tuple(_read_layers(source, weights))
        mismatch = _find_mismatch(network, manifest)
    except BundleError:
        raise NotExplainableError(f"{WEIGHTS} has changed since the service started: restart the service") from None
    except (KeyError, ValueError):  # of pydantic, or of NumPy, if the shapes do not fit
        raise NotExplainableError(f"{WEIGHTS} does not match the shape of the network: {again}") from None
    if mismatch:
        raise NotExplainableError(f"the weights of layer {mismatch} do not reproduce the network's output: {again}")
    return network


def with_inputs(
    network: Sequence[NetworkLayer], rows: Array, outputs: Mapping[str, Array]
) -> Iterator[tuple[NetworkLayer, Array]]:
    """Each layer with its input [rows, inputs], for ``rows`` [rows, features] and the ``outputs`` of all layers."""
    before = rows
    for layer in network:
        parts = [(outputs[part.layer] if part.layer else rows)[:, part.start : part.stop] for part in layer.sources]
        yield layer, np.concatenate(parts, axis=1) if parts else before
        before = outputs[layer.name]


def _why_without_weights(source: Bundle) -> str:
    if source.is_trained:
        return f"the model was trained without {WEIGHTS}: train it again"
    found = source.manifest.training.settings.get("not_taken_apart")  # what adoption said of it
    why = f" ({found})" if isinstance(found, str) and found else ""
    return f"the network cannot be shown layer by layer{why}: build it from {_LAYER_KINDS}, and adopt it again"


def _read_layers(source: Bundle, weights: Weights) -> Iterator[NetworkLayer]:
    """The layers with checked shapes and sources; in format 1 they are all layers of the manifest."""
    manifest = source.manifest
    described = {layer.name: layer for layer in manifest.layers}
    widths: dict[str, int] = {}
    before = Source(start=0, stop=len(manifest.network_inputs))
    for name in described if manifest.format == 1 else weights.layers:
        given = weights.layers[name]
        if manifest.format == 1:
            _require_trained(described[name], given)
        for part in given.sources:
            if not part.start < part.stop <= (widths[part.layer] if part.layer else len(manifest.network_inputs)):
                raise ValueError("a source is not a part of an earlier layer")
        sources = _merge(given.sources) or (before,)
        if not isinstance(given, NormalizationWeights | RescalingWeights):
            _require_activation(described[name], given, source.remedy)
        layer = _layer(described[name], given, () if sources == (before,) else sources)
        if layer.shape != _expected_shape(
            layer, described[name].units, sum(part.stop - part.start for part in sources)
        ):
            raise ValueError("the weights of a layer do not have its shape")
        yield layer
        widths[name] = described[name].units
        before = Source(layer=name, start=0, stop=described[name].units)


def _merge(sources: Sequence[Source]) -> tuple[Source, ...]:
    """The same input with parts joined that follow each other in the same layer."""
    merged: list[Source] = []
    for part in sources:
        if merged and (merged[-1].layer, merged[-1].stop) == (part.layer, part.start):
            merged.append(Source(layer=part.layer, start=merged.pop().start, stop=part.stop))
        else:
            merged.append(part)
    return tuple(merged)


def _expected_shape(layer: NetworkLayer, units: int, inputs: int) -> tuple[int, int]:
    """The shape of a layer of the manifest with this many inputs."""
    if isinstance(layer, NormalizationLayer | RescalingLayer) and units != inputs:
        raise ValueError("a layer without connections does not have as many units as inputs")
    return units, inputs


def _layer(layer: Layer, weights: LayerWeights, sources: tuple[Source, ...] = ()) -> NetworkLayer:
    if isinstance(weights, NormalizationWeights):
        return NormalizationLayer(layer.name, _array(weights.mean), _array(weights.standard_deviation), sources)
    if isinstance(weights, RescalingWeights):
        return RescalingLayer(layer.name, _array(weights.scale), _array(weights.offset), sources)
    if isinstance(weights, DenseWeights):
        arrays = _array(weights.weights), _array(weights.bias)
        return DenseLayer(layer.name, layer.activation, *arrays, weights.parameters, sources)
    return ActivationLayer(layer.name, layer.activation, layer.units, weights.parameters, sources)


def _require_trained(layer: Layer, weights: LayerWeights) -> None:
    """Refuse what `models.train` does not write."""
    if weights.sources or weights.parameters or not isinstance(weights, NormalizationWeights | DenseWeights):
        raise NotExplainableError(f"layer {layer.name} is of a kind that cannot be explained")
    if isinstance(weights, DenseWeights) and layer.activation not in _TRAINED_ACTIVATIONS:
        known = ", ".join(_TRAINED_ACTIVATIONS)
        raise NotExplainableError(
            f"layer {layer.name} has the unsupported activation {layer.activation}; supported are {known}"
        )


def _require_activation(layer: Layer, weights: DenseWeights | ActivationWeights, remedy: str) -> None:
    name = layer.activation
    try:
        activations.bind(name, weights.parameters)
    except KeyError:
        raise NotExplainableError(
            f"the activation {name} of layer {layer.name} is not one of Keras' own: use one that is, and {remedy}"
        ) from None
    except TypeError:
        given = ", ".join(weights.parameters) or "none"
        raise NotExplainableError(
            f"the activation {name} of layer {layer.name} does not have these parameters in Keras: {given}; {remedy}"
        ) from None
    if isinstance(weights, DenseWeights) and name == "glu":
        raise NotExplainableError(
            f"the activation glu of layer {layer.name} makes one output of two weighted sums: make it a layer of its "
            f"own, keras.layers.Activation('glu'), and {remedy}"
        )


def _array(values: Sequence[float] | Sequence[Sequence[float]]) -> Array:
    return np.array(values, np.float32)


def _find_mismatch(network: Sequence[NetworkLayer], manifest: Manifest) -> str | None:
    """The first layer whose outputs for the golden rows are not the manifest's; each gets the manifest's inputs."""
    names = [layer.name for layer in manifest.layers]
    golden = {name: _array([row.outputs[name] for row in manifest.golden]) for name in names}
    outputs: dict[str, Array | Doubles] = dict(golden)  # those without weights stay
    for layer, rows in with_inputs(network, manifest.encode(manifest.golden_rows), golden):
        outputs[layer.name] = layer.forward(rows)
    mismatch = find_golden_mismatch(manifest, outputs)
    return mismatch.layer if mismatch else None
