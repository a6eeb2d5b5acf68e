"""The layers of a network as documents: every node with what goes in and comes out."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.encoding import column_slices
from models.feature import Feature
from models.manifest import Manifest
from service.arrays import Array
from service.inference.layers import (
    ActivationLayer,
    DenseLayer,
    NetworkLayer,
    NormalizationLayer,
    RescalingLayer,
    with_inputs,
)
from service.inference.model import Model

_Names = Sequence[str]
_Document = dict[str, Any]


class LayerDocuments:
    """Writes the layers of one model for a row."""

    def __init__(self, model: Model) -> None:
        """Raise `NotExplainableError` if the model's weights are not available."""
        self._model = model
        self._network = model.layer_weights
        self._names = _name_nodes(model, self._network)
        self._input_names = list(self._name_inputs())
        self.connections = sum(_count_connections(layer) for layer in self._network)

    def of(self, rows: Array) -> Iterator[_Document]:
        """Every layer's nodes for the only row of ``rows``; the outputs are the engine's own."""
        outputs = self._model.layer_outputs(rows)
        layers = with_inputs(self._network, self._model.manifest.encode(rows), outputs)
        for (layer, inputs), names, input_names in zip(layers, self._names, self._input_names, strict=True):
            yield {
                "name": layer.name,
                **_describe(layer, input_names),
                "nodes": list(_nodes(layer, names, input_names, inputs[0], outputs[layer.name][0])),
            }

    def _name_inputs(self) -> Iterator[_Names]:
        """The names of the nodes that each layer takes."""
        by_layer = dict(zip((layer.name for layer in self._network), self._names, strict=True))
        before: _Names = self._model.manifest.network_inputs
        features = before
        for layer, names in zip(self._network, self._names, strict=True):
            parts = [
                (by_layer[part.layer] if part.layer else features)[part.start : part.stop] for part in layer.sources
            ]
            yield [name for part in parts for name in part] if parts else before
            before = names


def describe_encoding(manifest: Manifest, rows: Array) -> list[_Document]:
    """How each feature of the only row of ``rows`` becomes columns of the network's input.

    A ``value`` is null if it is missing, or not known any more: then ``read_as`` tells which.
    """
    columns = list(zip(manifest.network_inputs, manifest.encode(rows)[0], strict=True))
    own: dict[str, _Document] = {name: {} for name in manifest.feature_names}
    for encoder, part in zip(manifest.encoders, column_slices(manifest.encoders), strict=True):
        own[encoder.feature] |= columns[part]
    return [
        {"feature": feature.name, **_describe_value(feature, code), "columns": own[feature.name]}
        for feature, code in zip(manifest.features, rows[0], strict=True)
    ]


def _describe_value(feature: Feature, code: np.float32) -> _Document:
    value = feature.from_code(float(code))
    if value is None:
        return {"value": None, "read_as": feature.describe_code(float(code))}
    return {"value": code if feature.kind == "number" else value}  # a float32 has shorter decimals


def _name_nodes(model: Model, network: Sequence[NetworkLayer]) -> list[_Names]:
    """The names of each layer's nodes: columns of the network's output, features, or layer and unit."""
    of_heads = _output_names(model)
    of_features = _feature_names(model.manifest, network)
    units = {layer.name: layer.units for layer in model.manifest.layers}
    return [
        of_heads.get(layer.name)
        or of_features.get(layer.name)
        or [f"{layer.name}.{unit}" for unit in range(1, units[layer.name] + 1)]
        for layer in network
    ]


def _output_names(model: Model) -> dict[str, _Names]:
    """The names of columns by the layer that gives them; the only unit of a binary head has its second label."""
    names: dict[str, _Names] = {model.output_layer: model.column_names}
    units = {layer.name: layer.units for layer in model.manifest.layers}
    for head, columns, *_ in model.heads:
        own = model.column_names[columns]
        if units[head.layer] in (1, len(own)):
            names.setdefault(head.layer, own[-units[head.layer] :])
    return names


def _feature_names(manifest: Manifest, network: Sequence[NetworkLayer]) -> dict[str, _Names]:
    """The features' names by the layer that normalizes or rescales them, unless another layer takes them too."""
    taken = [_features_of(manifest, layer, is_first=layer is network[0]) for layer in network]
    every = [name for names in taken for name in names]
    return {
        layer.name: names
        for layer, names in zip(network, taken, strict=True)
        if isinstance(layer, NormalizationLayer | RescalingLayer)
        and len(names) == layer.shape[0]
        and all(every.count(name) == 1 for name in names)
    }


def _features_of(manifest: Manifest, layer: NetworkLayer, *, is_first: bool) -> _Names:
    """The features that a layer takes."""
    if not layer.sources:
        return manifest.network_inputs if is_first else ()
    parts = [manifest.network_inputs[part.start : part.stop] for part in layer.sources if part.layer is None]
    return [name for part in parts for name in part]


def _count_connections(layer: NetworkLayer) -> int:
    """A node of a layer without weights has one."""
    return layer.weights.size if isinstance(layer, DenseLayer) else layer.shape[0]


def _describe(layer: NetworkLayer, input_names: _Names) -> _Document:
    """What is said of a layer as a whole, besides its name."""
    kinds = {NormalizationLayer: "normalization", RescalingLayer: "rescaling", DenseLayer: "dense"}
    document: _Document = {"kind": kinds.get(type(layer), "activation")}
    if layer.sources:
        document["inputs"] = input_names
    if isinstance(layer, DenseLayer | ActivationLayer):
        document["activation"] = layer.activation
        if layer.parameters:
            document["parameters"] = layer.parameters
    return document


def _nodes(
    layer: NetworkLayer, names: _Names, input_names: _Names, inputs: Array, outputs: Array
) -> Iterator[_Document]:
    if isinstance(layer, NormalizationLayer):
        return _normalization_nodes(layer, names, inputs, outputs)
    if isinstance(layer, RescalingLayer):
        return _rescaling_nodes(layer, names, inputs, outputs)
    if isinstance(layer, DenseLayer):
        return _dense_nodes(layer, names, input_names, inputs, outputs)
    return _activation_nodes(names, inputs, outputs)


def _normalization_nodes(
    layer: NormalizationLayer, names: _Names, inputs: Array, outputs: Array
) -> Iterator[_Document]:
    for name, value, mean, deviation, output in zip(names, inputs, layer.mean, layer.deviation, outputs, strict=True):
        yield {"name": name, "value": value, "mean": mean, "standard_deviation": deviation, "output": output}


def _rescaling_nodes(layer: RescalingLayer, names: _Names, inputs: Array, outputs: Array) -> Iterator[_Document]:
    for name, value, scale, offset, output in zip(names, inputs, layer.scale, layer.offset, outputs, strict=True):
        yield {"name": name, "value": value, "scale": scale, "offset": offset, "output": output}


def _activation_nodes(names: _Names, inputs: Array, outputs: Array) -> Iterator[_Document]:
    """The second half of the inputs, if there is one, are the gates of `glu`."""
    units = len(outputs)
    for unit, name in enumerate(names):
        gate = {"gate": inputs[units + unit]} if len(inputs) > units else {}
        yield {"name": name, "value": inputs[unit], **gate, "output": outputs[unit]}


def _dense_nodes(
    layer: DenseLayer, names: _Names, input_names: _Names, inputs: Array, outputs: Array
) -> Iterator[_Document]:
    contributions = layer.contributions(inputs)
    sums = contributions.sum(axis=1) + layer.bias
    for unit, name in enumerate(names):
        connections = zip(input_names, layer.weights[unit], inputs, contributions[unit], strict=True)
        yield {
            "name": name,
            "bias": layer.bias[unit],
            "weighted_sum": sums[unit],
            "output": outputs[unit],
            "connections": [
                {"from": source, "weight": weight, "input": value, "contribution": contribution}
                for source, weight, value, contribution in connections
            ],
        }
