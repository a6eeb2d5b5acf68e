"""The weights of each layer, as an explanation shows them, read from the bundle and checked against its golden rows.

They are a file of their own because the LiteRT file does not always have them: its converter folds a normalization into
the next layer if there is but one feature, leaves out what changes nothing, and merges layers without activation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.bundle import WEIGHTS, Bundle, BundleError
from models.golden import find_golden_mismatch
from models.manifest import Manifest
from models.signature import Layer
from models.weights import DenseWeights, LayerWeights, NormalizationWeights, Weights
from service.arrays import Array, Doubles
from service.http.errors import NotExplainableError


def _softmax(sums: Doubles) -> Doubles:
    powers = np.exp(sums - sums.max(axis=-1, keepdims=True))
    shares: Doubles = powers / powers.sum(axis=-1, keepdims=True)
    return shares


_ACTIVATIONS: dict[str, Callable[[Doubles], Doubles]] = {
    "linear": lambda sums: sums,
    "relu": lambda sums: np.maximum(sums, 0),
    "sigmoid": lambda sums: 0.5 * (1 + np.tanh(0.5 * sums)),  # exp would overflow
    "softmax": _softmax,
    "tanh": np.tanh,
}


@dataclass(frozen=True, eq=False)
class NormalizationLayer:
    """``(input - mean) / deviation``, each of them [units]; the units are the inputs."""

    name: str
    mean: Array
    deviation: Array

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` of the same shape."""
        return (rows.astype(np.float64) - self.mean) / self.deviation


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """``activation(weights @ input + bias)``; ``weights`` are [units, inputs], ``bias`` is [units]."""

    name: str
    activation: str
    weights: Array
    bias: Array

    def contributions(self, row: Array) -> Doubles:
        """Each weight times its input, [units, inputs], for ``row`` [inputs]."""
        return self.weights.astype(np.float64) * row

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` [rows, inputs]."""
        return _ACTIVATIONS[self.activation](rows.astype(np.float64) @ self.weights.T + self.bias)


NetworkLayer = NormalizationLayer | DenseLayer


def read(source: Bundle) -> tuple[NetworkLayer, ...]:
    """The layers of a bundle's network from input to output.

    Raises:
        NotExplainableError: the bundle has no weights, one of its activations is unknown, or the weights do not give
            the golden rows the outputs that the manifest has.
    """
    manifest = source.manifest
    if WEIGHTS not in manifest.files:
        raise NotExplainableError(f"the model was trained without {WEIGHTS}: train it again")
    try:
        weights = Weights.model_validate_json(source.read_bytes(WEIGHTS))
        network = tuple(_layer(layer, weights.layers[layer.name]) for layer in manifest.layers)
        _require_golden_outputs(network, manifest)
    except BundleError:
        raise NotExplainableError(f"{WEIGHTS} has changed since the service started: restart the service") from None
    except (KeyError, ValueError):  # of pydantic, or of NumPy, if the shapes do not fit
        raise NotExplainableError(f"{WEIGHTS} does not match the shape of the network: train the model again") from None
    return network


def _layer(layer: Layer, weights: LayerWeights) -> NetworkLayer:
    if isinstance(weights, NormalizationWeights):
        return NormalizationLayer(layer.name, _array(weights.mean), _array(weights.standard_deviation))
    if not isinstance(weights, DenseWeights):
        raise NotExplainableError(f"layer {layer.name} is of a kind that cannot be explained")
    if layer.activation not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise NotExplainableError(
            f"layer {layer.name} has the unsupported activation {layer.activation}; supported are {known}"
        )
    return DenseLayer(layer.name, layer.activation, _array(weights.weights), _array(weights.bias))


def _array(values: Sequence[float] | Sequence[Sequence[float]]) -> Array:
    return np.array(values, np.float32)


def _require_golden_outputs(network: Sequence[NetworkLayer], manifest: Manifest) -> None:
    """Check each layer by itself: its input is the manifest's output of the layer before it."""
    outputs, rows = {}, manifest.golden_rows
    for layer in network:
        outputs[layer.name] = layer.forward(rows)
        rows = _array([row.outputs[layer.name] for row in manifest.golden])
    if mismatch := find_golden_mismatch(manifest, outputs):
        raise NotExplainableError(
            f"the weights of layer {mismatch.layer} do not reproduce the network's output: train the model again"
        )
