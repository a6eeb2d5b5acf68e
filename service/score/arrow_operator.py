"""Scoring as an operator of an engine that passes Arrow batches, such as Spark's ``mapInArrow``.

The operator returns every input row exactly once, with its prediction or with its faults. The column ``outcome`` says
which, so that the engine can partition its output by it.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from models.bundle import BundleError
from service.inference.model import Model
from service.score.model_loader import manifest_sha256
from service.score.options import ColumnOptions
from service.score.scorer import Scorer, decode_schema
from service.settings import SHIPPED_STORE

OUTCOME = "outcome"
ANSWERED, REJECTED = "answered", "rejected"


class ArrowOperator(NamedTuple):
    """A picklable function from batches to batches; each process that runs it loads the model for itself."""

    folder: Path  # of the bundle, absolute or relative to the model store that is shipped with the code
    engine: str
    name: str
    sha256: str  # of the manifest
    schema: pa.Schema
    options: ColumnOptions

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Score batches that have the scorer's ``input_columns``.

        Raises:
            BundleError: the bundle on this machine differs from the one that the job started with.
        """
        model = _load_model(self.folder, self.engine, self.name, self.sha256)
        yield from score_batches(Scorer(model, self.schema, self.options), batches)


@cache
def _load_model(folder: Path, engine: str, name: str, sha256: str) -> Model:
    """The verified model, loaded once in each process."""
    model = Model.open(SHIPPED_STORE / folder, engine, name)
    if manifest_sha256(model) != sha256:
        raise BundleError(f"{folder} is not the bundle that the job started with: use the same bundle on every machine")
    return model


def output_schema(scorer: Scorer) -> pa.Schema:
    """The operator's output: the input columns, the predictions, the faults and the outcome."""
    inputs = [scorer.rejected_schema.field(name) for name in scorer.input_columns]
    predictions = [field for field in scorer.answered_schema if field.name not in scorer.input_columns]
    faults = scorer.rejected_schema.field("faults")
    return decode_schema(pa.schema([*inputs, *predictions, faults, pa.field(OUTCOME, pa.string())]))


def score_batches(scorer: Scorer, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The scored rows of the batches in the `output_schema`, answered and rejected rows in batches of their own."""
    schema = output_schema(scorer)
    for batch in batches:
        answered, rejected, _ = scorer.score(batch)
        for outcome, rows in ((ANSWERED, answered), (REJECTED, rejected)):
            if len(rows):
                yield _widen(rows, schema, outcome)


def _widen(rows: pa.RecordBatch, schema: pa.Schema, outcome: str) -> pa.RecordBatch:
    """The rows with every column of the schema, null where they have none."""
    present = {name: rows.column(name) for name in rows.schema.names} | {OUTCOME: pa.array([outcome] * len(rows))}
    columns = [
        present[field.name].cast(field.type) if field.name in present else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)
