"""What a run found: kept as JSON, told as Markdown tables of medians."""

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
Rounds = dict[str, list[float]]  # by name, one value a round


class Figure(NamedTuple):
    """How a figure is written: its column, its unit, and whether it is told as a ratio too."""

    heading: str
    unit: str = ""
    ratio: bool = True


FIGURES = {
    "cpu_us": Figure("server CPU time a request", "µs"),
    "requests_s": Figure("throughput", "/s"),
    "capacity": Figure("capacity", "/s"),
    "rows_s": Figure("rows", "/s"),
    "rows_cpu_s": Figure("rows a second of server CPU time", "/s"),
    "row_us": Figure("server CPU time a row", "µs"),
    "p50_ms": Figure("p50", "ms"),
    "p99_ms": Figure("p99", "ms"),
    "p999_ms": Figure("p99.9", "ms"),
    "max_ms": Figure("longest", "ms"),
    "start_s": Figure("start", "s"),
    "memory_mb": Figure("memory", "MB"),
    "cores": Figure("cores busy", ratio=False),
    "held": Figure("still open", ratio=False),
    "unsent": Figure("never sent", ratio=False),
    "failures": Figure("failures", ratio=False),
}


@dataclass
class Results:
    """Figures by measurement, subject and name; the first subject of a measurement is what the others are held to."""

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
        (folder / "latest.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """Every measurement as a table, and after them what could not be measured and why."""
        tables = [f"## {name}\n\n{table(subjects)}" for name, subjects in self.measured.items()]
        missing = [f"- {subject}: not measured: {reason}" for subject, reason in self.failures.items()]
        return "\n\n".join([f"Taken {self.taken} on {self.machine}.", *tables, "\n".join(missing)]).rstrip() + "\n"


def table(subjects: Mapping[str, Rounds]) -> str:
    """Medians with their range over the rounds, and how many times the first subject's each is."""
    first = next(iter(subjects.values()))
    names = [name for name in FIGURES if any(name in rounds for rounds in subjects.values())]
    rows = [
        [subject, *(cell(FIGURES[name], rounds.get(name), first.get(name)) for name in names)]
        for subject, rounds in subjects.items()
    ]
    lines = [["", *(FIGURES[name].heading for name in names)], ["---", *("--:" for _ in names)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(figure: Figure, values: list[float] | None, base: list[float] | None) -> str:
    """``112 µs (109 to 120), 1.8x``; the range only where there was more than one round."""
    if not values:
        return ""
    told = f"{number(median(values))} {figure.unit}".rstrip()
    if len(values) > 1 and min(values) < max(values):
        told += f" ({number(min(values))} to {number(max(values))})"
    if figure.ratio and base and values is not base and median(base) > 0:
        told += f", {number(median(values) / median(base))}x"
    return told


def number(value: float) -> str:
    """Three digits are as many as a benchmark is good for."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004
