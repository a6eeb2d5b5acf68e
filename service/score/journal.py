"""What of a folder of parts is done: a line for each, so that the same command goes on where it was stopped."""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from service.http.errors import TableError

NAME = "_score.jsonl"  # readers of folders of Parquet pass over what begins with _
SUCCESS = "_SUCCESS"


@dataclass
class Count:
    """How many rows there were, what became of them, and how often there was which fault."""

    answered: int = 0
    rejected: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        return self.answered + self.rejected

    def add(self, other: "Count") -> None:
        self.answered += other.answered
        self.rejected += other.rejected
        self.faults += other.faults

    def document(self) -> dict[str, Any]:
        return {"answered": self.answered, "rejected": self.rejected, "faults": dict(self.faults.most_common())}


class Journal:
    """The parts that are done of the files of one job; ``total`` counts their rows."""

    def __init__(self) -> None:
        self.total = Count()
        self._parts: Counter[str] = Counter()
        self._complete: set[str] = set()

    def next_part(self, file: str) -> int | None:
        """The number of the first part of a file that is not done; None if all are."""
        return None if file in self._complete else self._parts[file]

    def add(self, file: str, count: Count, *, last: bool) -> None:
        """The next part of a file is done, and maybe it was the ``last``."""
        self.total.add(count)
        self._parts[file] += 1
        if last:
            self._complete.add(file)


class KeptJournal(Journal):
    """The same, kept in a file."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self._handle = handle

    def add(self, file: str, count: Count, *, last: bool) -> None:
        os.write(self._handle, orjson.dumps({"file": file, "last": last, **count.document()}) + b"\n")
        os.fsync(self._handle)
        super().add(file, count, last=last)

    def recall(self, line: Mapping[str, Any]) -> None:
        count = Count(line["answered"], line["rejected"], Counter(line["faults"]))
        super().add(line["file"], count, last=line["last"])


@contextmanager
def kept(folder: Path, job: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a folder, which must be of this very job if there is one, and of nobody else's run.

    Raises:
        TableError: it is not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TableError(f"another run is writing to {folder}: wait for it, or choose another folder") from None
        yield _recalled(folder, handle, job)
    finally:
        os.close(handle)


def succeed(folder: Path, total: Count) -> None:
    """Say that all parts are there, in the file by which others know it as well."""
    beside = folder / f".{SUCCESS}.writing"
    beside.write_bytes(orjson.dumps(total.document(), option=orjson.OPT_INDENT_2) + b"\n")
    beside.replace(folder / SUCCESS)


def _recalled(folder: Path, handle: int, job: Mapping[str, Any]) -> Journal:
    whole, _, torn = (folder / NAME).read_bytes().rpartition(b"\n")
    if torn:  # a line that was being written when the machine stopped
        os.ftruncate(handle, len(whole) + 1 if whole else 0)
    lines = [orjson.loads(line) for line in whole.splitlines()]
    if not lines:
        if any(folder.glob("[!._]*")):
            raise TableError(f"{folder} holds other things already: choose an empty folder, or one that does not exist")
        os.write(handle, orjson.dumps(job) + b"\n")
    elif differing := [key for key in job if lines[0].get(key) != orjson.loads(orjson.dumps(job[key]))]:
        raise TableError(
            f"{folder} has parts of another job, whose {', '.join(differing)} was different: "
            "choose another folder, or remove this one"
        )
    journal = KeptJournal(handle)
    for line in lines[1:]:
        journal.recall(line)
    return journal
