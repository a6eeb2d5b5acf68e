"""Rows with missing values: a fault, or left out and counted."""

import numpy as np

from models.tables.columns import Columns, Flags
from models.tables.findings import Findings, count

DROP_ROWS_WITH_GAPS = "--drop-rows-with-gaps"
_MANY = 0.2  # the share of a column's values from which on it is better to leave out the column than the rows


class Gaps:
    """Collects the gaps of all columns; unless their rows are ``dropped``, each column added with gaps is a fault."""

    def __init__(self, columns: Columns, findings: Findings, *, dropped: bool) -> None:
        self.rows: Flags = np.zeros(len(columns.numbers), bool)
        self._columns = columns
        self.findings = findings
        self._dropped = dropped
        self._counts: dict[str, int] = {}

    def add(self, position: int, is_gap: Flags, remedy: str = "") -> None:
        """Add the gaps of the column at ``position``, which ``remedy`` avoids as well; do nothing without any."""
        number = int(is_gap.sum())
        if not number:
            return
        name = self._columns.names[position]
        self.rows |= is_gap
        self._counts[name] = number
        if self._dropped:
            return
        where = self._columns.describe_rows(is_gap)
        if number == 1:
            what = f"column {name!r}, {where}: the cell has no value: fill it in"
        else:
            what = f"column {name!r}: {number:,} of {len(is_gap):,} cells have no value ({where}): fill them in"
        is_feature = not remedy
        has_many = is_feature and number > _MANY * len(is_gap) and not self.findings.needs_columns
        instead = "" if self.findings.needs_columns else "leave out the column, "
        remedy = remedy or f"{instead}or leave out {count(number, 'row')} with {DROP_ROWS_WITH_GAPS}"
        self.findings.add_fault(
            f"{what}, {remedy}",
            position=position,
            drop=name if has_many else None,
            option=None if has_many else DROP_ROWS_WITH_GAPS,
        )

    def allow(self, position: int, is_gap: Flags) -> None:
        """Add gaps that are no fault: rows that have them are left out only if they are ``dropped``."""
        if self._dropped and is_gap.any():
            self.add(position, is_gap)

    def describe(self) -> str:
        """How many rows have gaps, and in which columns."""
        columns = ", ".join(f"{name!r} {number:,}" for name, number in self._counts.items())
        return f"{count(int(self.rows.sum()), 'row')} of {len(self.rows):,} with gaps (by column: {columns})"
