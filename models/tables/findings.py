"""What reading a table finds: notes on what was guessed, and faults, which one message names all at once."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from models.errors import DataError

_MAX_SHOWN = 30  # faults; the options at the end of the message cover all


class Findings:
    """Collects the faults that make a table unfit for training.

    ``note`` gets a sentence for everything that was guessed or left out, at once. If a model ``needs_columns``, leaving
    one out is no remedy.
    """

    def __init__(self, path: Path, note: Callable[[str], None], *, needs_columns: bool = False) -> None:
        self.note = note
        self.needs_columns = needs_columns
        self._path = path
        self._messages: list[tuple[int, str]] = []
        self._columns_to_drop: list[str] = []
        self._options: list[str] = []

    def add_fault(
        self, message: str, *, position: int = -1, drop: str | None = None, option: str | None = None
    ) -> None:
        """Add a fault of the column at ``position``; ``--drop`` of the column ``drop``, or ``option``, solves it."""
        self._messages.append((position, message))
        if option and option not in self._options:
            self._options.append(option)
        elif drop and drop not in self._columns_to_drop and not self.needs_columns:
            self._columns_to_drop.append(drop)

    def raise_faults(self) -> None:
        """Raise an error that names every fault, in the order of the columns; do nothing if there is none.

        Raises:
            DataError: there is a fault.
        """
        if not self._messages:
            return
        messages = [message for _, message in sorted(self._messages, key=lambda entry: entry[0])]
        if len(messages) == 1:
            raise DataError(f"{self._path}: {messages[0]}")
        lines = [f"{self._path} has {len(messages)} faults:", *(f"  {message}" for message in messages[:_MAX_SHOWN])]
        if len(messages) > _MAX_SHOWN:
            lines.append(f"  and {len(messages) - _MAX_SHOWN} more")
        if self._columns_to_drop or self._options:
            options = " ".join([*self._options, *column_options("--drop", self._columns_to_drop)])
            purpose = "adopt the model" if self.needs_columns else "train"
            lines.append(f"to {purpose} without what these options leave out, add: {options}")
        raise DataError("\n".join(lines))


def column_options(option: str, names: Sequence[str]) -> list[str]:
    """An option such as ``--drop`` for columns, ready to paste; a name with a comma has an option of its own."""
    together = ",".join(name for name in names if "," not in name)
    values = [together, *(name for name in names if "," in name)]
    return [f"{option} {shlex.quote(value)}" for value in values if value]


def list_some(items: Iterable[object], limit: int = 3) -> str:
    """The first items, and how many more there are: ``2, 5, 9 and 13 more``."""
    texts = list(map(str, items))
    if len(texts) == 1:
        return texts[0]
    if len(texts) <= limit + 1:
        return f"{', '.join(texts[:-1])} and {texts[-1]}"
    return f"{', '.join(texts[:limit])} and {len(texts) - limit} more"


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: ``1 row``, ``1,200 rows``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
