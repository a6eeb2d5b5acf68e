"""Finds where a model's graph is cut: behind the layers that turn categories and bins into numbers.

Going through the graph, each tensor is *raw* (some of the model's columns as they are), an *index* (a text or an
integer that a lookup made of them), or computed by the network. The first floating-point tensors that only depend on
raw columns and indices are the cut: what lies before them becomes encoders, what lies behind them is the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adoption.errors import AdoptionError
from models.adoption.graph import Graph, Step, Tensor, read_graph
from models.adoption.keras_model import walk_layers
from models.adoption.loaded_model import InputTensor
from models.adoption.raw_columns import ENCODING_LAYERS, RawColumn, describe_column
from models.tensorflow_setup import keras, tf

_SELECTIONS = (  # operations that take, join or reshape values and change none
    *("GetItem", "Reshape", "Flatten", "Concatenate", "TFDConcat", "TFDIdentity", "Identity", "ExpandDims", "Squeeze"),
    *("Split", "Stack", "Cast", "Permute", "Transpose", "Dropout"),
)
_BLENDING = ("multi_hot", "count", "tf_idf")  # output modes that join all values of a row
MAX_TABLE = 1_000_000  # numbers in all tables: a manifest must stay readable
_ELSEWHERE = "encode the column before the model, or adopt the part of the model behind it"


@dataclass(frozen=True, eq=False)
class Cut:
    """A cut graph.

    ``raw`` has the columns that are the elements of each raw tensor. ``points`` are the tensors that encoders give;
    ``used_raw`` those raw tensors that the network takes as they are; ``network`` are its steps. ``columns`` describe
    the model's columns.
    """

    graph: Graph
    raw: Mapping[Tensor, NDArray[np.intp]]
    points: tuple[Tensor, ...]
    used_raw: tuple[Tensor, ...]
    network: tuple[Step, ...]
    columns: tuple[RawColumn, ...]

    @cached_property
    def raw_columns(self) -> list[int]:
        """The columns that the network takes as they are, in order."""
        return sorted({int(column) for tensor in self.used_raw for column in self.raw[tensor].ravel()})


def find_cut(model: Any, tensors: Sequence[InputTensor]) -> Cut | None:
    """Where a model is cut; None if it takes numbers only and looks none up.

    Raises:
        AdoptionError: it cannot be cut; the message names the layer.
    """
    graph = read_graph(model)
    if graph is None:
        _require_numbers(model, tensors)
        return None
    walk = _Walk(graph, tensors)
    for step in graph.steps:
        walk.visit(step)
    for tensor in graph.outputs.values():
        walk.use(tensor)
    if not walk.readers and not any(tensor.dtype == "string" for tensor in tensors):
        return None
    return walk.finish(tensors)


def _require_numbers(model: Any, tensors: Sequence[InputTensor]) -> None:
    """Refuse a subclassed model that takes anything but numbers."""
    layers = [layer for layer in walk_layers(model) if isinstance(layer, ENCODING_LAYERS[:2])]
    if layers or any(tensor.dtype == "string" for tensor in tensors):
        what = f"its layer {layers[0].name} looks up categories" if layers else "it takes text"
        raise AdoptionError(
            f"the model is a class of its own, {type(model).__name__}, and {what}, so it cannot be seen where these "
            "become numbers: build it as a functional model, or adopt the part of the model behind its lookups"
        )


@dataclass
class _Walk:
    """The state of the way through the graph."""

    graph: Graph
    tensors: Sequence[InputTensor]
    raw: dict[Tensor, NDArray[np.intp]] = field(default_factory=dict)
    indices: dict[Tensor, frozenset[int]] = field(default_factory=dict)  # the columns that they depend on
    points: dict[Tensor, None] = field(default_factory=dict)
    used_raw: dict[Tensor, None] = field(default_factory=dict)
    network: list[Step] = field(default_factory=list)
    readers: dict[int, list[Any]] = field(default_factory=dict)  # the encoding layers that read a column

    def __post_init__(self) -> None:
        start = 0
        for tensor, described in zip(self.graph.inputs, self.tensors, strict=True):
            stop = start + described.width
            self.raw[tensor] = np.arange(start, stop).reshape(described.shape)
            start = stop

    def visit(self, step: Step) -> None:
        if not step.inputs:
            return
        _check(step)
        is_left = all(tensor in self.raw or tensor in self.indices for tensor in step.inputs)
        if not is_left:
            self._join_network(step)
        elif step.kind in _SELECTIONS:
            self._select(step)
        elif isinstance(step.operation, ENCODING_LAYERS) and not (self._is_blending(step) or self._is_large(step)):
            self._read(step)
        elif all(tensor in self.indices for tensor in step.inputs) and len(self._columns(step)) == 1:
            self._encode(step)  # arithmetic with one index
        else:
            self._join_network(step)

    def use(self, tensor: Tensor) -> None:
        """The network takes a tensor of the left part, if it is one."""
        if tensor in self.raw:
            self.used_raw[tensor] = None
        elif tensor in self.indices:
            if tensor.dtype == "string":
                raise AdoptionError(f"layer {tensor.maker.name} gives text, which no network takes: {_ELSEWHERE}")
            self.points[tensor] = None

    def finish(self, tensors: Sequence[InputTensor]) -> Cut:
        dtypes = [tensor.dtype for tensor in tensors for _ in range(tensor.width)]
        names = [tensor.name for tensor in tensors for _ in range(tensor.width)]
        used = {int(column) for tensor in self.used_raw for column in self.raw[tensor].ravel()}
        for column, dtype in enumerate(dtypes):
            if dtype == "string" and column not in self.readers:
                raise AdoptionError(
                    f"input {names[column]} takes text, but no StringLookup or Hashing reads it, so its categories are "
                    f"not known: {_ELSEWHERE}"
                )
        return Cut(
            graph=self.graph,
            raw=self.raw,
            points=tuple(self.points),
            used_raw=tuple(self.used_raw),
            network=tuple(self.network),
            columns=tuple(
                describe_column(self.readers.get(column, []), dtype, is_used_raw=column in used)
                for column, dtype in enumerate(dtypes)
            ),
        )

    def _columns(self, step: Step) -> frozenset[int]:
        return frozenset().union(*(self._columns_of(tensor) for tensor in step.inputs))

    def _columns_of(self, tensor: Tensor) -> frozenset[int]:
        return frozenset(map(int, self.raw[tensor].ravel())) if tensor in self.raw else self.indices[tensor]

    def _is_blending(self, step: Step) -> bool:
        """Whether a layer joins several values of a row, so that it is no encoder of one column."""
        return len(step.inputs) > 1 or (
            getattr(step.operation, "output_mode", "") in _BLENDING and (step.inputs[0].shape or (1,))[-1] != 1
        )

    def _is_large(self, step: Step) -> bool:
        """Whether an embedding that reads raw integers is too large for a manifest; LiteRT runs it in the network."""
        layer, source = step.operation, step.inputs[0]
        is_embedding = isinstance(layer, keras.layers.Embedding) and source in self.raw
        return is_embedding and layer.input_dim * layer.output_dim * self.raw[source].size > MAX_TABLE

    def _select(self, step: Step) -> None:
        (output, *others) = step.outputs
        if others or output.dtype == "bool" or any(tensor in self.indices for tensor in step.inputs):
            if any(tensor in self.raw for tensor in step.inputs):
                self._join_network(step)
                return
            self._encode(step)
            return
        try:
            columns = {t: tf.constant(self.raw[t][np.newaxis], tf.int32) for t in step.inputs}
            self.raw[output] = np.asarray(step.run(columns)[output])[0].round().astype(np.intp)
        except Exception:  # noqa: BLE001 (whatever it is, it is left to the network)
            self._join_network(step)

    def _read(self, step: Step) -> None:
        """An encoding layer that reads raw columns or indices."""
        if step.inputs[0] in self.raw:
            for column in sorted(self._columns(step)):
                self.readers.setdefault(column, []).append(step.operation)
        self._encode(step)

    def _encode(self, step: Step) -> None:
        columns = self._columns(step)
        for output in step.outputs:
            if output.dtype.startswith(("float", "bfloat")):
                self.points[output] = None
            else:
                self.indices[output] = columns

    def _join_network(self, step: Step) -> None:
        for tensor in step.inputs:
            if tensor in self.raw and tensor.dtype == "string":
                raise AdoptionError(
                    f"layer {step.operation.name} ({step.kind}) takes text and is no encoder of one column, so it "
                    f"cannot be cut off the network: {_ELSEWHERE}"
                )
            self.use(tensor)
        self.network.append(step)


def _check(step: Step) -> None:
    """Refuse layers that no encoder can replace and no network has."""
    layer = step.operation
    if step.kind in ("TextVectorization", "HashedCrossing"):
        what = "splits texts into words" if step.kind == "TextVectorization" else "crosses several columns"
        raise AdoptionError(f"layer {layer.name} ({step.kind}) {what}, which no encoder does: {_ELSEWHERE}")
    if getattr(layer, "sparse", False) or getattr(layer, "ragged", False):
        raise AdoptionError(f"layer {layer.name} ({step.kind}) gives sparse tensors: build it with sparse=False")
    if getattr(layer, "invert", False) and isinstance(layer, ENCODING_LAYERS):
        raise AdoptionError(f"layer {layer.name} ({step.kind}) turns indices into text (invert=True): leave it out")
