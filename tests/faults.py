"""What tests of faults share: the long form, and a table of what was lost."""

import multiprocessing
from collections.abc import Callable
from typing import NamedTuple

import pytest
from callers import Tally

_ROWS = pytest.StashKey[list["Row"]]()


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
def report(pytestconfig: pytest.Config) -> Report:
    """Add a line to the table."""

    def add(fault: str, times: int, tally: Tally, more: str = "") -> None:
        row = Row(fault, times, tally.sent, tally.lost, tally.wrong, tally.worst, more)
        pytestconfig.stash.setdefault(_ROWS, []).append(row)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, as docs/reliability.md has it."""
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section(f"chaos, on {multiprocessing.cpu_count()} cores")
    terminalreporter.line("| fault | how often | requests sent | lost | wrong | worst latency | |")
    terminalreporter.line("|---|---|---|---|---|---|---|")
    for row in rows:
        counts = f"{row.times:,} | {row.sent:,} | {row.lost} | {row.wrong}"
        terminalreporter.line(f"| {row.fault} | {counts} | {row.worst * 1e3:.0f} ms | {row.more} |")
