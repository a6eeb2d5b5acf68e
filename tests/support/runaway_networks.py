"""The shipped network with one more operator, whose output is unused: it never ends, or takes too much memory."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.bundle import MODEL_LITERT
from support.mutated_networks import SHIPPED

_BOOL, _INT32 = schema.TensorType.BOOL, schema.TensorType.INT32


def build_endless() -> bytes:
    """Add an infinite loop."""
    model = _shipped()
    features = model.subgraphs[0].inputs[0]
    true = _constant(model, np.array([True]))
    state = schema.TensorT([1, 8], name="state", shapeSignature=[-1, 8])
    model.subgraphs += [
        schema.SubGraphT([state, schema.TensorT([1], _BOOL, true, "true")], [0], [1], [], "while"),
        schema.SubGraphT([state], [0], [0], [], "do"),
    ]
    loop = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    _add(model, schema.BuiltinOperator.WHILE, [features], loop)
    return _pack(model)


def build_greedy(times: int = 100_000) -> bytes:
    """Repeat the features, 32 bytes for each row and time: by default 3 GB for the largest batch of a sandbox check."""
    model = _shipped()
    graph = model.subgraphs[0]
    graph.tensors.append(schema.TensorT([2], _INT32, _constant(model, np.array([times, 1], np.int32)), "times"))
    _add(model, schema.BuiltinOperator.TILE, [graph.inputs[0], len(graph.tensors) - 1], schema.TileOptionsT())
    return _pack(model)


def _shipped() -> Any:
    return schema.ModelT.InitFromPackedBuf((SHIPPED / MODEL_LITERT).read_bytes(), 0)


def _add(model: Any, code: int, inputs: list[int], options: Any) -> None:
    """Append an operator."""
    graph = model.subgraphs[0]
    graph.tensors.append(schema.TensorT([1, 8], name="unused", shapeSignature=[-1, 8]))
    model.operatorCodes.append(schema.OperatorCodeT(code, builtinCode=code))
    operator = schema.OperatorT(len(model.operatorCodes) - 1, inputs, [len(graph.tensors) - 1], builtinOptions=options)
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    graph.operators.append(operator)


def _constant(model: Any, values: Any) -> int:
    """Add a constant and return the index of its buffer."""
    model.buffers.append(schema.BufferT(values.view(np.uint8).ravel()))
    return len(model.buffers) - 1


def _pack(model: Any) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
