"""Batches of a table in, answered rows and rejected rows out: what a command line and an engine's operator share."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.http.errors import Fault, TableError
from service.inference.engine import Array
from service.inference.model import Model
from service.score.columns import Codes, Columns, nearest
from service.score.faults import FAULTS, Counts, Faults, column

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]

_NAME = pa.dictionary(pa.int32(), pa.string())


class Scored(NamedTuple):
    """One batch: its rows that were answered, its rows that were not, and how often there was which fault."""

    answered: pa.RecordBatch
    rejected: pa.RecordBatch
    faults: Counts


class Plan(NamedTuple):
    """What a table becomes.

    ``mapping`` gives a feature's column if it is not of its name; ``keep`` are the columns that go through, None for
    all; the answers' columns begin with ``prefix``; where all is ``text``, numbers are too.
    """

    mapping: Mapping[str, str] = {}
    keep: Sequence[str] | None = None
    prefix: str = ""
    text: bool = False


class Scorer:
    """Scores a table of one schema with one model; safe to call from any thread.

    Raises:
        TableError: the table does not have what it takes, or has what the answers would be called.
    """

    def __init__(self, model: Model, schema: pa.Schema, plan: Plan) -> None:
        self._model = model
        self._columns = Columns(model.features, schema, plan.mapping, text=plan.text)
        self._faults = Faults(model.features, self._columns.names)
        kept = _kept(schema, plan.keep)
        answers = _answers(model, plan.prefix)
        _require_distinct([*kept, *(field.name for field in answers)], plan.prefix)
        self._kept = kept
        self.answered = pa.schema([*(schema.field(name) for name in kept), *answers])
        self.needed = [name for name in schema.names if name in {*kept, *self._columns.names}]
        self.rejected = pa.schema([*(schema.field(name) for name in self.needed), pa.field("faults", FAULTS)])

    def score(self, batch: pa.RecordBatch) -> Scored:
        """What becomes of a batch of rows, of which it takes the columns that are ``needed``."""
        rows, codes = self._columns.read(batch)
        good = np.logical_not(codes.any(axis=1))
        probabilities = _evaluate(self._model, rows if good.all() else rows[good])
        finite = np.isfinite(probabilities).all(axis=1)
        if not finite.all():
            good[good], probabilities = finite, probabilities[finite]
        answered = batch if good.all() else batch.filter(pa.array(good))
        columns = [answered.column(name) for name in self._kept] + self._answer(rows[good], probabilities)
        return Scored(pa.record_batch(columns, schema=self.answered), *self._reject(batch, codes, ~good))

    def malformed(self, said: Sequence[str]) -> Scored:
        """The same for lines that were no rows at all."""
        nothing = [pa.nulls(len(said), field.type) for field in self.rejected][:-1]
        faults = column([[Fault("", "malformed", sentence)] for sentence in said])
        rejected = pa.record_batch([*nothing, faults], schema=self.rejected)
        return Scored(pa.RecordBatch.from_pylist([], self.answered), rejected, Counter(malformed=len(said)))

    def _answer(self, rows: Array, probabilities: Array) -> list[pa.Array]:
        best = probabilities.argmax(axis=1)
        return [
            _name(best, self._model.labels),
            pa.array(probabilities[np.arange(len(best)), best]),
            *(pa.array(np.ascontiguousarray(column)) for column in probabilities.T),
            self._warnings(rows, best),
            *(_name(np.zeros(len(best), np.intp), [part]) for part in self._model.identity.values()),
        ]

    def _warnings(self, rows: Array, best: Indices) -> pa.Array:
        model, width = self._model, len(self._model.features)
        places = np.asarray(model.statistics.ranges.outside(rows, best), np.intp)  # hardly ever any
        values = rows.ravel()[places].tolist()
        told = [
            model.warning(value, place % width, int(best[place // width]))
            for value, place in zip(values, places.tolist(), strict=True)
        ]
        ends = np.concatenate([[0], np.cumsum(np.bincount(places // width, minlength=len(rows)))])
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(told, pa.string()))

    def _reject(self, batch: pa.RecordBatch, codes: Codes, bad: Flags) -> tuple[pa.RecordBatch, Counts]:
        if not bad.any():
            return pa.RecordBatch.from_pylist([], self.rejected), Counter()
        faults, counts = self._faults.of(codes[bad])
        rejected = batch.filter(pa.array(bad))
        columns = [rejected.column(name) for name in self.needed]
        return pa.record_batch([*columns, faults], schema=self.rejected), counts


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its names as strings, for whoever knows no dictionaries."""
    return batch.cast(plain_schema(batch.schema))


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The same of its schema."""
    return pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema])


def _evaluate(model: Model, rows: Array) -> Array:
    """The probabilities [rows, labels]; what the network overflows at, alone, is not finite."""
    if not len(rows):
        return np.empty((0, len(model.labels)), np.float32)
    try:
        return model.evaluate(rows)
    except ArithmeticError:
        if len(rows) == 1:
            return np.full((1, len(model.labels)), np.nan, np.float32)
        middle = len(rows) // 2
        return np.concatenate([_evaluate(model, rows[:middle]), _evaluate(model, rows[middle:])])


def _answers(model: Model, prefix: str) -> list[pa.Field]:
    numbers = ["confidence", *(f"probability_{label}" for label in model.labels)]
    return [
        pa.field(f"{prefix}label", _NAME),
        *(pa.field(f"{prefix}{name}", pa.float32()) for name in numbers),
        pa.field(f"{prefix}warnings", pa.list_(pa.string())),
        *(pa.field(f"{prefix}model_{part}", _NAME) for part in model.identity),
    ]


def _name(indices: Indices, names: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(names, pa.string()))


def _kept(schema: pa.Schema, keep: Sequence[str] | None) -> list[str]:
    if keep is None:
        return list(schema.names)
    for name in keep:
        if name not in schema.names:
            raise TableError(f"--keep {name}: no such column; {nearest(name, schema.names)}")
    return list(keep)


def _require_distinct(names: Sequence[str], prefix: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TableError(
            f"two columns would be called {twice[0]}: give the answers' another --prefix than {prefix!r}, or leave "
            "the table's own out with --keep or --only-answers"
        )
