"""Encoders from the part of a model before its cut: Keras itself runs it for every category and in every bin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adoption.cutting import MAX_TABLE, Cut
from models.adoption.errors import AdoptionError, summarize
from models.adoption.graph import Tensor
from models.adoption.loaded_model import Floats, InputTensor, join_columns
from models.adoption.raw_columns import step_from
from models.encoding import NO_COLUMN, Encoder, NumberEncoder, OneHotEncoder, TableEncoder
from models.feature import Feature
from models.tensorflow_setup import tf

_CHUNK = 2000  # entries at once: with a column for each of many categories, their rows are large
_MAX_DENSE = 20_000_000  # numbers in the rows of several columns that one tensor depends on


@dataclass(frozen=True, eq=False)
class Piece:
    """An encoder, and the elements that it gives: of a tensor of the cut, or the number of a raw ``column``."""

    position: int  # of the feature
    encoder: Encoder
    tensor: Tensor | None = None
    start: int = 0
    shape: tuple[int, ...] = ()


class Tabulator:
    """Runs the part before the cut; ``values`` has the raw value of each code by column (`RawColumn.values`)."""

    def __init__(
        self,
        cut: Cut,
        tensors: Sequence[InputTensor],
        features: Sequence[Feature],
        values: Sequence[NDArray[Any] | None],
    ) -> None:
        self._cut = cut
        self._tensors = tensors
        self._features = features
        self._values = values
        self._entries: list[NDArray[Any]] = [self._list_entries(column) for column in range(len(features))]
        self._steps = {point: cut.graph.find_steps([point]) for point in cut.points}

    def make_pieces(self) -> list[Piece]:
        """All encoders, those of a feature one after the other.

        Raises:
            AdoptionError: a tensor is not made of columns that each depend on one feature, or a table is too large.
        """
        pieces = [self._make_raw_piece(column) for column in self._cut.raw_columns]
        for point in self._cut.points:
            pieces += self._tabulate(point)
        encoders = [piece.encoder for piece in pieces]
        tables = sum(len(each.table) * each.width for each in encoders if isinstance(each, TableEncoder))
        if tables > MAX_TABLE:
            raise AdoptionError(
                f"the model's embeddings have {tables:,} numbers, more than the {MAX_TABLE:,} that a manifest takes: "
                "build it with fewer categories, or smaller embeddings"
            )
        return sorted(pieces, key=lambda piece: piece.position)

    def _list_entries(self, column: int) -> NDArray[Any]:
        """A raw value for each entry of an encoder of the column."""
        feature, values = self._features[column], self._values[column]
        if values is not None:
            return values[[*range(feature.code_count), *[-1] * feature.allow_missing]]
        missing = [np.nan] * feature.allow_missing
        return np.array([*_represent_bins(self._cut.columns[column].boundaries, feature), *missing], np.float32)

    def _make_raw_piece(self, column: int) -> Piece:
        feature, values = self._features[column], self._values[column]
        if values is None:
            fill = 0.0 if feature.allow_missing else None
            return Piece(column, NumberEncoder(feature=feature.name, fill=fill, indicator=feature.allow_missing))
        table = self._entries[column].astype(np.float32)[:, np.newaxis]
        return Piece(column, TableEncoder(feature=feature.name, table=table.tolist()))

    def _tabulate(self, point: Tensor) -> Iterator[Piece]:
        columns = sorted(self._find_columns(point))
        if len(columns) == 1:
            shape, encoder = self._tabulate_column(point, columns[0])
            yield Piece(columns[0], encoder, point, 0, shape)
            return
        shape, tables = self._tabulate_densely(point, columns)
        owners = self._find_owners(point, columns, tables)
        starts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(owners)]
        for start, stop in pairwise(starts):
            column = columns[int(owners[start])]
            table = tables[int(owners[start])][:, start:stop]
            chosen = _find_ones(table)
            yield Piece(column, self._to_encoder(column, table.shape[1], chosen, table), point, start, shape)

    def _find_columns(self, point: Tensor) -> set[int]:
        readers = [
            tensor
            for step in self._steps[point]
            for tensor in step.inputs
            if tensor in self._cut.raw and not all(output in self._cut.raw for output in step.outputs)
        ]
        return {int(column) for tensor in readers for column in self._cut.raw[tensor].ravel()}

    def _tabulate_column(self, point: Tensor, column: int) -> tuple[tuple[int, ...], Encoder]:
        entries = self._entries[column]
        shape, first = self._run(point, column, entries[:1])
        width = first.shape[1]
        chosen = self._find_all_ones(point, column)
        table = None
        if chosen is None:
            self._require_small(point, len(entries) * width)
            table = self._run(point, column, entries)[1]
        self._check_bins(point, column)
        return shape, self._to_encoder(column, width, chosen, table)

    def _find_all_ones(self, point: Tensor, column: int) -> NDArray[np.intp] | None:
        """`_find_ones` for all entries, some at once."""
        entries, found = self._entries[column], []
        for start in range(0, len(entries), _CHUNK):
            ones = _find_ones(self._run(point, column, entries[start : start + _CHUNK])[1])
            if ones is None:
                return None
            found.append(ones)
        return np.concatenate(found)

    def _tabulate_densely(self, point: Tensor, columns: Sequence[int]) -> tuple[tuple[int, ...], list[Floats]]:
        shape: tuple[int, ...] = ()
        tables = []
        for column in columns:
            shape, first = self._run(point, column, self._entries[column][:1])
            self._require_small(point, len(self._entries[column]) * first.shape[1] * len(columns), _MAX_DENSE)
            tables.append(self._run(point, column, self._entries[column])[1])
            self._check_bins(point, column)
        return shape, tables

    def _find_owners(self, point: Tensor, columns: Sequence[int], tables: Sequence[Floats]) -> NDArray[np.intp]:
        """The index of the column on which each element depends."""
        changes = np.array([(table != table[0]).any(axis=0) for table in tables])
        if (changes.sum(axis=0) > 1).any():
            names = ", ".join(self._features[column].name for column in columns)
            raise AdoptionError(
                f"layer {point.maker.name} ({type(point.maker).__name__}) joins {names} into the same numbers, so no "
                "encoder of one column can replace it: encode each column by a layer of its own"
            )
        return np.asarray(changes.argmax(axis=0))

    def _check_bins(self, point: Tensor, column: int) -> None:
        """Check that all values of a bin give the same, as a table has it."""
        boundaries = np.array(self._cut.columns[column].boundaries, np.float32)
        if self._values[column] is not None or not len(boundaries) or self._features[column].kind == "integer":
            return
        ends = np.array([*step_from(boundaries, -np.inf), np.finfo(np.float32).max], np.float32)
        entries = self._entries[column][: len(ends)]
        if not np.array_equal(self._run(point, column, ends)[1], self._run(point, column, entries)[1]):
            raise AdoptionError(
                f"layer {point.maker.name} ({type(point.maker).__name__}) gives different numbers for values of "
                f"{self._features[column].name} in the same bin: adopt the part of the model behind it"
            )

    def _run(self, point: Tensor, column: int, entries: NDArray[Any]) -> tuple[tuple[int, ...], Floats]:
        """A tensor's shape without the batch, and its values [entries, elements], for values of one column."""
        rows = [np.repeat(each[:1], len(entries)) for each in self._entries]
        rows[column] = entries
        values: dict[Tensor, Any] = dict(zip(self._cut.graph.inputs, join_columns(self._tensors, rows), strict=True))
        try:
            for step in self._steps[point]:
                values.update(step.run(values))
        except Exception as error:  # noqa: BLE001 (TensorFlow raises nearly anything)
            raise AdoptionError(
                f"layer {point.maker.name} ({type(point.maker).__name__}) fails on values of its own vocabulary "
                f"({summarize(error)}): save the model again, or report this"
            ) from None
        result = tf.cast(values[point], tf.float32).numpy()
        return result.shape[1:], result.reshape(len(entries), -1)

    def run_all(self, columns: Sequence[NDArray[Any]]) -> dict[Tensor, Floats]:
        """The tensors of the cut [n, elements] for the values [n] of all columns."""
        values: dict[Tensor, Any] = dict(zip(self._cut.graph.inputs, join_columns(self._tensors, columns), strict=True))
        for step in self._cut.graph.find_steps(self._cut.points):
            values.update(step.run(values))
        count = len(columns[0])
        return {point: tf.cast(values[point], tf.float32).numpy().reshape(count, -1) for point in self._cut.points}

    def _to_encoder(self, column: int, width: int, chosen: NDArray[np.intp] | None, table: Floats | None) -> Encoder:
        feature = self._features[column]
        boundaries = () if feature.is_category else self._cut.columns[column].boundaries
        if chosen is not None and width > 1:
            columns = tuple(chosen.tolist())
            return OneHotEncoder(feature=feature.name, boundaries=boundaries, width=width, columns=columns)
        if table is None:
            table = (np.asarray(chosen)[:, np.newaxis] == np.arange(width)).astype(np.float32)
        return TableEncoder(feature=feature.name, boundaries=boundaries, table=table.tolist())

    @staticmethod
    def _require_small(point: Tensor, size: int, limit: int = MAX_TABLE) -> None:
        if size > limit:
            raise AdoptionError(
                f"layer {point.maker.name} ({type(point.maker).__name__}) has a table of {size:,} numbers, more than "
                f"{limit:,}: build the model with fewer categories, or a smaller embedding"
            )


def _find_ones(rows: Floats) -> NDArray[np.intp] | None:
    """The element that is 1 in each of the rows whose others are 0, or `NO_COLUMN`; None if there is another row."""
    if not np.isin(rows, (0, 1)).all() or (rows.sum(axis=1) > 1).any():
        return None
    return np.where(rows.any(axis=1), rows.argmax(axis=1), NO_COLUMN)


def _represent_bins(boundaries: Sequence[float], feature: Feature) -> list[float]:
    """A value in each bin; without boundaries any value."""
    if not boundaries:
        return [0.0]
    edges = np.array(boundaries, np.float32)
    if feature.kind == "integer":
        return [float(np.ceil(edges[0])) - 1, *np.ceil(edges).tolist()]
    return [float(step_from(edges[:1], -np.inf)[0]), *edges.tolist()]
