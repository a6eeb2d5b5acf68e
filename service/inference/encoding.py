"""The network's input for rows of codes: what `models.encoding` defines, prepared once for each model."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from math import isnan

import numpy as np

from models.encoding import NO_COLUMN, Encoder, NumberEncoder, OneHotEncoder, TableEncoder, column_slices
from models.feature import Feature
from models.manifest import Manifest
from service.arrays import Array
from service.inference.engine_protocol import Engine

_EncodeValue = Callable[[float], Sequence[float]]
_EncodeColumn = Callable[[Array, Array], None]
_MAX_PREPARED = 1_000_000  # numbers; a one-hot row of more categories is made when it is needed
_RUN_VALUES = 2**22  # of the network's input in one run: 16 MB


class EncodedEngine:
    """An engine whose network takes the columns that a model's encoders give, and that is given rows of codes."""

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self._engine = engine
        self.layers: Collection[str] = engine.layers
        features = {feature.name: feature for feature in manifest.features}
        positions = [manifest.feature_names.index(each.feature) for each in manifest.encoders]
        slices = column_slices(manifest.encoders)
        self._width = slices[-1].stop
        self._columns = [
            (position, columns, _column_encoder(each, features[each.feature]))
            for position, columns, each in zip(positions, slices, manifest.encoders, strict=True)
        ]
        self._values = [
            (position, _value_encoder(each, features[each.feature]))
            for position, each in zip(positions, manifest.encoders, strict=True)
        ]

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        """As `Engine.run`, for codes [rows, features]; a few at a time if each becomes many columns."""
        size = max(1, _RUN_VALUES // self._width)
        if len(rows) <= size:
            return self._engine.run(self._encode(rows), layers)
        names = list(layers)
        starts = range(0, len(rows), size)
        parts = [self._engine.run(self._encode(rows[start : start + size]), names) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def run_row(self, rows: Array, layer: str) -> Array:
        """As `Engine.run_row`, for codes [1, features]; Python's lists take a third of the time of NumPy's calls."""
        codes = rows[0].tolist()
        values = chain.from_iterable([encode(codes[position]) for position, encode in self._values])
        return self._engine.run_row(np.array([list(values)], np.float32), layer)

    def _encode(self, rows: Array) -> Array:
        encoded = np.zeros((len(rows), self._width), np.float32)
        for position, columns, encode in self._columns:
            encode(rows[:, position], encoded[:, columns])
        return encoded


def _column_encoder(encoder: Encoder, feature: Feature) -> _EncodeColumn:
    """What writes the columns [rows, width] of codes [rows] into zeros."""
    if isinstance(encoder, NumberEncoder):
        return _number_encoder(encoder)
    if isinstance(encoder, TableEncoder):
        vectors = encoder.vectors

        def look_up(codes: Array, target: Array) -> None:
            vectors.take(encoder.entries(codes, feature), axis=0, out=target, mode="clip")

        return look_up
    columns = encoder.entry_columns
    every = bool((columns != NO_COLUMN).all())

    def set_ones(codes: Array, target: Array) -> None:
        chosen = columns[encoder.entries(codes, feature)]
        rows = np.arange(len(codes)) if every else np.flatnonzero(chosen != NO_COLUMN)
        target[rows, chosen if every else chosen[rows]] = 1

    return set_ones


def _number_encoder(encoder: NumberEncoder) -> _EncodeColumn:
    fill = None if encoder.fill is None else np.float32(encoder.fill)

    def copy(codes: Array, target: Array) -> None:
        if fill is None:
            target[:, 0] = codes
            return
        is_missing = np.isnan(codes)
        target[:, 0] = np.where(is_missing, fill, codes)
        if encoder.indicator:
            target[:, 1] = is_missing

    return copy


def _value_encoder(encoder: Encoder, feature: Feature) -> _EncodeValue:
    """What gives the columns of one code."""
    if isinstance(encoder, NumberEncoder):
        if encoder.fill is None:
            return lambda code: (code,)
        ends: list[tuple[float, ...]] = [(0.0,), (1.0,)] if encoder.indicator else [(), ()]
        missing = (encoder.fill, *ends[1])
        return lambda code: missing if isnan(code) else (code, *ends[0])
    if encoder.boundaries:
        return _bin_encoder(encoder, feature)
    if isinstance(encoder, TableEncoder):
        vectors = encoder.table  # the last is that of a missing value, if that is allowed
        return lambda code: vectors[-1] if isnan(code) else vectors[int(code)]
    if encoder.width * len(encoder.columns) > _MAX_PREPARED:
        return lambda code: encoder.encode(np.array([code], np.float32), feature)[0].tolist()
    codes = np.array([*range(feature.code_count), *[np.nan] * feature.allow_missing], np.float32)
    rows = encoder.encode(codes, feature).tolist()
    return lambda code: rows[-1] if isnan(code) else rows[int(code)]


def _bin_encoder(encoder: OneHotEncoder | TableEncoder, feature: Feature) -> _EncodeValue:
    """What gives the columns of the bin that a number falls in."""
    boundaries = np.array(encoder.boundaries, np.float32)
    codes = [-np.inf, *boundaries, *[np.nan] * feature.allow_missing]  # one in each bin
    rows = encoder.encode(np.array(codes, np.float32), feature).tolist()
    edges = boundaries.tolist()
    return lambda code: rows[-1] if isnan(code) else rows[bisect_right(edges, code)]
