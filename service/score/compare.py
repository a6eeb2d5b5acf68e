"""Compares two versions of a model on the rows of tables, and writes the report to standard output."""

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from service.arrays import Array
from service.comparison.comparison import Comparison
from service.comparison.differences import Cells
from service.inference.model import Model
from service.score.columns import ExtractedRows, FeatureColumns
from service.score.comparison_text import describe_report
from service.score.faults import FaultReporter
from service.score.formats import FileFormat
from service.score.input_files import InputFile, find_input_files
from service.score.journal import RowCounts
from service.score.model_loader import load_versions
from service.score.options import STANDARD_STREAM, ColumnOptions, CompareOptions
from service.score.progress import Progress
from service.score.readers import open_table
from service.score.scorer import predict_finite
from service.score.table_reader import Chunk, TableReader
from service.score.threads import WorkerThreads, start_threads
from service.settings import Settings


class Counted(NamedTuple):
    """The cells of the rows that both versions took, and how many rows these were and how many were rejected."""

    cells: Cells
    rows: RowCounts


class BatchComparer:
    """Compares both versions on batches of one table schema; safe to call from any thread.

    ``input_columns`` are the columns that `count` reads. With ``all_text``, every column is a string column.

    Raises:
        TableError: a column is missing or has the wrong type.
    """

    def __init__(
        self,
        comparison: Comparison,
        models: tuple[Model, Model],
        schema: pa.Schema,
        options: ColumnOptions,
        *,
        all_text: bool,
    ) -> None:
        self._comparison, self._models = comparison, models
        self._columns = [
            FeatureColumns.from_options(model.features, schema, options, all_text=all_text) for model in models
        ]
        self._has_same_columns = models[0].features == models[1].features
        self._reporters = [
            FaultReporter(model.features, columns.names) for model, columns in zip(models, self._columns, strict=True)
        ]
        self.input_columns = [name for name in schema.names if name in self._columns[0].names]

    def count(self, chunk: Chunk) -> Counted:
        """The counts of a chunk that has the ``input_columns``."""
        serving = self._columns[0].extract(chunk.rows)
        shadow = serving if self._has_same_columns else self._columns[1].extract(chunk.rows)
        faulty, faulty_for_shadow = np.any(serving.codes, axis=1), np.any(shadow.codes, axis=1)
        faults = self._count_faults(0, serving, faulty) + self._count_faults(1, shadow, faulty_for_shadow & ~faulty)
        valid = ~(faulty | faulty_for_shadow)
        rows, outputs = serving.rows[valid], self._predict((serving.rows[valid], shadow.rows[valid]))
        finite = np.all(np.isfinite(np.concatenate(outputs, axis=1)), axis=1)
        compared, rejected = int(finite.sum()), len(chunk.rows) - int(finite.sum())
        faults["overflow"] += len(finite) - compared
        faults["malformed"] += len(chunk.malformed)
        cells = self._comparison.count(rows[finite], *(each[finite] for each in outputs))
        return Counted(cells, RowCounts(compared, rejected + len(chunk.malformed), +faults))

    def _predict(self, rows: tuple[Array, Array]) -> list[Array]:
        return [predict_finite(model, each) for model, each in zip(self._models, rows, strict=True)]

    def _count_faults(self, index: int, extracted: ExtractedRows, is_rejected: NDArray[np.bool_]) -> Counter[str]:
        """How many of the rejected rows have each fault; those that only the new version rejects are said to be so."""
        if not is_rejected.any():
            return Counter()
        _, counts = self._reporters[index].report(extracted.codes[is_rejected], extracted.invalid)
        suffix = f" (in version {self._models[index].version} only)" if index else ""
        return Counter({f"{fault}{suffix}": count for fault, count in counts.items()})


class _Job(NamedTuple):
    """What is the same for every input file."""

    options: CompareOptions
    models: tuple[Model, Model]
    comparison: Comparison
    progress: Progress

    def count_file(self, file: InputFile, cells: Cells) -> RowCounts:
        """Add a file's rows to the cells, and count those that were compared and rejected."""
        total = RowCounts()
        with (
            open_table(file.path, file.file_format, self.options.delimiter) as table,
            start_threads(self.options.threads, may_block=file.path == STANDARD_STREAM) as threads,
        ):
            for counted in self._count_chunks(file, table, threads):
                result = counted.result()
                cells += result.cells
                total.add(result.rows)
            file.require_all_rows(total.rows, table.total_rows(), "there is no report")
        self.progress.finish_file(file.size)
        return total

    def _count_chunks(self, file: InputFile, table: TableReader, threads: WorkerThreads) -> Iterator[Future[Counted]]:
        """The counts of every chunk: one thread reads, others compute."""
        comparer = BatchComparer(
            self.comparison,
            self.models,
            table.schema,
            self.options.columns,
            all_text=file.file_format is FileFormat.CSV,
        )
        chunks = self.progress.track(table.chunks(0, comparer.input_columns), table, file.size)
        return threads.prefetch(threads.compute_pool.submit(comparer.count, chunk) for chunk in chunks)


def compare_versions(options: CompareOptions) -> str:
    """Print the report on all rows, and return a summary for people.

    Raises:
        BundleError, StartupError: a version is missing or cannot be used.
        TableError: a table cannot be read.
    """
    settings = Settings.load()
    inputs = find_input_files(options.input_path, options.input_format)
    models = load_versions(settings, options.versions)
    job = _Job(options, models, Comparison(*models), Progress(sum(f.size for f in inputs.tables), quiet=options.quiet))
    cells, total = np.zeros(job.comparison.size, np.int64), RowCounts()
    for file in inputs.tables:
        total.add(job.count_file(file, cells))
    seconds = job.progress.close()
    report = job.comparison.report(cells)
    if options.as_json:
        rejected = {"rows": total.rejected, "faults": dict(total.faults.most_common())}
        content = orjson.dumps({**report, "rejected": rejected}, option=orjson.OPT_INDENT_2).decode()
    else:
        content = describe_report(report, total.rejected)
    sys.stdout.write(f"{content}\n")
    sys.stdout.flush()
    counts = f"{total.rows:,} rows: {total.answered:,} compared, {total.rejected:,} rejected"
    lines = [f"{counts} (at {total.rows / seconds:,.0f} rows/s)", *total.describe_faults(), *inputs.describe_skipped()]
    return "\n".join(lines)
