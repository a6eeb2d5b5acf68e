"""Networks with branches, rescalings and activations of their own, without TensorFlow: exported with flatbuffers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

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
from support.handmade_bundles import ModelBuilder

Doubles = NDArray[np.float64]


class _Builder(ModelBuilder):
    """Also takes parts of any tensor."""

    def select(self, parts: Sequence[tuple[int, Source, int]]) -> int:
        """Let the next operator take parts of tensors, each with its width, and return how wide they are together."""
        taken = [
            tensor if part.stop - part.start == width else self._slice(tensor, part) for tensor, part, width in parts
        ]
        units = sum(part.stop - part.start for _, part, _ in parts)
        self._last = taken[0]
        if len(taken) > 1:
            self.add(schema.BuiltinOperator.CONCATENATION, units, [], schema.ConcatenationOptionsT(axis=1))
            self._operators[-1].inputs = taken
        return units

    @property
    def last(self) -> int:
        """The last operator's output."""
        return self._last

    def _slice(self, tensor: int, part: Source) -> int:
        self._last = tensor
        ends = [self._integers([0, part.start]), self._integers([0, part.stop]), self._integers([1, 1])]
        options = schema.StridedSliceOptionsT(beginMask=1, endMask=1)
        self.add(schema.BuiltinOperator.STRIDED_SLICE, part.stop - part.start, [], options)
        self._operators[-1].inputs += ends
        return self._last

    def _integers(self, values: Sequence[int]) -> int:
        content = np.array(values, np.int32)
        self._buffers.append(schema.BufferT(content.view(np.uint8)))
        self._tensors.append(
            schema.TensorT(
                [len(values)],
                type=schema.TensorType.INT32,
                buffer=len(self._buffers) - 1,
                name=f"n{len(self._tensors)}",
            )
        )
        return len(self._tensors) - 1


@dataclass
class BranchedNetwork:
    """Layers by name: their weights, with sources, and their activations. Those in ``derived`` have no weights.json."""

    features: int
    weights: Mapping[str, LayerWeights]
    activations: Mapping[str, str] = field(default_factory=dict)
    derived: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        return list(self.weights)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(
            Layer(name=name, units=self._units(name), activation=self.activations.get(name, "linear"))
            for name in self.weights
        )

    @property
    def parameters(self) -> Weights:
        """What ``weights.json`` has."""
        shown: Any = {name: weights for name, weights in self.weights.items() if name not in self.derived}
        return Weights(layers=shown)

    def outputs(self, rows: Doubles) -> dict[str, Doubles]:
        """Every layer's output [rows, units] by name, from LiteRT."""
        interpreter = Interpreter(
            model_content=self.export(), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        )
        runner = interpreter.get_signature_runner()
        outputs: Mapping[str, Any] = runner(features=rows.astype(np.float32))
        return {name: outputs[name].astype(np.float64) for name in self.weights}

    def export(self) -> bytes:
        """The network in LiteRT's format."""
        builder = _Builder(self.features)
        tensors: dict[str | None, tuple[int, int]] = {None: (builder.last, self.features)}
        before: str | None = None
        for name, weights in self.weights.items():
            sources = weights.sources or (Source(layer=before, start=0, stop=tensors[before][1]),)
            inputs = builder.select([(tensors[part.layer][0], part, tensors[part.layer][1]) for part in sources])
            self._add(builder, name, weights, inputs)
            builder.add_output()
            tensors[name] = builder.last, self._units(name)
            before = name
        return builder.pack(self.names)

    def _add(self, builder: _Builder, name: str, weights: LayerWeights, inputs: int) -> None:
        activation, operator = self.activations.get(name, "linear"), schema.BuiltinOperator
        if isinstance(weights, NormalizationWeights):
            builder.add(operator.SUB, inputs, [np.array([weights.mean])])
            builder.add(operator.MUL, inputs, [1 / np.array([weights.standard_deviation])])
        elif isinstance(weights, RescalingWeights):
            builder.add(operator.MUL, inputs, [np.array([weights.scale])])
            builder.add(operator.ADD, inputs, [np.array([weights.offset])])
        elif isinstance(weights, DenseWeights):
            constants = [np.array(weights.weights), np.array(weights.bias)]
            builder.add(operator.FULLY_CONNECTED, len(weights.bias), constants, schema.FullyConnectedOptionsT())
        if activation != "linear":
            builder.add_activation(activation, self._units(name), weights.parameters.get("negative_slope", 0.2))
        elif isinstance(weights, ActivationWeights):
            builder.add(operator.MUL, inputs, [np.ones((1, inputs))])

    def _units(self, name: str) -> int:
        weights = self.weights[name]
        if isinstance(weights, DenseWeights):
            return len(weights.bias)
        if isinstance(weights, NormalizationWeights):
            return len(weights.mean)
        if isinstance(weights, RescalingWeights):
            return len(weights.scale)
        if weights.sources:
            return sum(part.stop - part.start for part in weights.sources)
        return self._units(self.names[self.names.index(name) - 1])


def dense(units: int, inputs: int, seed: int = 0, sources: Sequence[Source] = (), **parameters: float) -> DenseWeights:
    """Random weights."""
    rng = np.random.default_rng(seed)
    return DenseWeights(
        weights=rng.normal(0, 1, (units, inputs)).tolist(),
        bias=rng.normal(0, 1, units).tolist(),
        sources=tuple(sources),
        parameters=parameters,
    )


def source(layer: str | None, start: int, stop: int) -> Source:
    """The outputs of a layer, or features, from ``start`` up to ``stop``."""
    return Source(layer=layer, start=start, stop=stop)


def wide_and_deep(outputs: int = 2) -> BranchedNetwork:
    """Five features: three normalized, two rescaled; a hidden layer with a batch normalization and a leaky rectifier.

    The last layer takes two raw features too.
    """
    return BranchedNetwork(
        5,
        {
            "scaled": RescalingWeights(scale=(0.5, 2.0), offset=(0.1, -1.0), sources=(source(None, 3, 5),)),
            "normalized": NormalizationWeights(
                mean=(0.5, -0.5, 1.0), standard_deviation=(1.0, 2.0, 0.5), sources=(source(None, 0, 3),)
            ),
            "deep": dense(4, 5, 1, [source("normalized", 0, 3), source("scaled", 0, 2)]),
            "batch_norm": RescalingWeights(scale=(1.0, 0.5, 2.0, -1.0), offset=(0.0, 0.1, 0.2, 0.3)),
            "leaky": ActivationWeights(parameters={"negative_slope": 0.3}),
            "probabilities": dense(outputs, 6, 2, [source("leaky", 0, 4), source(None, 1, 2), source(None, 3, 4)]),
        },
        {"deep": "elu", "leaky": "leaky_relu"},
    )
