"""The finished parts of a job, one JSON line each, from which the same command resumes a job that was stopped."""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from service.score.errors import TableError

JOURNAL_NAME = "_score.jsonl"  # readers of Parquet folders ignore names that begin with _
SUCCESS_NAME = "_SUCCESS"  # the name that Hadoop and Spark use
_LISTED_FAULTS = 10


@dataclass
class RowCounts:
    """How many rows were answered, how many were rejected, and how many of those had each fault."""

    answered: int = 0
    rejected: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return self.answered + self.rejected

    def add(self, other: "RowCounts") -> None:
        self.answered += other.answered
        self.rejected += other.rejected
        self.faults += other.faults

    def describe_faults(self) -> list[str]:
        """A line for each of the most frequent faults."""
        return [f"  {count:,} {fault}" for fault, count in self.faults.most_common(_LISTED_FAULTS)]

    def to_json(self) -> dict[str, Any]:
        return {"answered": self.answered, "rejected": self.rejected, "faults": dict(self.faults.most_common())}


class Journal:
    """The finished parts of each input file of one job, also in the file of ``descriptor`` if there is one.

    ``total`` sums up the rows of all finished parts, ``file_rows`` those of each file.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._finished_parts: Counter[str] = Counter()
        self._finished_files: set[str] = set()
        self.total = RowCounts()
        self.file_rows: Counter[str] = Counter()

    def next_part(self, file: str) -> int | None:
        """The number of a file's first unfinished part, or None if the file is finished."""
        return None if file in self._finished_files else self._finished_parts[file]

    def add_part(self, file: str, counts: RowCounts, *, is_last: bool) -> None:
        """Note that the next part of a file is finished."""
        line = {"file": file, "last": is_last, **counts.to_json()}
        if self._descriptor is not None:
            os.write(self._descriptor, orjson.dumps(line) + b"\n")
            os.fsync(self._descriptor)
        self.replay(line)

    def replay(self, line: Mapping[str, Any]) -> None:
        """Take over a part that is in the file already."""
        counts = RowCounts(line["answered"], line["rejected"], Counter(line["faults"]))
        self.total.add(counts)
        self.file_rows[line["file"]] += counts.rows
        self._finished_parts[line["file"]] += 1
        if line["last"]:
            self._finished_files.add(line["file"])


@contextmanager
def open_journal(folder: Path, job: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal in a folder, new or resumed, locked while the ``with`` block runs.

    Raises:
        TableError: another run holds the lock, or the folder's content is not of this ``job``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / JOURNAL_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TableError(
                f"another run is writing to {folder}: wait until it ends, or choose another folder"
            ) from None
        yield _resume(folder, descriptor, job)
    finally:
        os.close(descriptor)


def write_success_file(folder: Path, total: RowCounts) -> None:
    """Mark the folder as complete, in the file that other tools look for as well."""
    temporary_path = folder / f".{SUCCESS_NAME}.writing"
    temporary_path.write_bytes(orjson.dumps(total.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
    temporary_path.replace(folder / SUCCESS_NAME)


def _resume(folder: Path, descriptor: int, job: Mapping[str, Any]) -> Journal:
    complete, _, torn = (folder / JOURNAL_NAME).read_bytes().rpartition(b"\n")
    if torn:  # a line that was being written when the machine stopped
        os.ftruncate(descriptor, len(complete) + 1 if complete else 0)
    lines = [orjson.loads(line) for line in complete.splitlines()]
    if not lines:
        if any(folder.glob("[!._]*")):
            raise TableError(f"{folder} contains other files: choose an empty folder or a new one")
        os.write(descriptor, orjson.dumps(job) + b"\n")
    elif differing := [key for key in job if lines[0].get(key) != orjson.loads(orjson.dumps(job[key]))]:
        raise TableError(
            f"{folder} contains parts of another job, which differs in {', '.join(differing)}: "
            "choose another folder, or remove this one"
        )
    journal = Journal(descriptor)
    for line in lines[1:]:
        journal.replay(line)
    return journal
