"""Scores one table part by part; every row is in exactly one part, answered or rejected."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

import pyarrow as pa

from service.score.journal import RowCounts
from service.score.options import STANDARD_STREAM
from service.score.output_paths import PartPaths
from service.score.scorer import ScoredBatch, Scorer
from service.score.table_reader import Chunk, MalformedLine
from service.score.threads import WorkerThreads
from service.score.writers import TableWriter


class PartChunk(NamedTuple):
    """Consecutive rows of one part, and the messages of the malformed lines between them."""

    part: int
    rows: pa.RecordBatch
    malformed: list[str]


class PartScorer(NamedTuple):
    """Scores a table from part number ``first_part`` on, in parts of ``part_rows`` rows each."""

    scorer: Scorer
    part_rows: int
    first_part: int
    part_paths: Callable[[int], PartPaths]
    require_all_rows: Callable[[int], None]
    """Called with the number of rows in the last part before it is published; raises if the parts lack a row."""

    def score(self, chunks: Iterable[Chunk], threads: WorkerThreads) -> Iterator[tuple[RowCounts, bool]]:
        """Write the parts; yield the counts of each finished one and whether it is the last.

        ``chunks`` begin with the first part's first row.
        """
        files, number = None, self.first_part
        try:
            for chunk, scored in self._scored_chunks(chunks, threads):
                if files and chunk.part != number:
                    yield files.publish(), False
                    files = None
                files, number = files or self._open_part(chunk.part), chunk.part
                for batch in scored.result():
                    files.add(batch)
            if files or not self.first_part:  # a table without rows becomes one part without rows
                files = files or self._open_part(0)
                self.require_all_rows(files.counts.rows)
                yield files.publish(), True
                files = None
            else:
                self.require_all_rows(0)
        finally:
            if files:
                files.discard()

    def _open_part(self, part: int) -> "_PartFiles":
        return _PartFiles(self.part_paths(part), self.scorer)

    def _scored_chunks(
        self, chunks: Iterable[Chunk], threads: WorkerThreads
    ) -> Iterator[tuple[PartChunk, Future[list[ScoredBatch]]]]:
        """Every chunk and its result, in order: one thread reads, others compute, and the caller's thread writes."""
        part_chunks = split_into_parts(chunks, self.first_part * self.part_rows, self.part_rows)
        return threads.prefetch((chunk, threads.compute_pool.submit(self._score, chunk)) for chunk in part_chunks)

    def _score(self, chunk: PartChunk) -> list[ScoredBatch]:
        malformed = [self.scorer.reject_malformed(chunk.malformed)] if chunk.malformed else []
        return [*malformed, self.scorer.score(chunk.rows)]


class _PartFiles:
    """The files of one part. Rejected rows are published first, so that a visible output file means a complete part."""

    def __init__(self, paths: PartPaths, scorer: Scorer) -> None:
        self._paths, self._scorer = paths, scorer
        self._output = TableWriter(paths.output, paths.output_format, scorer.answered_schema)
        self._rejects: TableWriter | None = None
        self.counts = RowCounts()

    def add(self, scored: ScoredBatch) -> None:
        self.counts.add(RowCounts(len(scored.answered), len(scored.rejected), scored.fault_counts))
        self._output.write(scored.answered)
        if len(scored.rejected):
            self._rejects = self._rejects or TableWriter(
                self._paths.rejects, self._paths.rejects_format, self._scorer.rejected_schema
            )
            self._rejects.write(scored.rejected)

    def publish(self) -> RowCounts:
        if self._rejects:
            self._rejects.publish()
        elif self._paths.rejects != STANDARD_STREAM:
            self._paths.rejects.unlink(missing_ok=True)  # of an earlier run
        self._output.publish()
        return self.counts

    def discard(self) -> None:
        self._output.discard()
        if self._rejects:
            self._rejects.discard()


def split_into_parts(chunks: Iterable[Chunk], start: int, part_rows: int) -> Iterator[PartChunk]:
    """The chunks, split wherever a row number is a multiple of ``part_rows``; the first row has number ``start``."""
    row = start
    for chunk in chunks:
        rows, malformed = chunk.rows, chunk.malformed
        while True:
            part = row // part_rows
            remaining = (part + 1) * part_rows - row
            messages = [line.message for line in malformed if line.position < remaining]
            yield PartChunk(part, rows.slice(0, remaining), messages)
            row += min(remaining, len(rows))
            if len(rows) <= remaining:
                break
            rows = rows.slice(remaining)
            malformed = [
                MalformedLine(position - remaining, message) for position, message in malformed if position >= remaining
            ]
