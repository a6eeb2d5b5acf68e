"""The results of a run: JSON, and Markdown tables of medians."""

import datetime as dt
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

import orjson

Figures = dict[str, float]  # by name, see FIGURES
Rounds = dict[str, list[float]]  # by name, one value per round


class Figure(NamedTuple):
    """How a figure is formatted: the column's heading, the unit, and whether to show the ratio to the first subject."""

    heading: str
    unit: str = ""
    shows_ratio: bool = True


FIGURES = {
    "cpu_us": Figure("server CPU time a request", "µs"),
    "requests_s": Figure("throughput", "/s"),
    "capacity": Figure("capacity", "/s"),
    "rows_s": Figure("rows", "/s"),
    "rows_cpu_s": Figure("rows a second of server CPU time", "/s"),
    "row_us": Figure("server CPU time a row", "µs"),
    "rate_percent": Figure("of the rate answered", "%", shows_ratio=False),
    "p50_ms": Figure("p50", "ms"),
    "p99_ms": Figure("p99", "ms"),
    "p999_ms": Figure("p99.9", "ms"),
    "max_ms": Figure("longest", "ms"),
    "start_s": Figure("start", "s"),
    "start_cpu_s": Figure("CPU time of the start", "s"),
    "memory_mb": Figure("memory", "MB"),
    "cores": Figure("cores busy", shows_ratio=False),
    "held": Figure("still open", shows_ratio=False),
    "unsent": Figure("never sent", shows_ratio=False),
    "failures": Figure("failures", shows_ratio=False),
}

_KEPT_UP_PERCENT = 99


@dataclass
class Results:
    """Figures by measurement, subject and name; the first subject of a measurement is the reference for the others."""

    options: Mapping[str, object]
    measured: dict[str, dict[str, Rounds]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    machine: str = (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )
    taken: str = field(default_factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))

    def add(self, measurement: str, subject: str, figures: Figures) -> None:
        rounds = self.measured.setdefault(measurement, {}).setdefault(subject, {})
        for name, value in figures.items():
            rounds.setdefault(name, []).append(value)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "latest.json").write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2) + b"\n")
        (folder / "latest.md").write_text(self.to_markdown(), encoding="utf-8")

    def to_markdown(self) -> str:
        """A table for each measurement, then a list of what was not measured and why."""
        tables = [
            f"## {name}\n\n{format_table(subjects)}\n\n{list_overloaded(subjects)}".rstrip()
            for name, subjects in self.measured.items()
        ]
        missing = [f"- {subject}: not measured: {reason}" for subject, reason in self.failures.items()]
        return "\n\n".join([f"Taken {self.taken} on {self.machine}.", *tables, "\n".join(missing)]).rstrip() + "\n"


def format_table(subjects: Mapping[str, Rounds]) -> str:
    """Medians, their range over the rounds, and their ratio to the median of the first subject."""
    first = next(iter(subjects.values()))
    names = [name for name in FIGURES if any(name in rounds for rounds in subjects.values())]
    rows = [
        [subject, *(format_cell(FIGURES[name], rounds.get(name), first.get(name)) for name in names)]
        for subject, rounds in subjects.items()
    ]
    lines = [["", *(FIGURES[name].heading for name in names)], ["---", *("--:" for _ in names)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def list_overloaded(subjects: Mapping[str, Rounds]) -> str:
    """A sentence for each server that answers more slowly than requests are sent to it."""
    rates = {subject: min(rounds.get("rate_percent", [100])) for subject, rounds in subjects.items()}
    return "\n".join(
        f"- {subject} cannot keep up: it answers {rate:.3g} % of the rate, so its latencies are lower bounds."
        for subject, rate in rates.items()
        if rate < _KEPT_UP_PERCENT
    )


def format_cell(figure: Figure, values: list[float] | None, reference: list[float] | None) -> str:
    """``112 µs (109 to 120), 1.8x``; the range only where there was more than one round."""
    if not values:
        return ""
    text = f"{format_number(median(values))} {figure.unit}".rstrip()
    if len(values) > 1 and min(values) < max(values):
        text += f" ({format_number(min(values))} to {format_number(max(values))})"
    if figure.shows_ratio and reference and values is not reference and median(reference) > 0:
        text += f", {format_number(median(values) / median(reference))}x"
    return text


def format_number(value: float) -> str:
    """Three significant digits: a benchmark is no more precise than that."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004
