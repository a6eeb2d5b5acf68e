"""The same scoring as an operator of an engine that hands over Arrow batches, as Spark's ``mapInArrow`` does.

One stream comes out of it, in which every row that went in stands once: with its answer, or with its faults. A column
says which, for the engine to part them by when it writes.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from models.bundle import BundleError
from service.inference.model import Model
from service.score import served
from service.score.scorer import Plan, Scorer, plain_schema
from service.settings import SHIPPED_STORE

OUTCOME = "outcome"
ANSWERED, REJECTED = "answered", "rejected"


class Operator(NamedTuple):
    """What is sent to whoever computes: where the bundle is there, what tells it from others, and what to do."""

    folder: Path  # relative to the store that is shipped with the code, or absolute
    engine: str
    name: str
    fingerprint: str
    schema: pa.Schema
    plan: Plan

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Every row of the batches, which have the needed columns, once.

        Raises:
            BundleError: the bundle is not the one that was meant.
        """
        yield from scored(Scorer(_model(*self[:4]), self.schema, self.plan), batches)


@cache
def _model(folder: Path, engine: str, name: str, fingerprint: str) -> Model:
    """The model, loaded once in each process."""
    model = served.load(SHIPPED_STORE / folder, engine, name)
    if served.fingerprint(model) != fingerprint:
        raise BundleError(f"{folder} is not the bundle that this job began with: give every machine the same")
    return model


def schema(scorer: Scorer) -> pa.Schema:
    """Of what comes out: the columns that are needed, the answer, the faults, and the outcome."""
    answers = [field for field in scorer.answered if field.name not in scorer.needed]
    fields = [*scorer.rejected.remove(len(scorer.needed)), *answers, scorer.rejected.field("faults")]
    return plain_schema(pa.schema([*fields, pa.field(OUTCOME, pa.string())]))


def scored(scorer: Scorer, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Every row of the batches, which have the needed columns, once."""
    whole = schema(scorer)
    for batch in batches:
        answered, rejected, _ = scorer.score(batch)
        for outcome, part in ((ANSWERED, answered), (REJECTED, rejected)):
            if len(part):
                yield _widened(part, whole, outcome)


def _widened(part: pa.RecordBatch, whole: pa.Schema, outcome: str) -> pa.RecordBatch:
    has = {name: part.column(name) for name in part.schema.names} | {OUTCOME: pa.array([outcome] * len(part))}
    columns = [has[f.name].cast(f.type) if f.name in has else pa.nulls(len(part), f.type) for f in whole]
    return pa.record_batch(columns, schema=whole)
