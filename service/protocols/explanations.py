"""Explanations: how the network came to the prediction of a row. docs/explanations.md says what each number means."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from service.arrays import Array, Prediction
from service.inference import shapley
from service.inference.layers import DenseLayer, NormalizationLayer
from service.inference.model import Model, PerModel
from service.inference.sweep import Change, grid, knots, sweeps
from service.protocols.native_documents import NativeDocuments


class _Precomputed(NamedTuple):
    """What each explanation of a model needs: the ``background`` [rows, features], and the grid of each feature."""

    background: Array
    grids: list[Array]

    @classmethod
    def of(cls, model: Model) -> "_Precomputed":
        quantiles = model.manifest.require_reference().features
        grids = [grid(knots(feature, quantiles[feature.name])) for feature in model.features]
        return cls(np.array(model.manifest.background, np.float32), grids)


class Explanations:
    """Explains rows of any model; all protocols share it."""

    def __init__(self) -> None:
        self._precomputed = PerModel(_Precomputed.of)
        self._documents = PerModel(NativeDocuments)

    def explain(self, model: Model, prediction: Prediction) -> bytes:
        """The explanation of a prediction of one row, as JSON.

        Raises:
            NotExplainableError: the weights of the model's network are not available.
        """
        rows = prediction.rows
        precomputed = self._precomputed.of(model)
        document = {
            "prediction": orjson.Fragment(self._documents.of(model).row(prediction)),
            "layers": list(_layers(model, rows)),
            **_attributions(model, rows[0], precomputed.background),
            "sweeps": dict(_sweeps(model, rows[0], precomputed.grids)),
        }
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _layers(model: Model, rows: Array) -> Iterator[dict[str, Any]]:
    """Every layer's nodes with what goes in and comes out; the outputs are the engine's own."""
    weights, outputs = model.layer_weights, model.layer_outputs(rows)
    inputs, input_names = rows[0], model.manifest.feature_names
    for layer in weights:
        output = outputs[layer.name][0]
        if isinstance(layer, NormalizationLayer):
            nodes = _normalization_nodes(layer, input_names, inputs, output)
            yield {"name": layer.name, "kind": "normalization", "nodes": list(nodes)}
        else:
            units = tuple(f"{layer.name}.{unit}" for unit in range(1, len(output) + 1))
            names = model.labels if layer is weights[-1] else units
            nodes = _dense_nodes(layer, names, input_names, inputs, output)
            yield {"name": layer.name, "kind": "dense", "activation": layer.activation, "nodes": list(nodes)}
            input_names = names
        inputs = output


def _normalization_nodes(
    layer: NormalizationLayer, names: Sequence[str], inputs: Array, output: Array
) -> Iterator[dict[str, Any]]:
    for name, value, mean, deviation, out in zip(names, inputs, layer.mean, layer.deviation, output, strict=True):
        yield {"name": name, "value": value, "mean": mean, "standard_deviation": deviation, "output": out}


def _dense_nodes(
    layer: DenseLayer, names: Sequence[str], input_names: Sequence[str], inputs: Array, output: Array
) -> Iterator[dict[str, Any]]:
    contributions = layer.contributions(inputs)
    sums = contributions.sum(axis=1) + layer.bias
    for unit, name in enumerate(names):
        connections = zip(input_names, layer.weights[unit], inputs, contributions[unit], strict=True)
        yield {
            "name": name,
            "bias": layer.bias[unit],
            "weighted_sum": sums[unit],
            "output": output[unit],
            "connections": [
                {"from": source, "weight": weight, "input": value, "contribution": contribution}
                for source, weight, value, contribution in connections
            ],
        }


def _attributions(model: Model, row: Array, background: Array) -> dict[str, Any]:
    """The Shapley values, or the reason why there are none."""
    if len(row) > shapley.MAX_FEATURES:
        reason = f"the model has {len(row)} features: Shapley values are computed for up to {shapley.MAX_FEATURES}"
        return {"attributions": None, "attributions_reason": reason}
    if not len(background):
        return {
            "attributions": None,
            "attributions_reason": "the model has no background rows to compare with: train it again",
        }
    base, values = shapley.attribute(model.outputs, row, background)
    by_feature = {
        name: _by_label(model, value) for name, value in zip(model.manifest.feature_names, values, strict=True)
    }
    return {"attributions": {"base": _by_label(model, base), "values": by_feature}}


def _sweeps(model: Model, row: Array, grids: Sequence[Array]) -> Iterator[tuple[str, dict[str, Any]]]:
    labels = np.array(model.labels, object)
    for name, swept in zip(model.manifest.feature_names, sweeps(model.outputs, row, grids), strict=True):
        yield (
            name,
            {
                "values": swept.values,
                "labels": labels.take(swept.labels).tolist(),
                "probabilities": _by_label(model, np.ascontiguousarray(swept.probabilities.T)),
                "changes": {"below": _change(model, swept.below), "above": _change(model, swept.above)},
            },
        )


def _change(model: Model, change: Change | None) -> dict[str, Any] | None:
    return {"at": change.value, "label": model.labels[change.label]} if change else None


def _by_label(model: Model, values: Any) -> dict[str, Any]:
    return dict(zip(model.labels, values, strict=True))
