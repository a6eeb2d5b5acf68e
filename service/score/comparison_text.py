"""A comparison's report as text for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.comparison.document import Bucket, Range, Report, RowShare

_MAX_LABELS = 20
_INDENT = "  "
Line = Sequence[str]


def describe_report(report: Report, rejected: int) -> str:
    """The verdict, then each output's changes, how far predictions moved, and the ranges that changed most.

    ``rejected`` is the number of rows that were not compared.
    """
    serving, shadow = report["serving"], report["shadow"]
    lines = [
        f"{report['verdict']}\n",
        f"{report['model']}: version {serving} serves, version {shadow} is new",
        *_align(
            [
                ["rows compared", f"{report['rows']:,}"],
                ["rows that agree", *_share(report["agree"])],
                ["rows rejected", f"{rejected:,}"],
            ]
        ),
    ]
    for output in report["outputs"]:
        lines += ["", *_describe_output(output, report)]
    if report["ranges_reason"]:
        lines += ["", f"No ranges of features: {report['ranges_reason']}."]
    return "\n".join(lines)


def _describe_output(output: Any, report: Report) -> Iterator[str]:
    yield f"{output['name']} ({output['kind'].replace('_', '-')})"
    if len(report["outputs"]) > 1:
        yield from _align([["rows that agree", *_share(output["agree"])]])
    yield from _section("changes", [_change(change) for change in output["changes"]])
    if others := output["other_changes"]["changes"]:
        yield f"{_INDENT * 2}and {others:,} others, {output['other_changes']['rows']:,} times"
    if output["kind"] == "regression":
        for name, target in output["targets"].items():
            yield from _describe_target(name, target)
    else:
        yield from _describe_labels(output["labels"], report)
        if output["moved"]["mean"] is not None:
            title = f"largest move of a probability, {output['moved']['mean']:.3g} on average"
            yield from _section(title, _buckets(output["moved"]["histogram"]))
    if output["mostly"]:
        where = output["mostly"]
        yield f"{_INDENT}{where['changed']:,} changes are where {where['says']}"
    yield from _section("ranges with the greatest shares of changes", [_range(each) for each in output["ranges"] or []])
    for reason in output["omitted"]:
        yield f"{_INDENT}not counted: {reason}"


def _change(change: Any) -> Line:
    where = change["mostly"]
    return [change["says"], f"{change['rows']:,}", f"where {where['says']}: {where['changed']:,}" if where else ""]


def _range(place: Range) -> Line:
    return [place["says"], f"{place['changed']:,}", f"of {place['rows']:,} rows", f"{place['share']:.1%}"]


def _describe_labels(labels: Any, report: Report) -> Iterator[str]:
    header = ["", f"in {report['serving']}", f"in {report['shadow']}", "lost", "gained", "mean shift"]
    rows = [
        [label, *(f"{counts[key]:,}" for key in ("serving", "shadow", "lost", "gained")), _shift(counts["mean_shift"])]
        for label, counts in list(labels.items())[:_MAX_LABELS]
    ]
    yield from _section("labels", [header, *rows])
    if len(labels) > _MAX_LABELS:
        yield f"{_INDENT * 2}and {len(labels) - _MAX_LABELS:,} more"


def _describe_target(name: str, target: Any) -> Iterator[str]:
    unit = f" {target['unit']}".rstrip()
    tolerance = f"{target['tolerance']:.3g}{unit}" if target["tolerance"] else "1% of the value"
    rows = [[f"within {tolerance}", *_share(target["agree"])]]
    if target["mean"] is not None:
        rows.append(["mean difference", f"{target['mean']:+.3g}{unit}"])
        rows.append(["root mean square", f"{target['root_mean_square']:.3g}{unit}"])
    yield from _section(name, rows)
    yield from _section(f"differences of {name}{unit and f' in{unit}'}", _buckets(target["histogram"]))


def _buckets(buckets: Sequence[Bucket]) -> list[Line]:
    """The buckets from the first with rows to the last."""
    filled = [index for index, bucket in enumerate(buckets) if bucket["rows"]]
    shown = buckets[filled[0] : filled[-1] + 1] if filled else []
    return [[_interval(bucket["above"], bucket["upto"]), f"{bucket['rows']:,}"] for bucket in shown]


def _interval(above: float | None, upto: float | None) -> str:
    if above is None:
        return f"up to {upto:g}"
    return f"above {above:g}" if upto is None else f"{above:g} to {upto:g}"


def _share(share: RowShare) -> Line:
    if share["share"] is None:
        return [f"{share['rows']:,}"]
    return [f"{share['rows']:,}", f"{share['share']:.2%} ({share['low']:.2%} to {share['high']:.2%})"]


def _shift(shift: float | None) -> str:
    return "" if shift is None else f"{shift:+.4f}"


def _section(title: str, rows: Sequence[Line]) -> Iterator[str]:
    if rows:
        yield f"{_INDENT}{title}"
        yield from (f"{_INDENT}{line}" for line in _align(rows))


def _align(rows: Sequence[Line]) -> list[str]:
    """Columns, of which the first is left-aligned and others are right-aligned if they begin with a digit or sign."""
    width = max(map(len, rows))
    table = [[*row, *[""] * (width - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [_INDENT + "  ".join(map(_pad, row, widths, range(width))).rstrip() for row in table]


def _pad(cell: str, width: int, index: int) -> str:
    is_text = index == 0 or cell[:1].isalpha()
    return cell.ljust(width) if is_text else cell.rjust(width)
