"""What a network is made of: each layer's constants, read from the bundle's LiteRT file and held to its golden rows.

The file that is served is the one that is read, so an explanation cannot be of other weights than the answer, and no
TensorFlow is needed. Its layout is TensorFlow Lite's ``schema.fbs``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812 (an exception by the name of one)
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bundle import MODEL_LITERT, Bundle, BundleError, Golden, Layer
from service.engine import Array
from service.errors import NotExplainableError

Doubles = NDArray[np.float64]

_TOLERANCE = 1e-5  # what is read is in double precision, what was trained in single


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
class Normalization:
    """``(input - mean) / deviation``, each of them [units]; the units are the inputs."""

    name: str
    mean: Array
    deviation: Array

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` of the same shape."""
        return (rows.astype(np.float64) - self.mean) / self.deviation


@dataclass(frozen=True, eq=False)
class Dense:
    """``activation(weights @ input + bias)``; ``weights`` are [units, inputs], ``bias`` is [units]."""

    name: str
    activation: str
    weights: Array
    bias: Array

    def contributions(self, row: Array) -> Doubles:
        """Each weight times what comes in over it, [units, inputs], for ``row`` [inputs]."""
        return self.weights.astype(np.float64) * row

    def forward(self, rows: Array) -> Doubles:
        """The outputs, [rows, units], for ``rows`` [rows, inputs]."""
        return _ACTIVATIONS[self.activation](rows.astype(np.float64) @ self.weights.T + self.bias)


Part = Normalization | Dense


def read(bundle: Bundle) -> tuple[Part, ...]:
    """The layers of a bundle's network from input to output, named as in its manifest.

    Raises:
        NotExplainableError: the network is not made of normalizations and dense layers alone, or what was read does
            not give the golden rows the outputs that the manifest says.
    """
    manifest = bundle.manifest
    try:
        parts = tuple(_parts(bundle.content(MODEL_LITERT), manifest.layers))
    except BundleError:
        raise NotExplainableError(f"{MODEL_LITERT} is not what it was when the service started: restart it") from None
    except (StructError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise NotExplainableError(f"the layout of {MODEL_LITERT} is not known here: train the model again") from None
    _check(parts, manifest.golden)
    return parts


def _parts(content: bytes, layers: Iterable[Layer]) -> Iterator[Part]:
    graph = _Graph(content)
    before = graph.input
    for layer in layers:
        after = graph.outputs[layer.name]
        yield _part(layer, graph.steps(before, after))
        before = after


def _part(layer: Layer, steps: "list[_Step]") -> Part:
    match steps:
        case [("SUB", [mean]), ("MUL", [factor])]:  # the converter turns the division round
            return Normalization(layer.name, mean.ravel(), 1 / factor.ravel())
        case [("SUB", [mean]), ("DIV", [deviation])]:
            return Normalization(layer.name, mean.ravel(), deviation.ravel())
        case [("FULLY_CONNECTED", [weights, *bias]), *_] if layer.activation in _ACTIVATIONS:
            return Dense(layer.name, layer.activation, weights, bias[0] if bias else np.zeros(layer.units, np.float32))
    raise NotExplainableError(
        f"layer {layer.name} ({layer.activation}) is neither a normalization nor a dense layer with an activation "
        f"known here ({', '.join(_ACTIVATIONS)})"
    )


def _check(parts: tuple[Part, ...], golden: tuple[Golden, ...]) -> None:
    rows = np.array([row.features for row in golden], np.float32)
    for part in parts:
        expected = np.array([row.outputs[part.name] for row in golden], np.float32)
        given = part.forward(rows)
        if given.shape != expected.shape or not np.allclose(given, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise NotExplainableError(f"the weights read for layer {part.name} do not give what the layer gives")
        rows = expected


class _Step(NamedTuple):
    """One operation on the way from one layer's output to the next, and what is constant in it."""

    operation: str
    constants: list[Array]


class _Graph:
    """The operations of the network in a LiteRT file; tensors are known by their number."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema  # 17 ms: only who explains pays for it

        model = schema.ModelT.InitFromPackedBuf(content)
        signature, graph = model.signatureDefs[0], model.subgraphs[model.signatureDefs[0].subgraphIndex]
        names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
        # Codes that fit into the older field are in both of them, or in that one only.
        codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
        self._float32 = schema.TensorType.FLOAT32
        self._tensors: list[Any] = graph.tensors
        self._buffers: list[Any] = model.buffers
        self._makers = {
            output: (codes[operator.opcodeIndex], [int(tensor) for tensor in operator.inputs if tensor >= 0])
            for operator in graph.operators
            for output in map(int, operator.outputs)
        }
        (self.input,) = (tensor.tensorIndex for tensor in signature.inputs)
        self.outputs = {tensor.name.decode(): int(tensor.tensorIndex) for tensor in signature.outputs}

    def steps(self, before: int, after: int) -> list[_Step]:
        """What is done to tensor ``before`` to make ``after``.

        Raises:
            KeyError, ValueError: there is no such way, or more than one.
        """
        steps = []
        while after != before:
            operation, inputs = self._makers[after]
            (after,) = (tensor for tensor in inputs if not self._is_constant(tensor))
            steps.append(_Step(operation, [self._constant(tensor) for tensor in inputs if tensor != after]))
        return steps[::-1]

    def _is_constant(self, tensor: int) -> bool:
        content = self._buffers[self._tensors[tensor].buffer].data
        return content is not None and len(content) > 0

    def _constant(self, tensor: int) -> Array:
        described = self._tensors[tensor]
        if described.type != self._float32:
            raise ValueError("quantized")
        content = np.asarray(self._buffers[described.buffer].data, np.uint8)
        return content.view(np.float32).reshape(described.shape)
