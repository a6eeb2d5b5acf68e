"""What tests of faults share: callers while something is done, the long form, and a table of what was lost."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from support.closed_loop_clients import Load, Question, Tally

_ROW = "chaos"


class Row(NamedTuple):
    """One line of the table; seconds and MB."""

    fault: str
    times: int
    sent: int
    lost: int
    wrong: int
    worst: float
    more: str


Report = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests/chaos")
    parser.addoption("--picture", metavar="PATH", help="where to draw what the soak of tests/chaos held over time")


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether to take the time for figures, and not only for whether it works."""
    return bool(pytestconfig.getoption("long", default=False))


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Add a line to the table."""

    def add(fault: str, times: int, tally: Tally, more: str = "") -> None:
        row = Row(fault, times, tally.sent, tally.lost, tally.wrong, tally.worst, more)
        record_property(_ROW, tuple(row))  # which comes here from the workers of pytest-xdist as well

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, as docs/reliability.md has it."""
    reports = (report for kind in terminalreporter.stats.values() for report in kind)
    properties = (
        each for report in reports if getattr(report, "when", "") == "call" for each in report.user_properties
    )
    rows = [Row(*row) for name, row in properties if name == _ROW]
    if not rows:
        return
    terminalreporter.section(f"chaos, on {multiprocessing.cpu_count()} cores")
    terminalreporter.line("| fault | how often | requests sent | lost | wrong | worst latency | |")
    terminalreporter.line("|---|---|---|---|---|---|---|")
    for row in rows:
        counts = f"{row.times:,} | {row.sent:,} | {row.lost} | {row.wrong}"
        terminalreporter.line(f"| {row.fault} | {counts} | {row.worst * 1e3:.0f} ms | {row.more} |")


def nothing_lost(*tallies: Tally) -> None:
    for tally in tallies:
        assert (tally.lost, tally.wrong, tally.left_open) == (0, 0, 0)
        assert set(tally.statuses) == {200}
        assert tally.right == tally.sent > 0


def under_load(
    port: int, least: int, act: Callable[[], None], asked: Sequence[Question] = ()
) -> tuple[Tally, Tally, int]:
    """Do something again and again until so many requests were sent; what came of them, and how often it was done."""
    done = 0
    with Load(port, asked=asked) as hurried, Load(port, callers=30, pause=0.3, asked=asked) as calm:
        while hurried.tally.sent < least or done < 2:
            time.sleep(0.3)
            act()
            done += 1
    return hurried.tally, calm.tally, done


def both(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.sent + other.sent,
        one.right + other.right,
        one.lost + other.lost,
        one.wrong + other.wrong,
        latencies=one.latencies + other.latencies,
    )
