"""The report's figures. Each function returns one as SVG that suits light and dark pages."""

import io
import warnings
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
SMALL_FONT = 9.5  # points
MIN_DIFFERENCE = 0.003  # two shares that differ by less get a single number
MAX_ANNOTATED_LABELS = 12  # with more labels the confusion matrix has no room for numbers
MAX_NAMED_LABELS = 40  # with more labels the confusion matrix is an image without names
MAX_HORIZONTAL_LABELS = 6  # with more labels their names below the confusion matrix are rotated
MIN_WHOLE_PERCENT = 0.095  # a share that is smaller gets a decimal
_MIN_SHARE = 0.0005
_COLOR_SCHEME = (
    f"<style>:root{{color:{INK}}}text{{fill:currentColor}}"
    "@media(prefers-color-scheme:dark){:root{color:#dde3ea}}</style>"
)
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "menagerie",  # otherwise the ids differ from run to run
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
WIDTH = 5.4  # inches; legible at the width of a phone


def color(index: int) -> str:
    return PALETTE[index % len(PALETTE)]


def plot_pairs(full: dict[str, float], hollow: dict[str, float], colors: Sequence[str]) -> str:
    """Plot shares by name: a full dot for each, and a hollow one if ``hollow`` has another share of that name."""
    figure, axes = _create_axes(0.75 + 0.52 * len(full))
    for y, (name, value) in enumerate(full.items()):
        other = hollow.get(name, value)
        axes.plot([other, value], [y, y], color=colors[y], linewidth=2, alpha=0.5)
        axes.plot(other, y, "o", color=colors[y], markersize=8, markerfacecolor="none", markeredgewidth=2)
        axes.plot(value, y, "o", color=colors[y], markersize=9)
        lower, upper = sorted((other, value))
        text = f"{lower:.1%} … {upper:.1%}" if upper - lower > MIN_DIFFERENCE else f"{value:.1%}"
        middle = ((value + other) / 2, y)
        axes.annotate(text, middle, (0, -8), textcoords="offset points", ha="center", va="top", fontsize=SMALL_FONT)
    lowest = min([*full.values(), *hollow.values()])
    axes.set_yticks(range(len(full)), [_shorten(name, 20) for name in full])
    axes.set(ylim=(len(full) - 0.3, -0.5), xlim=(lowest - 0.2 * (1 - lowest) - 0.002, 1 + 0.1 * (1 - lowest) + 0.001))
    _format_percent(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return _render_svg(figure)


def plot_confusion_matrix(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Plot the confusion matrix, with each row normalized to shares."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if len(labels) > MAX_NAMED_LABELS:
        return _plot_confusion_image(shares)
    figure, axes = _create_axes(min(0.9 + 0.62 * len(labels), 12))
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            corner, alpha = (j - 0.47, i - 0.47), 0.1 + 0.75 * share if share else 0.05
            axes.add_patch(Rectangle(corner, 0.94, 0.94, color=color(3 if i == j else 0), alpha=alpha))
            if share and len(labels) <= MAX_ANNOTATED_LABELS:
                axes.text(j, i, "<0.1%" if share < _MIN_SHARE else f"{share:.1%}", ha="center", va="center")
    names = [_shorten(label) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=0 if len(labels) <= MAX_HORIZONTAL_LABELS else 90)
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), xlabel="predicted", ylabel="true label")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _render_svg(figure)


def _plot_confusion_image(shares: NDArray[np.float64]) -> str:
    """Plot a matrix of many labels as pixels, by the position of the label instead of its name."""
    figure, axes = _create_axes(WIDTH)
    axes.imshow(shares, cmap="Greens", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="predicted (position of the label)", ylabel="true label (position)")
    return _render_svg(figure)


def plot_calibration_curve(bins: Iterable[tuple[int, float, float]]) -> str:
    """Plot accuracy over confidence; a dot's area grows with the number of individuals in the bin."""
    counts, confidence, accuracy = (np.array(column) for column in zip(*bins, strict=True))
    figure, axes = _create_axes(3.6)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(confidence, accuracy, color=color(1), linewidth=1.5, zorder=3)
    axes.scatter(confidence, accuracy, s=18 + 260 * np.sqrt(counts / counts.sum()), color=color(1), alpha=0.8, zorder=4)
    lowest = max(0, min(confidence.min(), accuracy.min()) - 0.06)
    axes.set(xlim=(lowest, 1.04), ylim=(lowest, 1.04), xlabel="confidence", ylabel="accuracy")
    axes.text(
        0.97, 0.05, "dashed: well calibrated", color=FAINT, ha="right", transform=axes.transAxes, fontsize=SMALL_FONT
    )
    _format_percent(axes.xaxis)
    _format_percent(axes.yaxis)
    return _render_svg(figure)


def plot_predictions(actual: NDArray[np.float64], predicted: NDArray[np.float64], name: str) -> str:
    """Plot predicted over actual values [rows] of a quantity with this name."""
    figure, axes = _create_axes(4.4)
    both = np.concatenate([actual, predicted])
    low, high = float(both.min()), float(both.max())
    margin = 0.05 * (high - low) or 1
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.scatter(actual, predicted, s=14, color=color(1), alpha=0.5, linewidths=0, rasterized=False)
    limits = (low - margin, high + margin)
    axes.set(xlim=limits, ylim=limits, xlabel=f"actual {_shorten(name, 40)}", ylabel="predicted")
    return _render_svg(figure)


def plot_group_recall(recalls: Sequence[tuple[str, int, float]], labels: Sequence[str]) -> str:
    """Plot the recall of groups: (name, label index, recall)."""
    figure, axes = _create_axes(0.5 + 0.3 * len(recalls))
    for y, (_, label, recall) in enumerate(recalls):
        axes.barh(y, recall, height=0.62, color=color(label), alpha=0.85)
        axes.text(recall + 0.015, y, f"{recall:.0%}", va="center", fontsize=SMALL_FONT)
    names = [f"{_shorten(name, 26)} ({_shorten(labels[label], 12)})" for name, label, _ in recalls]
    axes.set_yticks(range(len(recalls)), names)
    axes.set(ylim=(len(recalls) - 0.5, -0.5), xlim=(0, 1.12), xticks=[])
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return _render_svg(figure)


def plot_shares(bars: Sequence[tuple[str, float, float]]) -> str:
    """Plot a bar for each (name, share of the individuals, accuracy)."""
    figure, axes = _create_axes(0.5 + 0.3 * len(bars))
    for y, (_, share, accuracy) in enumerate(bars):
        axes.barh(y, accuracy, height=0.62, color=color(1), alpha=0.85)
        axes.text(accuracy + 0.015, y, f"{accuracy:.0%} ({_format_share(share)})", va="center", fontsize=SMALL_FONT)
    axes.set_yticks(range(len(bars)), [_shorten(name, 32) for name, *_ in bars])
    axes.set(ylim=(len(bars) - 0.5, -0.5), xlim=(0, 1.3), xticks=[])
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return _render_svg(figure)


def plot_losses(losses: Sequence[Sequence[float]], selected: int) -> str:
    """Plot the loss per epoch of each candidate, then of the selected one's last round."""
    figure, axes = _create_axes(3.2)
    epochs = len(losses[0])
    for number, curve in enumerate(losses[:-1]):
        line_color, width = (color(1), 2) if number == selected else (FAINT, 1)
        axes.plot(range(1, epochs + 1), curve, color=line_color, linewidth=width, zorder=2 + width)
    axes.plot(range(epochs + 1, 2 * epochs + 1), losses[-1], color=color(0), linewidth=2, zorder=5)
    axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="loss (log scale)", xlim=(0, 2 * epochs + 1))
    axes.axvline(epochs + 0.5, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    text_style: Any = {"ha": "center", "va": "bottom", "transform": axes.transAxes, "fontsize": SMALL_FONT}
    axes.text(0.24, 1.0, "candidates; selected one in blue", color=color(1), **text_style)
    axes.text(0.76, 1.0, "last round, all groups", color=color(0), **text_style)
    return _render_svg(figure)


def plot_held_out_losses(
    steps: Sequence[int],
    candidates: Sequence[Sequence[float]],
    selected: tuple[int, int] | None,
    logistic: float | None,
) -> str:
    """Plot the held-out loss of each candidate by steps, and as a line that of logistic regression.

    ``selected`` is a candidate and its number of steps; None if logistic regression was selected.
    """
    figure, axes = _create_axes(3.2)
    for number, curve in enumerate(candidates):
        is_selected = selected is not None and number == selected[0]
        axes.plot(steps, curve, color=color(1) if is_selected else FAINT, linewidth=2 if is_selected else 1)
    if selected:
        axes.plot(selected[1], candidates[selected[0]][list(steps).index(selected[1])], "o", color=color(1))
    if logistic is not None:
        axes.axhline(logistic, color=color(0), linewidth=1 if selected else 2, linestyle=(0, (4, 3)))
    axes.set(xlabel="steps", ylabel="log loss, held out (log scale)", xscale="log", yscale="log")
    style: Any = {"va": "bottom", "transform": axes.transAxes, "fontsize": SMALL_FONT}
    title = "selected candidate in blue" if selected else "selected: logistic regression"
    axes.text(0.0, 1.0, title, color=color(1 if selected else 0), ha="left", **style)
    if logistic is not None and selected:
        axes.text(1.0, 1.0, "dashed: logistic regression", color=color(0), ha="right", **style)
    return _render_svg(figure)


def _create_axes(height: float) -> tuple[Figure, Axes]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height))
        return figure, figure.add_subplot()


def _format_percent(axis: Axis) -> None:
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(PercentFormatter(1, decimals=None))


def _format_share(share: float) -> str:
    return f"{share:.1%}" if share < MIN_WHOLE_PERCENT else f"{share:.0%}"


def _shorten(text: str, length: int = 18) -> str:
    """Cut a name, and escape what matplotlib would take for a formula."""
    return (text if len(text) <= length else f"{text[: length - 1]}…").replace("$", r"\$")


def _render_svg(figure: Figure) -> str:
    """Render the figure as SVG whose ink follows the page's color scheme."""
    with mpl.rc_context(_STYLE), io.StringIO() as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has its own fonts
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        svg = file.getvalue()
    head, tail = svg[svg.index("<svg") :].replace(INK, "currentColor").split(">", 1)
    return f"{head}>{_COLOR_SCHEME}{tail}"
