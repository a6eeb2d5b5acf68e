"""A scoring job: every input file, with the model that the service would serve."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

from models.number_format import NumberFormat
from service.inference.model import Model
from service.score.formats import FileFormat, require_format
from service.score.input_files import InputFile, InputFiles, find_input_files
from service.score.journal import Journal, RowCounts, open_journal, write_success_file
from service.score.model_loader import load_model, manifest_sha256
from service.score.options import STANDARD_STREAM, ScoreOptions
from service.score.output_paths import OutputPaths, folder_paths, is_folder_output, single_file_paths
from service.score.parts import PartScorer
from service.score.progress import Progress
from service.score.readers import open_table
from service.score.scorer import Scorer
from service.score.table_reader import TableReader
from service.score.threads import start_threads
from service.settings import Settings


class Job(NamedTuple):
    """What is the same for every input file."""

    options: ScoreOptions
    model: Model
    output_paths: OutputPaths
    part_rows: int
    journal: Journal
    progress: Progress

    def score_file(self, file: InputFile) -> None:
        """Score one file, beginning with its first unfinished part."""
        first_part = self.journal.next_part(file.name)
        if first_part is not None:
            with (
                open_table(file.path, file.file_format, self.options.delimiter) as table,
                start_threads(self.options.threads, may_block=file.path == STANDARD_STREAM) as threads,
            ):
                all_text = file.file_format is FileFormat.CSV
                scorer = Scorer(self.model, table.schema, self.options.columns, all_text=all_text)
                part_scorer = PartScorer(
                    scorer,
                    self.part_rows,
                    first_part,
                    partial(self.output_paths, file.name),
                    partial(self._require_all_rows, file, table),
                )
                chunks = table.chunks(first_part * self.part_rows, scorer.input_columns)
                for counts, is_last in part_scorer.score(self.progress.track(chunks, table, file.size), threads):
                    self.journal.add_part(file.name, counts, is_last=is_last)
        self.progress.finish_file(file.size)

    def _require_all_rows(self, file: InputFile, table: TableReader, rows_in_last_part: int) -> None:
        """Check, before the last part is published, that every row of the file is in a part."""
        rows = self.journal.file_rows[file.name] + rows_in_last_part
        file.require_all_rows(rows, table.total_rows(), "the last part was not written")


def run_job(options: ScoreOptions) -> str:
    """Score all input files and return a summary for people.

    Raises:
        BundleError, StartupError: there is no model to score with.
        TableError: a table cannot be read, scored or written.
    """
    settings = Settings.load()
    inputs = find_input_files(options.input_path, options.input_format)
    files = inputs.tables
    in_parts = is_folder_output(options.input_path, options.output_path)
    default_format = files[0].file_format if in_parts or options.output_path == STANDARD_STREAM else None
    output_format = require_format(options.output_path, options.output_format or default_format, "--to")
    make_paths = folder_paths if in_parts else single_file_paths
    output_paths = make_paths(options.input_path, options.output_path, options.rejects_path, output_format)
    part_rows = options.part_rows if in_parts else sys.maxsize
    model = load_model(settings)
    progress = Progress(sum(file.size for file in files), quiet=options.quiet)
    journal_context: AbstractContextManager[Journal] = nullcontext(Journal())
    if in_parts:
        journal_context = open_journal(options.output_path, _describe(options, settings, model, files, output_format))
    with journal_context as journal:
        job = Job(options, model, output_paths, part_rows, journal, progress)
        for file in files:
            job.score_file(file)
        if in_parts:
            write_success_file(options.output_path, journal.total)
    return _summarize(journal.total, progress.rows, progress.close(), inputs)


def _describe(
    options: ScoreOptions, settings: Settings, model: Model, files: list[InputFile], output_format: FileFormat
) -> dict[str, Any]:
    """The first line of the journal: what must be the same in a run that resumes this one."""
    columns = options.columns
    number_format = {} if columns.number_format == NumberFormat() else asdict(columns.number_format)
    na_values = {"na_values": [*columns.na_values]} if columns.na_values else {}
    return {
        "model": {**model.identity, "sha256": manifest_sha256(model), "engine": settings.engine},
        "files": {file.name: [file.size, file.modified_ns] for file in files},
        "format": output_format,
        "map": columns.mapping,
        "keep": columns.keep,
        "prefix": columns.prefix,
        "delimiter": options.delimiter,
        "part_rows": options.part_rows,
        **number_format,
        **na_values,
    }


def _summarize(total: RowCounts, rows_now: int, seconds: float, files: InputFiles) -> str:
    now = f"{rows_now:,} now, at" if rows_now != total.rows else "at"
    counts = f"{total.rows:,} rows: {total.answered:,} predicted, {total.rejected:,} rejected"
    lines = [f"{counts} ({now} {rows_now / seconds:,.0f} rows/s)", *total.describe_faults(), *files.describe_skipped()]
    return "\n".join(lines)
