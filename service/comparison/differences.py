"""What comparing two versions' predictions of one output gives, whatever the kind of the output."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Indices

Cells = NDArray[np.int64]


class Differences(NamedTuple):
    """How two predictions of some rows differ.

    ``cells`` are the counts that only this kind of output has. ``changed`` [rows] marks rows on which the versions
    disagree. ``rows`` and ``changes`` [n] are pairs of a row and what changes in it, of which a row may have several;
    among these may be pairs for rows that do not change.
    """

    cells: Cells
    changed: NDArray[np.bool_]
    rows: Indices
    changes: Indices


class OutputComparison(Protocol):
    """Compares one output: ``size`` cells of its own, and ``change_count`` numbers for what may change in a row.

    ``is_change`` [change_count] is false for the numbers that stand for no change.
    """

    name: str
    size: int
    change_count: int
    is_change: NDArray[np.bool_]

    def compare(self, serving: Array, shadow: Array) -> Differences:
        """The differences of predictions, both [rows, columns of the output] and finite."""
        ...

    def describe_change(self, change: int) -> dict[str, str]:
        """What tells a change from others, as the report has it."""
        ...

    def alternatives(self, change: int) -> slice | None:
        """The changes, and no change, that rows with the same prediction of the serving version may have instead.

        None if that may be any rows.
        """
        ...

    def report(self, cells: Cells, changes: Cells, rows: int) -> dict[str, Any]:
        """The report's fields that only this kind of output has; ``changes`` has the number of each change."""
        ...

    @property
    def omitted(self) -> list[str]:
        """What is not counted, in sentences."""
        ...
