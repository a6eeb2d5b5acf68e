"""The comparison as a picture that reads on light and on dark paper."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Rounds, number

INK, QUIET, ACCENT = "#7d8590", "#a3acb9", "#1f9e8f"  # on white and on near-black alike
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "menagerie", "text.color": INK, "axes.labelcolor": INK}


def bars(subjects: Mapping[str, Rounds], ours: str, path: Path) -> None:
    """Server CPU time a request, one bar a server, labelled with its median and its ratio to ours."""
    spent = {subject: rounds["cpu_us"] for subject, rounds in subjects.items()}
    ranked = sorted(spent, key=lambda subject: median(spent[subject]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.7 + 0.34 * len(ranked)))
        axes = figure.add_subplot(xscale="log")
        for place, subject in enumerate(ranked):
            _bar(axes, place, spent[subject], median(spent[ours]), own=subject == ours)
        axes.set_yticks(range(len(ranked)), ranked)
        axes.set_xlim(left=1)  # a bar of no length is 1 µs
        axes.invert_yaxis()
        axes.set_title("Server CPU time a request, log scale; less is better", loc="left", fontsize=11)
        _finish(axes, figure, path)


def curve(subjects: Mapping[str, Rounds], path: Path) -> None:
    """Rows a second by rows in a request."""
    rows = [rounds["rows"][0] for rounds in subjects.values()]
    rates = [median(rounds["rows_s"]) for rounds in subjects.values()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3))
        axes = figure.add_subplot(xscale="log", yscale="log")
        axes.plot(rows, rates, color=ACCENT, marker="o", linewidth=2)
        for at, rate in zip(rows, rates, strict=True):
            axes.annotate(number(rate), (at, rate), xytext=(0, 8), textcoords="offset points", ha="center")
        axes.set_xticks(rows, [f"{count:,.0f}" for count in rows])
        axes.set_yticks([])
        axes.margins(0.1, 0.2)
        axes.set_title("Rows a second on one core, by rows in a request", loc="left", fontsize=11)
        _finish(axes, figure, path)


def _bar(axes: Axes, place: int, values: list[float], base: float, *, own: bool) -> None:
    middle = median(values)
    axes.barh(place, middle, color=ACCENT if own else QUIET, height=0.62)
    axes.plot([min(values), max(values)], [place, place], color=INK, linewidth=1.2)
    axes.annotate(
        f"{number(middle)} µs" + ("" if own else f", {number(middle / base)}x"),
        (max(values), place),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=ACCENT if own else INK,
        weight="bold" if own else "normal",
    )


def _finish(axes: Axes, figure: Figure, path: Path) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, which="both", labelcolor=INK)
    axes.xaxis.set_visible(axes.get_yscale() == "log")
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
