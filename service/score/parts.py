"""One table through the network, part by part: each of its rows is in one part, answered or rejected."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from service.score.formats import Format
from service.score.journal import Count
from service.score.reading import Chunk
from service.score.scorer import Scored, Scorer
from service.score.threads import Threads
from service.score.writing import Output


class Place(NamedTuple):
    """Where the answers of a part are to be, and where its rejected rows."""

    answers: Path
    answers_kind: Format
    rejects: Path
    rejects_kind: Format


class Piece(NamedTuple):
    """Rows of one part, and what is to be said of lines that were none."""

    part: int
    rows: pa.RecordBatch
    malformed: list[str]


class Work(NamedTuple):
    """Scores ``chunks`` of a table from part number ``first`` on, each of ``size`` rows, into the ``place`` of each."""

    scorer: Scorer
    size: int
    first: int
    place: Callable[[int], Place]

    def run(self, chunks: Iterable[Chunk], threads: Threads) -> Iterator[tuple[Count, bool]]:
        """Do it, and give after each part that is there its counts, and whether it is the last."""
        part, number = None, self.first
        try:
            for piece, scored in self._scored(chunks, threads):
                if part and piece.part != number:
                    yield part.publish(), False
                    part = None
                part, number = part or _Part(self.place(piece.part), self.scorer), piece.part
                for one in scored.result():
                    part.add(one)
            if part or not self.first:  # a table without rows is a part without rows
                part = part or _Part(self.place(0), self.scorer)
                yield part.publish(), True
                part = None
        finally:
            if part:
                part.discard()

    def _scored(self, chunks: Iterable[Chunk], threads: Threads) -> Iterator[tuple[Piece, Future[list[Scored]]]]:
        """Every piece and what becomes of it, in order; one thread reads, others compute, and this one is to write."""
        cut = pieces(chunks, self.first * self.size, self.size)
        return threads.ahead((piece, threads.computing.submit(self._score, piece)) for piece in cut)

    def _score(self, piece: Piece) -> list[Scored]:
        malformed = [self.scorer.malformed(piece.malformed)] if piece.malformed else []
        return [*malformed, self.scorer.score(piece.rows)]


class _Part:
    """The files of one part. Its rejected rows are there first, so that the answers' file says that it is whole."""

    def __init__(self, place: Place, scorer: Scorer) -> None:
        self._place, self._scorer = place, scorer
        self._answers = Output(place.answers, place.answers_kind, scorer.answered)
        self._rejects: Output | None = None
        self._count = Count()

    def add(self, scored: Scored) -> None:
        self._count.add(Count(len(scored.answered), len(scored.rejected), scored.faults))
        self._answers.write(scored.answered)
        if len(scored.rejected):
            self._rejects = self._rejects or Output(
                self._place.rejects, self._place.rejects_kind, self._scorer.rejected
            )
            self._rejects.write(scored.rejected)

    def publish(self) -> Count:
        if self._rejects:
            self._rejects.publish()
        else:
            self._place.rejects.unlink(missing_ok=True)  # of an earlier run
        self._answers.publish()
        return self._count

    def discard(self) -> None:
        self._answers.discard()
        if self._rejects:
            self._rejects.discard()


def pieces(chunks: Iterable[Chunk], start: int, size: int) -> Iterator[Piece]:
    """The chunks, of which the first begins with row ``start``, cut at every ``size`` rows."""
    row = start
    for chunk in chunks:
        rows, malformed = chunk
        while True:
            part = row // size
            room = (part + 1) * size - row
            yield Piece(part, rows.slice(0, room), [said for place, said in malformed if place < room])
            row += min(room, len(rows))
            if len(rows) <= room:
                break
            rows, malformed = rows.slice(room), [(place - room, said) for place, said in malformed if place >= room]
