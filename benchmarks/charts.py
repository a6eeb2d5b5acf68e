"""Charts of the results, readable on a light and on a dark background."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Rounds, format_number

TEXT, NEUTRAL, ACCENT = "#7d8590", "#a3acb9", "#1f9e8f"  # on white and on near-black alike
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "menagerie",
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
}


def draw_bars(subjects: Mapping[str, Rounds], ours: str, path: Path) -> None:
    """Server CPU time per request: a bar for each server, labelled with its median and its ratio to ours."""
    cpu_us = {subject: rounds["cpu_us"] for subject, rounds in subjects.items()}
    ranked = sorted(cpu_us, key=lambda subject: median(cpu_us[subject]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.7 + 0.34 * len(ranked)))
        axes = figure.add_subplot(xscale="log")
        for position, subject in enumerate(ranked):
            _draw_bar(axes, position, cpu_us[subject], median(cpu_us[ours]), is_ours=subject == ours)
        axes.set_yticks(range(len(ranked)), ranked)
        axes.set_xlim(left=1)  # a bar of no length is 1 µs
        axes.invert_yaxis()
        axes.set_title("Server CPU time a request, log scale; less is better", loc="left", fontsize=11)
        _save(axes, figure, path)


def draw_curve(subjects: Mapping[str, Rounds], path: Path) -> None:
    """Rows per second by rows per request."""
    rows = [rounds["rows"][0] for rounds in subjects.values()]
    rates = [median(rounds["rows_s"]) for rounds in subjects.values()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 3))
        axes = figure.add_subplot(xscale="log", yscale="log")
        axes.plot(rows, rates, color=ACCENT, marker="o", linewidth=2)
        for count, rate in zip(rows, rates, strict=True):
            axes.annotate(format_number(rate), (count, rate), xytext=(0, 8), textcoords="offset points", ha="center")
        axes.set_xticks(rows, [f"{count:,.0f}" for count in rows])
        axes.set_yticks([])
        axes.margins(0.1, 0.2)
        axes.set_title("Rows a second on one core, by rows in a request", loc="left", fontsize=11)
        _save(axes, figure, path)


def _draw_bar(axes: Axes, position: int, values: list[float], reference: float, *, is_ours: bool) -> None:
    center = median(values)
    axes.barh(position, center, color=ACCENT if is_ours else NEUTRAL, height=0.62)
    axes.plot([min(values), max(values)], [position, position], color=TEXT, linewidth=1.2)
    axes.annotate(
        f"{format_number(center)} µs" + ("" if is_ours else f", {format_number(center / reference)}x"),
        (max(values), position),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=ACCENT if is_ours else TEXT,
        weight="bold" if is_ours else "normal",
    )


def _save(axes: Axes, figure: Figure, path: Path) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, which="both", labelcolor=TEXT)
    axes.xaxis.set_visible(axes.get_yscale() == "log")
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
