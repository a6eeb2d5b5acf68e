"""Wraps a user's model into a network of one float32 matrix in, and every layer's output by name out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.adoption.activations import Activation
from models.adoption.agreement_rows import random_rows
from models.adoption.head_columns import HeadColumns, convert_symbolic, match_heads
from models.adoption.keras_model import walk_layers
from models.adoption.layer_names import LayerNames
from models.adoption.layer_weights import NotChainableError, Parts, recompute, take_apart, to_weights
from models.adoption.loaded_model import LoadedModel
from models.adoption.rebuilding import describe_loops, describe_precision, is_half_precision, rebuild
from models.golden import GOLDEN_TOLERANCE
from models.signature import Head, Layer
from models.tensorflow_setup import keras, tf
from models.weights import (
    ActivationWeights,
    DenseWeights,
    NormalizationWeights,
    RescalingWeights,
    Source,
    Weights,
)

_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


@dataclass(frozen=True, eq=False)
class WrappedNetwork:
    """A network that takes ``features`` [n, features] in float32 and gives a dict of every layer's output by name.

    The last of ``layers`` is the served output: the heads' columns side by side. ``heads`` are those that were asked
    for, with the layers of their raw outputs; ``columns`` say how their columns are computed. Without ``weights``,
    ``reason`` says why the model could not be taken apart. ``notes`` are sentences that say what was changed. The
    ``reference`` is what the network must agree with: the user's model, in float32 if that computes with 16 bits.
    """

    network: Any
    reference: LoadedModel
    layers: tuple[Layer, ...]
    heads: tuple[Head, ...]
    columns: tuple[HeadColumns, ...]
    weights: Weights | None
    reason: str
    notes: tuple[str, ...]


def wrap(loaded: LoadedModel, heads: Sequence[Head], *, from_logits: bool = False) -> WrappedNetwork:
    """Wrap a model. The heads are one for each of its outputs, in order; their ``layer`` is not read but assigned.

    A classification or multi-label head of a ``linear`` output has logits; with ``from_logits`` also one of an output
    whose activation is not known.

    Raises:
        AdoptionError: the heads do not fit the outputs, or the model cannot be rebuilt in float32.
    """
    columns = match_heads(loaded, heads, from_logits=from_logits)
    reference = rebuild(loaded) if is_half_precision(loaded) else loaded
    notes = describe_precision(loaded)
    names = LayerNames()
    inputs = keras.Input((loaded.feature_count,), dtype="float32", name="features")
    weights, reason = None, ""
    try:
        parts = take_apart(reference, names)
        _require_recomputable(reference, parts)
        outputs = _rebuild_from_parts(inputs, parts)
        raw = _find_raw_layers(inputs, parts, outputs, columns, names)
        layers, weights = list(parts.layers), to_weights(parts)
    except NotChainableError as error:
        names, reason = LayerNames(), str(error)
        notes += describe_loops(reference)
        outputs = _run_as_one_layer(rebuild(reference) if notes else reference, inputs, columns, names)
        raw = list(outputs)
        layers = [
            Layer(name=name, units=column.output.width, activation=column.output.activation or "linear")
            for name, column in zip(raw, columns, strict=True)
        ]
    _serve(layers, outputs, columns, raw, names)
    placed = tuple(column.head.model_copy(update={"layer": name}) for column, name in zip(columns, raw, strict=True))
    return WrappedNetwork(
        network=keras.Model(inputs, outputs, name="network"),
        reference=reference,
        layers=tuple(layers),
        heads=placed,
        columns=columns,
        weights=weights,
        reason=reason,
        notes=notes,
    )


def _run_as_one_layer(
    loaded: LoadedModel, inputs: Any, columns: Sequence[HeadColumns], names: LayerNames
) -> dict[str, Any]:
    """The model's outputs, by the names of their layers."""
    results = _UserModel(loaded)(inputs)
    return {names.make(column.output.name): result for column, result in zip(columns, results, strict=True)}


class _UserModel(keras.layers.Layer):  # type: ignore[misc]
    """The user's model as one layer that takes the matrix of all columns."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(name="model")
        _rename_layers(loaded.network)
        self.loaded = [loaded]  # in a list, so that Keras does not look into it
        self.resource = loaded.resource  # so that its weights and tables are saved

    def call(self, rows: Any) -> list[Any]:
        loaded = self.loaded[0]
        results = loaded.run(loaded.split(rows))
        return [
            tf.cast(tf.reshape(result, (-1, output.width)), tf.float32)
            for output, result in zip(loaded.outputs, results, strict=True)
        ]

    def compute_output_spec(self, _: Any) -> list[Any]:
        return [keras.KerasTensor((None, output.width), "float32") for output in self.loaded[0].outputs]


def _rename_layers(model: Any) -> None:
    """Replace the names of layers that a graph of TensorFlow cannot have."""
    names = LayerNames()
    for layer in [] if model is None else [model, *walk_layers(model)]:
        if not _SCOPE.fullmatch(layer.name):
            layer.name = names.make(layer.name)


def _require_recomputable(loaded: LoadedModel, parts: Parts) -> None:
    """Refuse to take a model apart whose parts do not give what the model gives."""
    rows = random_rows(loaded, np.empty((0, loaded.feature_count), np.float32))
    expected = loaded.predict(rows)
    with np.errstate(all="ignore"):
        outputs = recompute(parts.layers, parts.weights, rows.astype(np.float64))
    for name, sources in parts.outputs.items():
        pieces = [
            (rows if source.layer is None else outputs[source.layer])[:, source.start : source.stop]
            for source in sources
        ]
        finite = np.isfinite(expected[name]).all(axis=1)
        own, actual = expected[name][finite], np.concatenate(pieces, axis=1)[finite]
        tolerance = GOLDEN_TOLERANCE * max(1.0, float(np.abs(own).max(initial=0)))
        if not finite.any() or not np.allclose(actual, own, rtol=GOLDEN_TOLERANCE, atol=tolerance):
            raise NotChainableError(f"output {name} cannot be recomputed from its layers")


def _rebuild_from_parts(inputs: Any, parts: Parts) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    for layer in parts.layers:
        weights = parts.weights[layer.name]
        outputs[layer.name] = _build(layer, weights, _join(inputs, outputs, weights.sources))
    return outputs


def _join(inputs: Any, outputs: Mapping[str, Any], sources: Sequence[Source]) -> Any:
    """The tensor that the sources are, one after the other."""
    pieces = []
    for source in sources:
        tensor = inputs if source.layer is None else outputs[source.layer]
        is_whole = source.start == 0 and source.stop == tensor.shape[1]
        pieces.append(tensor if is_whole else tensor[:, source.start : source.stop])
    return pieces[0] if len(pieces) == 1 else keras.layers.Concatenate()(pieces)


def _build(layer: Layer, weights: Any, values: Any) -> Any:
    activation = Activation(layer.activation, dict(weights.parameters))
    function = layer.activation if not activation.parameters else activation
    if isinstance(weights, DenseWeights):
        dense = keras.layers.Dense(layer.units, function, dtype="float32")
        result = dense(values)
        dense.set_weights([np.array(weights.weights, np.float32).T, np.array(weights.bias, np.float32)])
        return result
    if isinstance(weights, NormalizationWeights):
        variance = np.square(np.array(weights.standard_deviation))
        return keras.layers.Normalization(mean=np.array(weights.mean), variance=variance, dtype="float32")(values)
    if isinstance(weights, RescalingWeights):
        scale, offset = np.array(weights.scale, np.float32), np.array(weights.offset, np.float32)
        return keras.layers.Rescaling(scale, offset, dtype="float32")(values)
    return keras.layers.Activation(function, dtype="float32")(values)


def _find_raw_layers(
    inputs: Any, parts: Parts, outputs: dict[str, Any], columns: Sequence[HeadColumns], names: LayerNames
) -> list[str]:
    """The layer that is each output as a whole; where there is none, one is added that changes nothing."""
    raw: list[str] = []
    for column in columns:
        sources = parts.outputs[column.output.name]
        whole = {layer.name for layer in parts.layers if sources == (_whole(layer),)} - set(raw)
        if not whole:
            layer = Layer(name=names.make(column.output.name), units=column.output.width, activation="linear")
            parts.add(layer, ActivationWeights(sources=sources))
            outputs[layer.name] = _build(layer, parts.weights[layer.name], _join(inputs, outputs, sources))
            whole = {layer.name}
        raw.append(whole.pop())
    return raw


def _whole(layer: Layer) -> Source:
    return Source(layer=layer.name, start=0, stop=layer.units)


def _serve(
    layers: list[Layer], outputs: dict[str, Any], columns: Sequence[HeadColumns], raw: Sequence[str], names: LayerNames
) -> None:
    """Append the served output, unless it is the only raw output."""
    if len(columns) == 1 and columns[0].conversion == "none":
        return
    pieces = [convert_symbolic(column.conversion, outputs[name]) for column, name in zip(columns, raw, strict=True)]
    is_regression = all(column.head.kind == "regression" for column in columns)
    units = sum(len(column.head.column_names) for column in columns)
    is_activation = len(columns) == 1 and columns[0].conversion in ("softmax", "sigmoid")
    activation = columns[0].conversion if is_activation else "linear"
    served = Layer(name=names.make("values" if is_regression else "probabilities"), units=units, activation=activation)
    layers.append(served)
    outputs[served.name] = pieces[0] if len(pieces) == 1 else keras.layers.Concatenate()(pieces)
