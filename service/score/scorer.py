"""Scoring of record batches, shared by the command line and by engines such as Spark."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.arrays import Array, Indices
from service.http.errors import Fault
from service.inference.model import Model
from service.score.cell_faults import Codes, InvalidValues
from service.score.columns import FeatureColumns, suggest_name
from service.score.errors import TableError
from service.score.faults import FAULT_LIST, FaultCounts, FaultReporter, build_fault_column
from service.score.options import ColumnOptions
from service.score.output_columns import DICTIONARY, OutputColumns, dictionary_column, list_column

Flags = NDArray[np.bool_]

WITHOUT_VIEW = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


class ScoredBatch(NamedTuple):
    """The rows of one batch: those with a prediction, those with faults, and how many rows have each fault."""

    answered: pa.RecordBatch
    rejected: pa.RecordBatch
    fault_counts: FaultCounts


class Scorer:
    """Scores batches of one table schema with one model; safe to call from any thread.

    ``input_columns`` are the columns that `score` reads. With ``all_text``, every column is a string column.

    Raises:
        TableError: a column is missing or has the wrong type, or two output columns would have the same name.
    """

    def __init__(self, model: Model, schema: pa.Schema, options: ColumnOptions, *, all_text: bool = False) -> None:
        self._model = model
        self._columns = FeatureColumns.from_options(model.features, schema, options, all_text=all_text)
        self._reporter = FaultReporter(model.features, self._columns.names)
        self._kept = _kept_columns(schema, options.keep)
        self._outputs = [OutputColumns(head, is_only=len(model.heads) == 1) for head in model.heads]
        predictions = self._prediction_fields(options.prefix)
        _require_distinct_names([*self._kept, *(field.name for field in predictions)], options.prefix)
        self.answered_schema = pa.schema([*(schema.field(name) for name in self._kept), *predictions])
        self.input_columns = [name for name in schema.names if name in {*self._kept, *self._columns.names}]
        inputs = [schema.field(name) for name in self.input_columns]
        self.rejected_schema = pa.schema([*inputs, pa.field("faults", FAULT_LIST)])

    def score(self, batch: pa.RecordBatch) -> ScoredBatch:
        """The predictions and the rejected rows of a batch that has the ``input_columns``."""
        rows, codes, invalid = self._columns.extract(batch)
        valid = np.logical_not(codes.any(axis=1))
        outputs = predict_finite(self._model, rows if valid.all() else rows[valid])
        finite = np.isfinite(outputs).all(axis=1)
        if not finite.all():
            valid[valid], outputs = finite, outputs[finite]
        answered = batch if valid.all() else _filter(batch, valid)
        columns = [answered.column(name) for name in self._kept] + self._prediction_columns(rows[valid], outputs)
        answered = pa.record_batch(columns, schema=self.answered_schema)
        return ScoredBatch(answered, *self._reject(batch, codes, invalid, ~valid))

    def reject_malformed(self, messages: Sequence[str]) -> ScoredBatch:
        """Rejected rows without values, one for each line that is not a row of the table."""
        columns = [pa.nulls(len(messages), self.rejected_schema.field(name).type) for name in self.input_columns]
        faults = build_fault_column([[Fault("", "malformed", message)] for message in messages])
        rejected = pa.record_batch([*columns, faults], schema=self.rejected_schema)
        return ScoredBatch(_empty_batch(self.answered_schema), rejected, Counter(malformed=len(messages)))

    def _prediction_columns(self, rows: Array, outputs: Array) -> list[pa.Array]:
        labels = self._model.predict_labels(outputs)
        return [
            *(column for output in self._outputs for column in output.columns(outputs, labels)),
            self._warning_column(rows, labels),
            *(dictionary_column(np.zeros(len(rows), np.intp), [value]) for value in self._model.identity.values()),
        ]

    def _prediction_fields(self, prefix: str) -> list[pa.Field]:
        fields = [
            *(field for output in self._outputs for field in output.fields),
            pa.field("warnings", pa.list_(pa.string())),
            *(pa.field(f"model_{key}", DICTIONARY) for key in self._model.identity),
        ]
        return [field.with_name(f"{prefix}{field.name}") for field in fields]

    def _warning_column(self, rows: Array, labels: Indices) -> pa.Array:
        model, width = self._model, len(self._model.features)
        positions = np.asarray(model.ranges.outside(rows, labels), np.intp)  # nearly always empty
        values = rows.ravel()[positions].tolist()
        warnings = [
            model.ranges.describe(value, position % width, int(labels[position // width]))
            for value, position in zip(values, positions.tolist(), strict=True)
        ]
        return list_column(np.bincount(positions // width, minlength=len(rows)), pa.array(warnings, pa.string()))

    def _reject(
        self, batch: pa.RecordBatch, codes: Codes, invalid: InvalidValues, is_rejected: Flags
    ) -> tuple[pa.RecordBatch, FaultCounts]:
        if not is_rejected.any():
            return _empty_batch(self.rejected_schema), Counter()
        faults, counts = self._reporter.report(codes[is_rejected], invalid)
        rejected = _filter(batch, is_rejected)
        columns = [rejected.column(name) for name in self.input_columns]
        return pa.record_batch([*columns, faults], schema=self.rejected_schema), counts


def decode_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with plain columns in place of its dictionary-encoded ones."""
    return batch.cast(decode_schema(batch.schema))


def decode_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of a batch after `decode_dictionaries`."""
    return pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema])


def predict_finite(model: Model, rows: Array) -> Array:
    """The network's output [rows, columns], NaN for each row that the network overflows on."""
    columns = len(model.column_names)
    if not len(rows):
        return np.empty((0, columns), np.float32)
    try:
        return model.outputs(rows)
    except ArithmeticError:
        if len(rows) == 1:
            return np.full((1, columns), np.nan, np.float32)
        middle = len(rows) // 2
        return np.concatenate([predict_finite(model, rows[:middle]), predict_finite(model, rows[middle:])])


def _filter(batch: pa.RecordBatch, flags: Flags) -> pa.RecordBatch:
    """The rows with a flag. Arrow can filter neither views of strings nor views of bytes."""
    fields = [field.with_type(WITHOUT_VIEW.get(field.type, field.type)) for field in batch.schema]
    return batch.cast(pa.schema(fields)).filter(pa.array(flags)).cast(batch.schema)


def _empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema)


def _kept_columns(schema: pa.Schema, keep: Sequence[str] | None) -> list[str]:
    if keep is None:
        return list(schema.names)
    for name in keep:
        if name not in schema.names:
            raise TableError(f"--keep {name}: unknown column; {suggest_name(name, schema.names)}")
    return list(keep)


def _require_distinct_names(names: Sequence[str], prefix: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise TableError(
                f"two output columns would be named {name}: choose another --prefix than {prefix!r} for the "
                "predictions, or leave out the input column with --keep or --only-answers"
            )
