"""The same scoring as an operator of an engine that hands over Arrow batches: `Spark's mapInArrow`_, say.

One stream comes out of it, in which every row that went in stands once: with its answer, or with its faults. A column
says which, for the engine to part them by when it writes.

.. _Spark's mapInArrow: https://spark.apache.org/docs/latest/api/python/tutorial/sql/arrow_pandas.html
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from service.score.scorer import Scorer, plain_schema

OUTCOME = "outcome"
ANSWERED, REJECTED = "answered", "rejected"


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
