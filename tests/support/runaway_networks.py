"""The shipped network with one operation more, whose result nobody takes: it never ends, or wants too much memory."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.bundle import MODEL_LITERT
from support.mutated_networks import SHIPPED

_BOOL, _INT32 = schema.TensorType.BOOL, schema.TensorType.INT32


def endless() -> bytes:
    """A loop while true."""
    model = _shipped()
    features = model.subgraphs[0].inputs[0]
    true = _constant(model, np.array([True]))
    inside = schema.TensorT([1, 8], name="inside", shapeSignature=[-1, 8])
    model.subgraphs += [
        schema.SubGraphT([inside, schema.TensorT([1], _BOOL, true, "true")], [0], [1], [], "while"),
        schema.SubGraphT([inside], [0], [0], [], "do"),
    ]
    loop = schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)
    _add(model, schema.BuiltinOperator.WHILE, [features], loop)
    return _packed(model)


def greedy(times: int = 100_000) -> bytes:
    """The features so many times over, 32 bytes for each row and time: 3 GB for the most rows of a trial."""
    model = _shipped()
    graph = model.subgraphs[0]
    graph.tensors.append(schema.TensorT([2], _INT32, _constant(model, np.array([times, 1], np.int32)), "times"))
    _add(model, schema.BuiltinOperator.TILE, [graph.inputs[0], len(graph.tensors) - 1], schema.TileOptionsT())
    return _packed(model)


def _shipped() -> Any:
    return schema.ModelT.InitFromPackedBuf((SHIPPED / MODEL_LITERT).read_bytes(), 0)


def _add(model: Any, code: int, inputs: list[int], options: Any) -> None:
    """One more operation, last of all."""
    graph = model.subgraphs[0]
    graph.tensors.append(schema.TensorT([1, 8], name="more", shapeSignature=[-1, 8]))
    model.operatorCodes.append(schema.OperatorCodeT(code, builtinCode=code))
    made = schema.OperatorT(len(model.operatorCodes) - 1, inputs, [len(graph.tensors) - 1], builtinOptions=options)
    made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    graph.operators.append(made)


def _constant(model: Any, values: Any) -> int:
    """The number of the buffer that holds it."""
    model.buffers.append(schema.BufferT(values.view(np.uint8).ravel()))
    return len(model.buffers) - 1


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
