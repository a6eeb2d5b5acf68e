"""The network behind a model's cut, and the encoders before it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adoption import keras_model
from models.adoption.cutting import Cut
from models.adoption.graph import Tensor
from models.adoption.loaded_model import Floats, InputTensor, LoadedModel
from models.adoption.tabulation import Piece, Tabulator
from models.encoding import Encoder, column_slices
from models.feature import Feature
from models.tensorflow_setup import keras


@dataclass(frozen=True, eq=False)
class EncodedModel:
    """A model as encoders and the network behind them, which takes one matrix of what they give."""

    encoders: tuple[Encoder, ...]
    network: LoadedModel
    source: LoadedModel
    tabulator: Tabulator
    pieces: tuple[Piece, ...]

    def find_different_feature(self, values: Sequence[NDArray[Any]], matrix: Floats) -> str:
        """A feature whose encoders do not give what the user's own layers do; empty if all do.

        ``values`` [features][n] are what the layers get, ``matrix`` [n, columns] is what the encoders give.
        """
        own = self.tabulator.run_all(values)
        for piece, columns in zip(self.pieces, column_slices(self.encoders), strict=True):
            if piece.tensor is not None:
                expected = own[piece.tensor][:, piece.start : piece.start + piece.encoder.width]
                if not np.array_equal(expected, matrix[:, columns]):
                    return piece.encoder.feature
        return ""


def encode_model(loaded: LoadedModel, cut: Cut, features: Sequence[Feature]) -> EncodedModel:
    """Split a model at its cut; ``loaded`` has the raw values of the features' codes.

    Raises:
        AdoptionError: it cannot be split.
    """
    tabulator = Tabulator(cut, loaded.tensors, features, loaded.values)
    pieces = tabulator.make_pieces()
    encoders = tuple(piece.encoder for piece in pieces)
    slices = column_slices(encoders)
    matrix = keras.Input((slices[-1].stop,), dtype="float32", name="encoded")
    parts = [*zip(pieces, slices, strict=True)]
    values: dict[Tensor, Any] = {point: _build_point(matrix, point, parts) for point in cut.points}
    values |= {tensor: _build_raw(matrix, tensor, cut, parts, features) for tensor in cut.used_raw}
    for step in cut.network:
        values.update(step.run(values))
    outputs = {name: values[tensor] for name, tensor in cut.graph.outputs.items()}
    _rename_namesakes(outputs.values(), [step.operation for step in cut.network])
    network = keras.Model(matrix, outputs, name="network_behind_the_encoders")
    return EncodedModel(
        encoders,
        replace(
            loaded,
            tensors=(InputTensor("encoded", (slices[-1].stop,), "float32"),),
            run=lambda tensors: [output for _, output in keras_model.call(network, tensors)],
            resource=network,
            network=network,
            cut=None,
            features=(),
            values=(),
        ),
        loaded,
        tabulator,
        tuple(pieces),
    )


def _rename_namesakes(outputs: Iterable[Any], own: Sequence[Any]) -> None:
    """Give each operation of a graph a name of its own, as Keras demands of one model; ``own`` are the user's.

    Two nested models can have layers of the same name, and Keras names those that are added here as it names others.
    """
    operations, tensors = dict.fromkeys(own), [*outputs]
    seen = set()
    while tensors:
        operation, node_index, _ = tensors.pop()._keras_history  # noqa: SLF001 (the only record)
        if (operation, node_index) not in seen:
            seen.add((operation, node_index))
            operations[operation] = None
            tensors += operation._inbound_nodes[node_index].input_tensors  # noqa: SLF001
    taken = {operation.name for operation in operations}
    known = set()
    for operation in operations:
        if operation.name in known:
            operation.name = next(f"{operation.name}_{i}" for i in count(2) if f"{operation.name}_{i}" not in taken)
        known.add(operation.name)
        taken.add(operation.name)


_Parts = Sequence[tuple[Piece, slice]]


def _build_point(matrix: Any, point: Tensor, parts: _Parts) -> Any:
    own = sorted(
        ((piece, columns) for piece, columns in parts if piece.tensor is point), key=lambda part: part[0].start
    )
    return _shape(_join(matrix, [columns for _, columns in own]), own[0][0].shape, point.dtype)


def _build_raw(matrix: Any, tensor: Tensor, cut: Cut, parts: _Parts, features: Sequence[Feature]) -> Any:
    own = {piece.position: columns for piece, columns in parts if piece.tensor is None}
    columns = cut.raw[tensor].ravel().tolist()
    if any(features[column].allow_missing and not features[column].is_category for column in columns):
        singles = [_restore_missing(matrix, own[column]) for column in columns]
        joined = singles[0] if len(singles) == 1 else keras.layers.Concatenate()(singles)
    else:
        joined = _join(matrix, [own[column] for column in columns])
    return _shape(joined, cut.raw[tensor].shape, tensor.dtype)


def _restore_missing(matrix: Any, columns: slice) -> Any:
    """The number of an encoder, NaN where its indicator says so: the model itself decides what that means."""
    value = matrix[:, columns.start : columns.start + 1]
    if columns.stop - columns.start == 1:
        return value
    is_missing = matrix[:, columns.start + 1 : columns.stop]
    return keras.ops.where(is_missing > 0.5, np.float32(np.nan), value)  # noqa: PLR2004 (0 or 1)


def _join(matrix: Any, slices: Sequence[slice]) -> Any:
    """Columns of the matrix, in this order."""
    runs: list[list[int]] = []
    for each in slices:
        if runs and runs[-1][1] == each.start:
            runs[-1][1] = each.stop
        else:
            runs.append([each.start, each.stop])
    pieces = [matrix if [0, matrix.shape[1]] == run else matrix[:, run[0] : run[1]] for run in runs]
    return pieces[0] if len(pieces) == 1 else keras.layers.Concatenate()(pieces)


def _shape(values: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """The values as a tensor of the cut has them."""
    if tuple(values.shape[1:]) != tuple(shape):
        values = keras.layers.Reshape(shape)(values)
    return values if dtype.startswith(("float", "bfloat")) else keras.ops.cast(values, dtype)
