"""The report's pictures. Each function draws one figure and returns it as SVG that suits light and dark pages."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

PALETTE = ("#e07a3f", "#3f7fd0", "#9a6bd0", "#35a373", "#d0527f", "#b8962e", "#3aa6b9", "#8a8f98")
INK, FAINT = "#2b3440", "#9aa3ad"
SMALL = 9.5  # points
TOLD_APART = 0.003  # two shares nearer than this get one figure
LEGIBLE = 12  # more labels than this leave no room for figures in the confusion matrix
LEVEL = 6  # more labels than this stand upright below it
_LEAST = 0.0005
_SCHEME = (
    f"<style>:root{{color:{INK}}}text{{fill:currentColor}}"
    "@media(prefers-color-scheme:dark){:root{color:#dde3ea}}</style>"
)
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "menagerie",  # else the ids, and with them the files, differ from run to run
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "figure.constrained_layout.use": True,
    "axes.titlelocation": "left",
}
WIDTH = 5.4  # inches: a phone's width shows the text at a size that can be read


def colour(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def pairs(full: dict[str, float], hollow: dict[str, float], colours: Sequence[str]) -> str:
    """Shares by name on one scale: a full dot each and, where there is another figure beside it, a hollow one."""
    figure, axes = _canvas(0.75 + 0.52 * len(full))
    for place, (name, value) in enumerate(full.items()):
        other = hollow.get(name, value)
        axes.plot([other, value], [place, place], color=colours[place], linewidth=2, alpha=0.5)
        axes.plot(other, place, "o", color=colours[place], markersize=8, markerfacecolor="none", markeredgewidth=2)
        axes.plot(value, place, "o", color=colours[place], markersize=9)
        said = f"{other:.1%} … {value:.1%}" if abs(value - other) > TOLD_APART else f"{value:.1%}"
        middle = ((value + other) / 2, place)
        axes.annotate(said, middle, (0, -8), textcoords="offset points", ha="center", va="top", fontsize=SMALL)
    lowest = min([*full.values(), *hollow.values()])
    axes.set_yticks(range(len(full)), [_short(name, 20) for name in full])
    axes.set(ylim=(len(full) - 0.3, -0.5), xlim=(lowest - 0.2 * (1 - lowest) - 0.002, 1 + 0.1 * (1 - lowest) + 0.001))
    _percent(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return _svg(figure)


def confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Of each label (line), the share taken for each (column)."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _canvas(min(0.9 + 0.62 * len(labels), 12))
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            square = Rectangle(
                (j - 0.47, i - 0.47),
                0.94,
                0.94,
                color=colour(3 if i == j else 0),
                alpha=0.1 + 0.75 * share if share else 0.05,
            )
            axes.add_patch(square)
            if share and len(labels) <= LEGIBLE:
                axes.text(j, i, "<0.1%" if share < _LEAST else f"{share:.1%}", ha="center", va="center")
    axes.set_xticks(range(len(labels)), [_short(label) for label in labels], rotation=0 if len(labels) <= LEVEL else 90)
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), xlabel="taken for", ylabel="is")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _svg(figure)


def reliability(bins: Iterable[tuple[int, float, float]]) -> str:
    """Accuracy over confidence; a dot's area tells how many individuals it stands for."""
    counts, confidence, accuracy = (np.array(column) for column in zip(*bins, strict=True))
    figure, axes = _canvas(3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(confidence, accuracy, color=colour(1), linewidth=1.5, zorder=3)
    axes.scatter(
        confidence, accuracy, s=18 + 260 * np.sqrt(counts / counts.sum()), color=colour(1), alpha=0.8, zorder=4
    )
    lowest = max(0, min(confidence.min(), accuracy.min()) - 0.06)
    axes.set(xlim=(lowest, 1.04), ylim=(lowest, 1.04), xlabel="the network's confidence", ylabel="share that was right")
    axes.text(0.97, 0.05, "dashed: as sure as right", color=FAINT, ha="right", transform=axes.transAxes, fontsize=SMALL)
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    return _svg(figure)


def worst(recalls: Sequence[tuple[str, int, float]], labels: Sequence[str]) -> str:
    """Recall of the worst groups: (name, label, recall)."""
    figure, axes = _canvas(0.5 + 0.3 * len(recalls))
    for place, (_, label, recall) in enumerate(recalls):
        axes.barh(place, recall, height=0.62, color=colour(label), alpha=0.85)
        axes.text(recall + 0.015, place, f"{recall:.0%}", va="center", fontsize=SMALL)
    names = [f"{_short(name, 26)} ({_short(labels[label], 12)})" for name, label, _ in recalls]
    axes.set_yticks(range(len(recalls)), names)
    axes.set(ylim=(len(recalls) - 0.5, -0.5), xlim=(0, 1.12), xticks=[])
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return _svg(figure)


def learning(losses: Sequence[Sequence[float]], chosen: int) -> str:
    """Loss of each candidate an epoch, and of the chosen one's last round."""
    figure, axes = _canvas(3.2)
    epochs = len(losses[0])
    for number, curve in enumerate(losses[:-1]):
        bright = number == chosen
        axes.plot(
            range(1, epochs + 1),
            curve,
            color=colour(1) if bright else FAINT,
            linewidth=2 if bright else 1,
            zorder=3 + bright,
        )
    axes.plot(range(epochs + 1, 2 * epochs + 1), losses[-1], color=colour(0), linewidth=2, zorder=5)
    axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="loss (log scale)", xlim=(0, 2 * epochs + 1))
    axes.axvline(epochs + 0.5, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for x, said, shade in (
        (0.24, "candidates; the chosen in blue", colour(1)),
        (0.76, "last round, all groups", colour(0)),
    ):
        axes.text(x, 1.0, said, color=shade, ha="center", va="bottom", transform=axes.transAxes, fontsize=SMALL)
    return _svg(figure)


def _canvas(height: float) -> tuple[Figure, Axes]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height))
        return figure, figure.add_subplot()


def _percent(axis: Axis) -> None:
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(PercentFormatter(1, decimals=None))


def _short(text: str, length: int = 18) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _svg(figure: Figure) -> str:
    """The figure as text, its ink following the page's colour scheme."""
    with mpl.rc_context(_STYLE), io.StringIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        drawn = file.getvalue()
    head, tail = drawn[drawn.index("<svg") :].replace(INK, "currentColor").split(">", 1)
    return f"{head}>{_SCHEME}{tail}"
