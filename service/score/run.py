"""What the command line asks for: every file, with the model that the service would serve."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from service.inference.model import Model
from service.score import files, journal, served, threads
from service.score.files import Places, Source
from service.score.formats import Format, required
from service.score.journal import Count, Journal
from service.score.parts import Work
from service.score.progress import Progress
from service.score.reading import STANDARD, Chunk, Table, opened
from service.score.scorer import Plan, Scorer
from service.settings import Settings

_TOLD = 10  # kinds of faults


class Run(NamedTuple):
    """Everything that is the same for each of the files."""

    chosen: Namespace
    model: Model
    places: Places
    rows: int  # of a part
    journal: Journal
    progress: Progress

    def score(self, source: Source) -> None:
        """One file, from its first part on that is not done."""
        first = self.journal.next_part(source.name)
        if first is not None:
            chosen = self.chosen
            with (
                opened(source.path, source.kind, chosen.delimiter) as table,
                threads.started(chosen.threads, stuck=source.path == STANDARD) as started,
            ):
                scorer = Scorer(
                    self.model, table.schema, Plan(dict(chosen.map), chosen.keep, chosen.prefix, table.text)
                )
                work = Work(scorer, self.rows, first, self.places(source.name))
                chunks = self._watched(table.chunks(first * self.rows, scorer.needed), table, source.size)
                for count, last in work.run(chunks, started):
                    self.journal.add(source.name, count, last=last)
        self.progress.past(source.size)

    def _watched(self, chunks: Iterator[Chunk], table: Table, size: int) -> Iterator[Chunk]:
        for chunk in chunks:
            yield chunk
            self.progress.at(size, table.portion(), len(chunk.rows))


def run(chosen: Namespace) -> str:
    """Score all there is, and give a summary.

    Raises:
        BundleError, StartupError: there is no model to score with.
        TableError: a table cannot be read, scored or written.
    """
    settings = Settings.load()
    sources = files.found(chosen.input, chosen.kind)
    in_parts = files.is_folder(chosen.input, chosen.output)
    kind = _kind(chosen, sources[0].kind, in_parts=in_parts)
    places = (files.parts if in_parts else files.one)(chosen.output, chosen.rejects, kind)
    model = served.load(served.folder(settings), settings.engine, settings.model_name)
    progress = Progress(sum(source.size for source in sources), quiet=chosen.quiet)
    rows = chosen.part_rows if in_parts else sys.maxsize
    keeping: AbstractContextManager[Journal] = (
        journal.kept(chosen.output, _job(chosen, settings, model, sources, kind))
        if in_parts
        else nullcontext(Journal())
    )
    with keeping as kept:
        for source in sources:
            Run(chosen, model, places, rows, kept, progress).score(source)
        if in_parts:
            journal.succeed(chosen.output, kept.total)
    return _summary(kept.total, progress.rows, progress.end())


def _kind(chosen: Namespace, read: Format, *, in_parts: bool) -> Format:
    if in_parts or chosen.output == STANDARD:
        return Format(chosen.to or read)
    return required(chosen.output, chosen.to, "--to")


def _job(chosen: Namespace, settings: Settings, model: Model, sources: list[Source], kind: Format) -> dict[str, Any]:
    """What must not differ between two runs of which the second goes on with the first's parts."""
    return {
        "model": {**model.identity, "sha256": served.fingerprint(model), "engine": settings.engine},
        "files": {source.name: [source.size, source.changed] for source in sources},
        "format": kind,
        "map": dict(chosen.map),
        "keep": chosen.keep,
        "prefix": chosen.prefix,
        "delimiter": chosen.delimiter,
        "part_rows": chosen.part_rows,
    }


def _summary(total: Count, rows: int, seconds: float) -> str:
    now = f"{rows:,} now, at" if rows != total.rows else "at"
    lines = [f"{total.rows:,} rows: {total.answered:,} answered, {total.rejected:,} rejected"]
    lines[0] += f" ({now} {rows / seconds:,.0f} rows/s)"
    lines += [f"  {count:,} {fault}" for fault, count in total.faults.most_common(_TOLD)]
    return "\n".join(lines)
