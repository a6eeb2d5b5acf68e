"""Takes a Keras model apart into layers whose outputs can be computed from `Weights` alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.adoption.activations import LINEAR, Activation, describe_layer, name_function
from models.adoption.graph import list_calls
from models.adoption.keras_model import (
    TRAINING_ONLY,
    as_functional,
    list_symbolic_inputs,
    name_symbolic_outputs,
    read_values,
)
from models.adoption.layer_names import LayerNames
from models.adoption.loaded_model import Doubles, LoadedModel
from models.signature import Layer
from models.tensorflow_setup import keras
from models.weights import (
    ActivationWeights,
    DenseWeights,
    LayerWeights,
    NormalizationWeights,
    RescalingWeights,
    Source,
    Weights,
)

MAX_PARAMETERS = 300_000  # as many connections are more than a person or a browser can look at
_CHANGING_WIDTH = ("glu",)


class NotChainableError(Exception):
    """The model has a layer that cannot be taken apart; the message names it."""


@dataclass(frozen=True)
class Value:
    """A tensor of the model: the sources of its columns, and its shape without the batch."""

    sources: tuple[Source, ...]
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(source.stop - source.start for source in self.sources)


@dataclass
class Parts:
    """A model taken apart: its layers, their weights, and the columns of each output by the output's name."""

    layers: list[Layer] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, tuple[Source, ...]] = field(default_factory=dict)

    def add(self, layer: Layer, weights: LayerWeights) -> tuple[Source, ...]:
        """Append a layer; its output as the source of others."""
        self.layers.append(layer)
        self.weights[layer.name] = weights
        return (Source(layer=layer.name, start=0, stop=layer.units),)


def take_apart(loaded: LoadedModel, names: LayerNames) -> Parts:
    """Take a model apart; ``names`` gives each layer its name.

    Raises:
        NotChainableError: one of its layers cannot be.
    """
    outputs = name_symbolic_outputs(loaded.network) if loaded.network is not None else []
    if not outputs:
        raise NotChainableError(
            "the model is a SavedModel, which has no layers"
            if loaded.network is None
            else f"the model is a class of its own, {type(loaded.network).__name__}, and not a chain of layers"
        )
    if loaded.network.count_params() > MAX_PARAMETERS:
        raise NotChainableError(f"the model has more than {MAX_PARAMETERS:,} parameters, too many to show")
    values, start = [], 0
    for tensor in loaded.tensors:
        values.append(Value((Source(start=start, stop=start + tensor.width),), tensor.shape))
        start += tensor.width
    parts = Parts()
    walker = _Walker(parts, names)
    symbolic = list_symbolic_inputs(loaded.network)
    results = walker.walk(loaded.network, dict(zip(map(id, symbolic), values, strict=True)))
    own = [output.name for output in loaded.outputs]
    parts.outputs = {name: results[id(tensor)].sources for name, (_, tensor) in zip(own, outputs, strict=True)}
    _remove_unused(parts)
    return parts


def _remove_unused(parts: Parts) -> None:
    """Remove layers that no output needs, such as those behind another output of a nested model."""
    needed = {source.layer for sources in parts.outputs.values() for source in sources}
    for layer in reversed(parts.layers):
        if layer.name in needed:
            needed |= {source.layer for source in parts.weights[layer.name].sources}
    parts.layers = [layer for layer in parts.layers if layer.name in needed]
    parts.weights = {layer.name: parts.weights[layer.name] for layer in parts.layers}


class _Walker:
    def __init__(self, parts: Parts, names: LayerNames) -> None:
        self._parts = parts
        self._names = names

    def walk(self, model: Any, values: dict[int, Value]) -> dict[int, Value]:
        """The value of each tensor of a functional or sequential model, by its id; ``values`` has the inputs'."""
        values = dict(values)
        for node in list_calls(model):
            inputs = [values[id(tensor)] for tensor in node.arguments.keras_tensors]
            if type(node.operation).__name__ == "GetItem" and len(inputs) == 1:
                results = [_slice(node, inputs[0])]
            else:
                results = self._call(node.operation, inputs)
            values.update(zip(map(id, node.outputs), results, strict=True))
        return values

    def _call(self, operation: Any, inputs: Sequence[Value]) -> list[Value]:
        if isinstance(operation, keras.Model):
            functional = as_functional(operation)
            if functional is None:
                raise _cannot(operation)
            symbolic = functional.inputs
            adjusted = [Value(value.sources, tuple(t.shape[1:])) for value, t in zip(inputs, symbolic, strict=True)]
            values = self.walk(operation, dict(zip(map(id, symbolic), adjusted, strict=True)))
            return [values[id(tensor)] for tensor in functional.outputs]
        if isinstance(operation, keras.layers.Concatenate):
            return [_concatenate(operation, inputs)]
        if len(inputs) != 1:
            raise _cannot(operation)
        (value,) = inputs
        if isinstance(operation, TRAINING_ONLY):
            return [value]
        if isinstance(operation, keras.layers.Reshape | keras.layers.Flatten):
            shape = operation.compute_output_shape((None, *value.shape))[1:]
            return [Value(value.sources, tuple(shape))]
        if isinstance(operation, keras.layers.SpectralNormalization):
            return self._call(operation.layer, inputs)
        return [self._layer(operation, value)]

    def _layer(self, layer: Any, value: Value) -> Value:
        if isinstance(layer, keras.layers.Dense) and len(value.shape) == 1:
            return self._dense(layer, value)
        if activation := describe_layer(layer):
            if activation.name == "linear":
                return value
            return self._activation(layer, value, activation)
        rescale = _RESCALINGS.get(type(layer))
        if rescale is None or len(value.shape) != 1:
            raise _cannot(layer)
        return self._add(layer, value, rescale(layer, value.width), LINEAR, value.width)

    def _dense(self, layer: Any, value: Value) -> Value:
        kernel = read_values(layer.kernel).astype(np.float32)
        bias = read_values(layer.bias).astype(np.float32) if layer.use_bias else np.zeros(layer.units, np.float32)
        weights = DenseWeights(weights=kernel.T.tolist(), bias=bias.tolist())
        if getattr(layer, "lora_enabled", False) or type(layer).call is not keras.layers.Dense.call:
            raise _cannot(layer)
        function = layer.activation
        apart = describe_layer(function) if isinstance(function, keras.Layer) else None
        activation = apart or (LINEAR if function is None else name_function(function))
        if activation is None or activation.name in _CHANGING_WIDTH:
            raise _cannot(layer, f"its activation is {getattr(function, '__name__', function)}")
        return self._add(layer, value, weights, activation, layer.units)

    def _activation(self, layer: Any, value: Value, activation: Activation) -> Value:
        if len(value.shape) != 1 or activation.name in _CHANGING_WIDTH:
            raise _cannot(layer)
        return self._add(layer, value, ActivationWeights(), activation, value.width)

    def _add(self, layer: Any, value: Value, weights: LayerWeights, activation: Activation, units: int) -> Value:
        described = Layer(name=self._names.make(layer.name), units=units, activation=activation.name)
        complete = weights.model_copy(update={"sources": value.sources, "parameters": activation.parameters})
        return Value(self._parts.add(described, complete), (units,))


def _slice(node: Any, value: Value) -> Value:
    """Columns of a matrix, as ``rows[:, 2:5]`` takes them."""
    arguments = [*node.arguments.args[1:], *node.arguments.kwargs.values()]
    match arguments:
        case [(slice(start=None, stop=None, step=None), slice(step=None) as columns)] if len(value.shape) == 1:
            start, stop, _ = columns.indices(value.width)
            pieces, position = [], 0
            for source in value.sources:
                first, last = max(start - position, 0), min(stop - position, source.stop - source.start)
                position += source.stop - source.start
                if first < last:
                    pieces.append(Source(layer=source.layer, start=source.start + first, stop=source.start + last))
            if pieces:
                return Value(tuple(pieces), (stop - start,))
    raise _cannot(node.operation)


def _concatenate(layer: Any, inputs: Sequence[Value]) -> Value:
    if any(len(value.shape) != 1 for value in inputs) or layer.axis not in (-1, 1):
        raise _cannot(layer)
    sources = tuple(source for value in inputs for source in value.sources)
    return Value(sources, (sum(value.width for value in inputs),))


def _cannot(operation: Any, reason: str = "") -> NotChainableError:
    because = f", because {reason}" if reason else ""
    return NotChainableError(
        f"layer {operation.name} ({type(operation).__name__}) cannot be taken apart into nodes{because}"
    )


def _normalization(layer: Any, width: int) -> LayerWeights:
    mean = np.broadcast_to(np.ravel(read_values(layer.mean).astype(np.float64)), (width,))
    deviation = np.sqrt(read_values(layer.variance).astype(np.float32))
    deviation = np.maximum(np.broadcast_to(np.ravel(deviation), (width,)), np.float32(keras.backend.epsilon()))
    if layer.invert:
        return RescalingWeights(scale=deviation.tolist(), offset=mean.tolist())
    return NormalizationWeights(mean=mean.tolist(), standard_deviation=deviation.tolist())


def _batch_normalization(layer: Any, _: int) -> LayerWeights:
    if layer.axis not in (-1, 1):
        raise _cannot(layer)
    scale = 1 / np.sqrt(read_values(layer.moving_variance).astype(np.float64) + layer.epsilon)
    if layer.scale:
        scale *= read_values(layer.gamma).astype(np.float64)
    offset = -read_values(layer.moving_mean).astype(np.float64) * scale
    if layer.center:
        offset += read_values(layer.beta).astype(np.float64)
    return RescalingWeights(scale=_as_float32(scale), offset=_as_float32(offset))


def _rescaling(layer: Any, width: int) -> LayerWeights:
    scale, offset = (np.broadcast_to(np.ravel(part), (width,)) for part in (layer.scale, layer.offset))
    return RescalingWeights(scale=_as_float32(scale), offset=_as_float32(offset))


def _as_float32(values: Doubles) -> tuple[float, ...]:
    return tuple(values.astype(np.float32).tolist())


_RESCALINGS: dict[type, Callable[[Any, int], LayerWeights]] = {
    keras.layers.Normalization: _normalization,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.Rescaling: _rescaling,
}


def recompute(layers: Sequence[Layer], weights_by_layer: Mapping[str, Any], rows: Doubles) -> dict[str, Doubles]:
    """Compute each layer's output [n, units] in float64 for ``rows`` [n, features], by layer name."""
    outputs: dict[str, Doubles] = {}
    for layer in layers:
        weights = weights_by_layer[layer.name]
        sources = [
            (rows if source.layer is None else outputs[source.layer])[:, source.start : source.stop]
            for source in weights.sources
        ]
        values = _transform(weights, np.concatenate(sources, axis=1))
        activation = Activation(layer.activation, dict(weights.parameters))
        outputs[layer.name] = np.asarray(activation(keras.ops.convert_to_tensor(values, "float64")), np.float64)
    return outputs


def _transform(weights: Any, values: Doubles) -> Any:
    if isinstance(weights, NormalizationWeights):
        return (values - np.array(weights.mean)) / np.array(weights.standard_deviation)
    if isinstance(weights, RescalingWeights):
        return values * np.array(weights.scale) + np.array(weights.offset)
    if isinstance(weights, DenseWeights):
        return values @ np.array(weights.weights).T + np.array(weights.bias)
    return values


def to_weights(parts: Parts) -> Weights:
    """The content of ``weights.json``."""
    return Weights(layers=parts.weights)
