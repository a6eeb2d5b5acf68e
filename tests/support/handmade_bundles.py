"""Bundles with networks of any shape, without TensorFlow: exported with flatbuffers, computed with NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from models import bundle
from models.bundle import Bundle
from models.feature import Feature
from models.manifest import GoldenRow, Manifest, Training
from models.reference_statistics import Reference
from models.signature import Layer
from models.weights import DenseWeights, NormalizationWeights, Weights

Doubles = NDArray[np.float64]

_ACTIVATION_OPERATORS = {  # of activations that are not fused into the dense operator
    "elu": schema.BuiltinOperator.ELU,
    "leaky_relu": schema.BuiltinOperator.LEAKY_RELU,
    "relu": schema.BuiltinOperator.RELU,
    "sigmoid": schema.BuiltinOperator.LOGISTIC,
    "softmax": schema.BuiltinOperator.SOFTMAX,
    "tanh": schema.BuiltinOperator.TANH,
}
_FUNCTIONS: dict[str, Any] = {
    "elu": lambda sums: np.where(sums > 0, sums, np.expm1(sums)),
    "linear": lambda sums: sums,
    "relu": lambda sums: np.maximum(sums, 0),
    "sigmoid": lambda sums: 1 / (1 + np.exp(-sums)),
    "softmax": lambda sums: np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True),
    "tanh": np.tanh,
}


@dataclass
class Network:
    """Dense layers with ``weights`` [units, inputs] and ``biases`` [units], after an optional normalization."""

    weights: list[Doubles]
    biases: list[Doubles]
    activations: list[str]
    normal: tuple[Doubles, Doubles] | None = None  # mean and standard deviation of the features

    @classmethod
    def random(cls, widths: Sequence[int], seed: int = 0, hidden: str = "relu") -> "Network":
        """Create a network of these widths, from the features to the labels."""
        rng = np.random.default_rng(seed)
        shapes = list(zip(widths[1:], widths[:-1], strict=True))
        return cls(
            [rng.normal(0, 1, shape) for shape in shapes],
            [rng.normal(0, 1, units) for units, _ in shapes],
            [hidden] * (len(shapes) - 1) + ["softmax"],
            (rng.uniform(-1, 1, widths[0]), rng.uniform(0.5, 2, widths[0])),
        )

    @property
    def names(self) -> list[str]:
        first = [] if self.normal is None else ["normalization"]
        return [*first, *(f"hidden_{i + 1}" for i in range(len(self.weights) - 1)), "probabilities"]

    @property
    def layers(self) -> tuple[Layer, ...]:
        units = [len(weights) for weights in self.weights]
        activations = self.activations
        if self.normal:
            units, activations = [len(self.normal[0]), *units], ["linear", *activations]
        return tuple(
            Layer(name=name, units=width, activation=activation)
            for name, width, activation in zip(self.names, units, activations, strict=True)
        )

    @property
    def parameters(self) -> Weights:
        layers = zip(self.weights, self.biases, strict=True)
        dense = [DenseWeights(weights=weights.tolist(), bias=bias.tolist()) for weights, bias in layers]
        if not self.normal:
            return Weights(layers=dict(zip(self.names, dense, strict=True)))
        mean, deviation = self.normal
        normalization = NormalizationWeights(mean=mean.tolist(), standard_deviation=deviation.tolist())
        return Weights(layers=dict(zip(self.names, [normalization, *dense], strict=True)))

    def outputs(self, rows: Doubles) -> dict[str, Doubles]:
        """Compute every layer's output [rows, units], by name."""
        outputs = []
        if self.normal:
            rows = (rows - self.normal[0]) / self.normal[1]
            outputs.append(rows)
        for weights, bias, activation in zip(self.weights, self.biases, self.activations, strict=True):
            rows = _FUNCTIONS[activation](rows @ weights.T + bias)
            outputs.append(rows)
        return dict(zip(self.names, outputs, strict=True))


def publish(  # noqa: PLR0913 (each has a default)
    store: Path,
    network: Network,
    *,
    features: Sequence[Feature] | None = None,
    labels: Sequence[str] | None = None,
    background: int = 20,
    alike: int = 1,
    version: int = 1,
    weights: bool = True,
) -> Bundle:
    """Publish a network as the next version, at least ``version``; without ``weights`` it cannot be explained.

    Features are f1, f2, ... from -3 to 3 and labels l1, l2, ... unless given. There are ``background`` background
    rows, in which the first ``alike`` features are equal.
    """
    features = features or [Feature(name=f"f{i + 1}", minimum=-3, maximum=3) for i in range(len(network.weights[0][0]))]
    labels = labels or [f"l{i + 1}" for i in range(len(network.weights[-1]))]
    lowest = np.array([feature.minimum for feature in features])
    span = np.array([feature.maximum for feature in features]) - lowest
    rng = np.random.default_rng(1)
    golden = (lowest + span * rng.uniform(0, 1, (6, len(features)))).astype(np.float32)
    outputs = network.outputs(golden.astype(np.float64))
    background_rows = lowest + span * rng.uniform(1 / 6, 5 / 6, (background, len(features)))
    background_rows[:, :alike] = background_rows[:, :1]
    quantiles = {
        feature.name: tuple((feature.minimum + width * np.array([1, 3, 5]) / 6).tolist())
        for feature, width in zip(features, span, strict=True)
    }
    manifest = Manifest(
        name="handmade",
        features=tuple(features),
        labels=tuple(labels),
        layers=network.layers,
        training=Training(about="handmade", created="", rows=1, seed=0, facts={}, libraries={}),
        metrics={},
        reference=Reference(
            probabilities=(0, 0.5, 1),
            features=quantiles,
            labels=dict.fromkeys(labels, 1 / len(labels)),
            ranges={label: {name: (values[0], values[-1]) for name, values in quantiles.items()} for label in labels},
        ),
        golden=tuple(
            GoldenRow(
                features=tuple(row.tolist()), outputs={name: tuple(out[i].tolist()) for name, out in outputs.items()}
            )
            for i, row in enumerate(golden)
        ),
        background=tuple(map(tuple, background_rows.tolist())),
    )
    if version > 1:
        (store / "handmade" / str(version - 1)).mkdir(parents=True)
    with bundle.draft(store / "handmade") as folder:
        (folder / bundle.MODEL_LITERT).write_bytes(export_network(network))
        if weights:
            (folder / bundle.WEIGHTS).write_text(network.parameters.model_dump_json())
        return Bundle.read(bundle.publish(folder, manifest))


def export_network(network: Network) -> bytes:
    """Export the network in LiteRT's format, laid out as by the converter."""
    builder = ModelBuilder(network.weights[0].shape[1])
    if network.normal:
        mean, deviation = network.normal
        builder.add(schema.BuiltinOperator.SUB, len(mean), [mean[np.newaxis]])
        builder.add(schema.BuiltinOperator.MUL, len(mean), [1 / deviation[np.newaxis]])
        builder.add_output()
    for weights, bias, activation in zip(network.weights, network.biases, network.activations, strict=True):
        options = schema.FullyConnectedOptionsT(int(activation == "relu"))
        builder.add(schema.BuiltinOperator.FULLY_CONNECTED, len(weights), [weights, bias], options)
        if activation not in ("linear", "relu"):
            builder.add_activation(activation, len(weights))
        builder.add_output()
    return builder.pack(network.names)


class ModelBuilder:
    """Builds a LiteRT file: a chain of operators, each of which takes the output of the one before."""

    def __init__(self, features: int) -> None:
        self._buffers = [schema.BufferT()]  # index 0 means that a tensor is not constant
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[int] = []
        self._outputs: list[int] = []
        self._last = self._tensor(features)

    def add(self, code: int, units: int, constants: list[Doubles], options: Any = None) -> None:
        """Append an operator whose output is ``units`` wide."""
        inputs = [self._last, *map(self._constant, constants)]
        self._last = self._tensor(units)
        operator = schema.OperatorT(len(self._codes), inputs, [self._last], builtinOptions=options)
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._codes.append(code)
        self._operators.append(operator)

    def add_activation(self, name: str, units: int, slope: float = 0.2) -> None:
        """Append an activation; ``slope`` is that of `leaky_relu`."""
        options = {"softmax": schema.SoftmaxOptionsT(1.0), "leaky_relu": schema.LeakyReluOptionsT(slope)}.get(name)
        self.add(_ACTIVATION_OPERATORS[name], units, [], options)

    def add_output(self) -> None:
        """Make the last operator's output an output of the model."""
        self._outputs.append(self._last)

    def pack(self, names: list[str]) -> bytes:
        """Return the file's content, with these names for the outputs."""
        outputs = [schema.TensorMapT(name, tensor) for name, tensor in zip(names, self._outputs, strict=True)]
        model = schema.ModelT(
            version=3,
            operatorCodes=[schema.OperatorCodeT(code, builtinCode=code) for code in self._codes],
            subgraphs=[schema.SubGraphT(self._tensors, [0], self._outputs, self._operators)],
            buffers=self._buffers,
            signatureDefs=[schema.SignatureDefT([schema.TensorMapT("features", 0)], outputs, "serving_default")],
        )
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, units: int) -> int:
        self._tensors.append(
            schema.TensorT([1, units], name=f"tensor_{len(self._tensors)}", shapeSignature=[-1, units])
        )
        return len(self._tensors) - 1

    def _constant(self, values: Doubles) -> int:
        content = np.ascontiguousarray(values, np.float32)
        self._buffers.append(schema.BufferT(content.view(np.uint8).ravel()))
        name = f"tensor_{len(self._tensors)}"
        self._tensors.append(schema.TensorT(list(content.shape), buffer=len(self._buffers) - 1, name=name))
        return len(self._tensors) - 1
