"""Networks of any shape as bundles, made without TensorFlow: written in LiteRT's file format and answered in NumPy."""

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
from models.manifest import (
    DenseWeights,
    Feature,
    GoldenRow,
    Layer,
    Manifest,
    NormalizationWeights,
    Reference,
    Training,
    Weights,
)

Doubles = NDArray[np.float64]

_OF_ITS_OWN = {
    "elu": schema.BuiltinOperator.ELU,
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
    """Layers' ``weights`` [units, inputs] and ``biases`` [units]; the features' mean and deviation, if any."""

    weights: list[Doubles]
    biases: list[Doubles]
    activations: list[str]
    normal: tuple[Doubles, Doubles] | None = None

    @classmethod
    def random(cls, widths: Sequence[int], seed: int = 0, hidden: str = "relu") -> "Network":
        """A network of these widths, features first and labels last."""
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
    def numbers(self) -> Weights:
        layers = zip(self.weights, self.biases, strict=True)
        dense = [DenseWeights(weights=weights.tolist(), bias=bias.tolist()) for weights, bias in layers]
        if not self.normal:
            return Weights(layers=dict(zip(self.names, dense, strict=True)))
        mean, deviation = self.normal
        normalization = NormalizationWeights(mean=mean.tolist(), standard_deviation=deviation.tolist())
        return Weights(layers=dict(zip(self.names, [normalization, *dense], strict=True)))

    def outputs(self, rows: Doubles) -> dict[str, Doubles]:
        """Every layer's output by name, [rows, units]."""
        told = []
        if self.normal:
            rows = (rows - self.normal[0]) / self.normal[1]
            told.append(rows)
        for weights, bias, activation in zip(self.weights, self.biases, self.activations, strict=True):
            rows = _FUNCTIONS[activation](rows @ weights.T + bias)
            told.append(rows)
        return dict(zip(self.names, told, strict=True))


def make(store: Path, network: Network, *, background: int = 20, alike: int = 1, version: int = 1) -> Bundle:
    """A published bundle of that network, the next version from ``version`` on.

    Features are f1, f2, ... from -3 to 3, labels l1, l2, ... There are that many ``background`` rows, in which the
    first ``alike`` features have the same values.
    """
    count, labels = network.weights[0].shape[1], [f"l{i + 1}" for i in range(len(network.weights[-1]))]
    names = [f"f{i + 1}" for i in range(count)]
    rng = np.random.default_rng(1)
    golden = rng.uniform(-3, 3, (6, count)).astype(np.float32)
    outputs = network.outputs(golden.astype(np.float64))
    behind = rng.uniform(-2, 2, (background, count))
    behind[:, :alike] = behind[:, :1]
    manifest = Manifest(
        name="handmade",
        features=tuple(Feature(name=name, minimum=-3, maximum=3) for name in names),
        labels=tuple(labels),
        layers=network.layers,
        training=Training(about="handmade", created="", rows=1, seed=0, facts={}, libraries={}),
        metrics={},
        reference=Reference(
            probabilities=(0, 0.5, 1),
            features=dict.fromkeys(names, (-2, 0, 2)),
            labels=dict.fromkeys(labels, 1 / len(labels)),
            ranges=dict.fromkeys(labels, dict.fromkeys(names, (-2, 2))),
        ),
        golden=tuple(
            GoldenRow(
                features=tuple(row.tolist()), outputs={name: tuple(out[i].tolist()) for name, out in outputs.items()}
            )
            for i, row in enumerate(golden)
        ),
        background=tuple(map(tuple, behind.tolist())),
    )
    if version > 1:
        (store / "handmade" / str(version - 1)).mkdir(parents=True)
    with bundle.draft(store / "handmade") as folder:
        (folder / bundle.MODEL_LITERT).write_bytes(_file(network))
        (folder / bundle.WEIGHTS).write_text(network.numbers.model_dump_json())
        return Bundle.read(bundle.publish(folder, manifest))


def _file(network: Network) -> bytes:
    """The network in LiteRT's format, as the converter lays it out."""
    file = _File(network.weights[0].shape[1])
    if network.normal:
        mean, deviation = network.normal
        file.add(schema.BuiltinOperator.SUB, len(mean), [mean[np.newaxis]])
        file.add(schema.BuiltinOperator.MUL, len(mean), [1 / deviation[np.newaxis]])
        file.tell()
    for weights, bias, activation in zip(network.weights, network.biases, network.activations, strict=True):
        options = schema.FullyConnectedOptionsT(int(activation == "relu"))
        file.add(schema.BuiltinOperator.FULLY_CONNECTED, len(weights), [weights, bias], options)
        if activation in _OF_ITS_OWN:
            options = schema.SoftmaxOptionsT(1.0) if activation == "softmax" else None
            file.add(_OF_ITS_OWN[activation], len(weights), [], options)
        file.tell()
    return file.packed(network.names)


class _File:
    """A LiteRT file in the making: a chain of operations, each on what the one before it made."""

    def __init__(self, features: int) -> None:
        self._buffers = [schema.BufferT()]  # the first one is empty, and stands for no constant
        self._tensors: list[Any] = []
        self._operations: list[Any] = []
        self._codes: list[int] = []
        self._told: list[int] = []
        self._last = self._tensor(features)

    def add(self, code: int, units: int, constants: list[Doubles], options: Any = None) -> None:
        """One more operation, ``units`` wide."""
        inputs = [self._last, *map(self._constant, constants)]
        self._last = self._tensor(units)
        made = schema.OperatorT(len(self._codes), inputs, [self._last], builtinOptions=options)
        if options is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._codes.append(code)
        self._operations.append(made)

    def tell(self) -> None:
        """Make what was last made an output."""
        self._told.append(self._last)

    def packed(self, names: list[str]) -> bytes:
        """The file's bytes, with the outputs under these names."""
        outputs = [schema.TensorMapT(name, tensor) for name, tensor in zip(names, self._told, strict=True)]
        model = schema.ModelT(
            version=3,
            operatorCodes=[schema.OperatorCodeT(code, builtinCode=code) for code in self._codes],
            subgraphs=[schema.SubGraphT(self._tensors, [0], self._told, self._operations)],
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
