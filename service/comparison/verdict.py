"""A report in one sentence."""

from math import ceil, log10

from service.comparison.changes import describe_share
from service.comparison.document import (
    Change,
    ClassificationReport,
    MultiLabelReport,
    RegressionReport,
    Report,
    RowShare,
)
from service.significant_digits import format_number

MIN_VERDICT_ROWS = 100
_MAX_DECIMALS = 6

_Output = ClassificationReport | MultiLabelReport | RegressionReport


def describe(report: Report) -> str:
    """The verdict: how often the versions agree, what changes most often, and where."""
    rows = report["rows"]
    if rows < report["least_rows"]:
        return f"too few rows for a verdict: {rows} of {report['least_rows']}"
    versions = f"version {report['shadow']} agrees with {report['serving']}{_within(report)}"
    if report["agree"]["rows"] == rows:
        high = 1 - (report["agree"]["low"] or 0)
        return f"{versions} on all {rows:,} rows: with 95% confidence, at most {_ceiling(high)} of all rows change"
    agree = f"{versions} on {_share(report['agree'])} of {rows:,} rows"
    return "; ".join([agree, *_describe_changes(report), *_describe_differences(report)])


def _describe_changes(report: Report) -> list[str]:
    """The output that changes in most rows, and its most frequent change."""
    rows = report["rows"]
    output = min(report["outputs"], key=lambda each: each["agree"]["rows"])
    if not output["changes"]:
        return []
    changed, most = rows - output["agree"]["rows"], output["changes"][0]
    sentence = _describe_most_frequent(most, changed)
    if where := most["mostly"] or (output["mostly"] if most["rows"] == changed else None):
        part = "all" if where["changed"] == most["rows"] else f"{where['changed']:,}"
        among, count = _rows_that_may_change(output, most, rows)
        sentence += f", {part} of them where {where['says']} ({_percent(where['rows'], count)} of {among})"
    elif where := output["mostly"]:
        sentence += (
            f"; {where['changed']:,} of {changed:,} changes are where {where['says']} "
            f"({_percent(where['rows'], rows)} of all rows)"
        )
    return [f"{output['name']} changes most often: {sentence}" if len(report["outputs"]) > 1 else sentence]


def _rows_that_may_change(output: _Output, change: Change, rows: int) -> tuple[str, int]:
    """The rows among which a change is looked for, in words, and how many they are."""
    if output["kind"] == "classification" and "from" in change and change["mostly"]:
        return f"all rows with {change['from']}", output["labels"][change["from"]]["serving"]
    return "all rows", rows


def _describe_differences(report: Report) -> list[str]:
    """How far the only target of a model differs."""
    output = report["outputs"][0]
    if len(report["outputs"]) > 1 or output["kind"] != "regression" or len(output["targets"]) > 1:
        return []
    ((name, target),) = output["targets"].items()
    unit = f" {target['unit']}".rstrip()
    mean, deviation = (format_number(target[key] or 0.0, 3) for key in ("mean", "root_mean_square"))
    direction = "lower" if mean.startswith("-") else "higher"
    return [f"{name} is {mean.removeprefix('-')}{unit} {direction} on average (root mean square {deviation}{unit})"]


def _within(report: Report) -> str:
    """Up to which difference numbers agree, if there are some."""
    targets = [t for each in report["outputs"] if each["kind"] == "regression" for t in each["targets"].values()]
    if not targets:
        return ""
    return (
        " to within 1% of the spread" if any(target["spread"] for target in targets) else " to within 1% of the value"
    )


def _describe_most_frequent(change: Change, changed: int) -> str:
    if changed == 1:
        return f"the only change: {change['says']}"
    if change["rows"] == changed:
        return describe_share(change, f"all {changed:,} changes")
    return describe_share(change, f"{change['rows']:,} of {changed:,} changes")


def _percent(count: int, rows: int) -> str:
    share = count / max(rows, count)  # rows may be too few if a process was killed while it added to the counts
    return "under 1%" if share < 0.01 else f"{share:.0%}"  # noqa: PLR2004


def _share(agree: RowShare) -> str:
    """A share with its confidence interval, with as many decimals as the interval's width has meaning for."""
    share, low, high = (100 * (agree[key] or 0.0) for key in ("share", "low", "high"))
    decimals = min(max(ceil(-log10(high - low)), 0), _MAX_DECIMALS)
    return f"{share:.{decimals}f}% ({low:.{decimals}f} to {high:.{decimals}f})"


def _ceiling(share: float) -> str:
    """A percentage with two significant digits, rounded up."""
    percent = 100 * share
    step = 10.0 ** (int(log10(percent)) - (2 if percent < 1 else 1))
    return f"{ceil(percent / step) * step:.2g}%"
