"""What would change if another version of a model served: rows counted in cells, and the report on the counts."""

from typing import Any, NamedTuple, cast

import numpy as np

from service.arrays import Array
from service.comparison.changes import describe_change
from service.comparison.confidence import row_share
from service.comparison.differences import Cells, OutputComparison
from service.comparison.document import Change, OtherChanges, RangeLimits, Report
from service.comparison.labels import ClassificationComparison, MultiLabelComparison
from service.comparison.ranges import MIN_CHANGED, MIN_ROWS, FeatureRanges
from service.comparison.targets import RegressionComparison
from service.comparison.verdict import MIN_VERDICT_ROWS, describe
from service.inference.binning.bins import Bins
from service.inference.heads import HeadColumns
from service.inference.model import Model

MAX_CHANGE_CELLS = 40_000  # for the feature ranges of each change of all outputs
MAX_LISTED = 20
_MAX_CHUNK_NUMBERS = 1 << 21  # of rows and outputs, counted at once
_NO_SAMPLE = "the model was adopted without a sample, so the ranges of its features are unknown"
_TOO_MANY = f"the feature ranges of each change, because they would need more than {MAX_CHANGE_CELLS:,} counts"
_ROWS, _AGREEING, _FIRST = range(3)  # cells


class _Part(NamedTuple):
    """One output's cells: its own, those of its changes, the changed rows, and their feature ranges, if known.

    ``change_ranges`` are the feature ranges of each change; empty if there would be too many.
    """

    output: OutputComparison
    columns: slice
    own: slice
    changes: slice
    changed: int
    ranges: slice
    change_ranges: slice

    @property
    def has_change_ranges(self) -> bool:
        return bool(self.change_ranges.stop > self.change_ranges.start)


class Totals(NamedTuple):
    """The number of rows, those on which the versions agree, and each output's own part of the report, by name."""

    rows: int
    agreeing: int
    outputs: dict[str, dict[str, Any]]


class Comparison:
    """Compares what two versions of a model, with the same schema, predict for the same rows.

    Rows are counted in ``size`` cells. All are exact integers that add up: the cells of several batches, added, are the
    cells of all their rows.
    """

    def __init__(self, serving: Model, shadow: Model) -> None:
        self._serving, self._shadow = serving, shadow
        self._bins = Bins(serving.manifest) if serving.manifest.reference else None
        self._ranges = FeatureRanges(serving.features, self._bins) if self._bins else None
        self._range_count = self._ranges.size if self._ranges else 0
        self._range_rows = slice(_FIRST, _FIRST + self._range_count)
        self._parts: list[_Part] = []
        self.size = self._range_rows.stop
        change_cells = MAX_CHANGE_CELLS
        for head, other in zip(serving.heads, shadow.heads, strict=True):
            part = self._lay_out(_compare_output(serving, head, other), head.columns, change_cells)
            change_cells -= part.change_ranges.stop - part.change_ranges.start
            self._parts.append(part)
            self.size = part.change_ranges.stop

    def count(self, rows: Array, serving_outputs: Array, shadow_outputs: Array) -> Cells:
        """The cells [size] of some rows; any number of rows, also none.

        ``rows`` [rows, features] are encoded for the serving version, as `Prediction.rows` is. Both outputs are
        [rows, columns], as `Model.outputs` gives them, and finite.
        """
        cells = np.zeros(self.size, np.int64)
        width = 10 * rows.shape[1] + serving_outputs.shape[1]
        step = max(1, _MAX_CHUNK_NUMBERS // width)
        for start in range(0, len(rows), step):
            chunk = slice(start, start + step)
            self._add(cells, rows[chunk], serving_outputs[chunk], shadow_outputs[chunk])
        return cells

    def report(self, cells: Cells) -> Report:
        """The report on all rows that the cells [size] count."""
        rows = int(cells[_ROWS])
        report = Report(
            model=self._serving.identity["name"],
            serving=self._serving.identity["version"],
            shadow=self._shadow.identity["version"],
            verdict="",
            rows=rows,
            least_rows=MIN_VERDICT_ROWS,
            agree=row_share(int(cells[_AGREEING]), rows),
            outputs=[self._report_output(part, cells, rows) for part in self._parts],
            ranges_reason=None if self._ranges else _NO_SAMPLE,
            range_limits=RangeLimits(rows=MIN_ROWS, changed=MIN_CHANGED),
        )
        report["verdict"] = describe(report)
        return report

    def totals(self, cells: Cells) -> Totals:
        """What a report has without single changes and ranges, in a tenth of its time."""
        rows = int(cells[_ROWS])
        outputs = {
            each.output.name: each.output.report(cells[each.own], cells[each.changes], rows) for each in self._parts
        }
        return Totals(rows, int(cells[_AGREEING]), outputs)

    def _lay_out(self, output: OutputComparison, columns: slice, change_cells: int) -> _Part:
        """The cells of an output, which follow the last ones; at most ``change_cells`` for the ranges of changes."""
        needed = output.change_count * self._range_count
        sizes = (output.size, output.change_count, 1, self._range_count, needed if needed <= change_cells else 0)
        ends = np.cumsum([self.size, *sizes]).tolist()
        own, changes, changed, ranges, change_ranges = map(slice, ends, ends[1:])
        return _Part(output, columns, own, changes, changed.start, ranges, change_ranges)

    def _add(self, cells: Cells, rows: Array, serving: Array, shadow: Array) -> None:
        """Add so few rows that what is computed of each fits into memory."""
        bins = self._bins.bin_features(rows) if self._bins else np.empty((len(rows), 0), np.int64)
        any_changed = np.zeros(len(rows), np.bool_)
        for part in self._parts:
            differences = part.output.compare(serving[:, part.columns], shadow[:, part.columns])
            cells[part.own] += differences.cells
            if not len(differences.rows):
                continue
            any_changed |= differences.changed
            np.add.at(cells[part.changes], differences.changes, 1)
            cells[part.changed] += np.count_nonzero(differences.changed)
            np.add.at(cells[part.ranges], bins[differences.changed], 1)
            if part.has_change_ranges:
                starts = self._range_count * differences.changes[:, np.newaxis]
                np.add.at(cells[part.change_ranges], starts + bins[differences.rows], 1)
        cells[_ROWS] += len(rows)
        cells[_AGREEING] += len(rows) - np.count_nonzero(any_changed)
        cells[self._range_rows] += np.bincount(bins.ravel(), minlength=self._range_count)

    def _report_output(self, part: _Part, cells: Cells, rows: int) -> Any:
        """The report on one output, of a type that depends on its kind."""
        changes, changed = np.where(part.output.is_change, cells[part.changes], 0), int(cells[part.changed])
        frequent = np.argsort(-changes, kind="stable")[:MAX_LISTED].tolist()
        listed = [self._report_change(part, change, cells, rows) for change in frequent if changes[change]]
        fields: dict[str, Any] = {
            "name": part.output.name,
            "agree": row_share(rows - changed, rows),
            "changes": listed,
            "other_changes": OtherChanges(
                changes=int(np.count_nonzero(changes)) - len(listed),
                rows=int(changes.sum()) - sum(each["rows"] for each in listed),
            ),
            "mostly": None,
            "ranges": None,
            "omitted": part.output.omitted,
        }
        if self._ranges:
            all_rows, in_ranges = cells[self._range_rows], cells[part.ranges]
            fields["ranges"] = self._ranges.most_changed(all_rows, in_ranges, changed / max(rows, 1))
            if not part.has_change_ranges:
                fields["mostly"] = self._ranges.find_concentration(all_rows, in_ranges, rows, changed)
                fields["omitted"] = [*part.output.omitted, _TOO_MANY]
        return fields | part.output.report(cells[part.own], cells[part.changes], rows)

    def _report_change(self, part: _Part, change: int, cells: Cells, rows: int) -> Change:
        count, mostly = int(cells[part.changes][change]), None
        if self._ranges and part.has_change_ranges:
            in_ranges = cells[part.change_ranges].reshape(-1, self._range_count)
            among = cells[self._range_rows]
            if alternatives := part.output.alternatives(change):
                rows, among = int(cells[part.changes][alternatives].sum()), in_ranges[alternatives].sum(axis=0)
            mostly = self._ranges.find_concentration(among, in_ranges[change], rows, count)
        fields = part.output.describe_change(change)
        return cast("Change", {**fields, "says": describe_change(fields), "rows": count, "mostly": mostly})


def _compare_output(serving: Model, head: HeadColumns, other: HeadColumns) -> OutputComparison:
    if head.head.kind == "classification":
        return ClassificationComparison(head.head, other.head)
    if head.head.kind == "multi_label":
        return MultiLabelComparison(head.head, other.head)
    return RegressionComparison(head, serving.manifest)
