"""What the tests of faults share: load while something is done, the long form, and a table of what was lost."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from support.closed_loop_clients import Exchange, Load, LoadResult

_PROPERTY = "chaos"


class Row(NamedTuple):
    """One line of the table; ``max_latency`` is in seconds."""

    fault: str
    times: int
    sent: int
    lost: int
    wrong: int
    max_latency: float
    notes: str


Report = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests/chaos")
    parser.addoption("--picture", metavar="PATH", help="where to draw what the soak of tests/chaos held over time")


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether to take the time for figures, and not only for pass or fail."""
    return bool(pytestconfig.getoption("long", default=False))


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Add a line to the table."""

    def add(fault: str, times: int, result: LoadResult, notes: str = "") -> None:
        row = Row(fault, times, result.sent, result.lost, result.wrong, result.max_latency, notes)
        record_property(_PROPERTY, tuple(row))  # which pytest-xdist passes on from its workers

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, as docs/reliability.md has it."""
    reports = (report for category in terminalreporter.stats.values() for report in category)
    properties = (
        pair for report in reports if getattr(report, "when", "") == "call" for pair in report.user_properties
    )
    rows = [Row(*row) for name, row in properties if name == _PROPERTY]
    if not rows:
        return
    terminalreporter.section(f"chaos, on {multiprocessing.cpu_count()} cores")
    terminalreporter.line("| fault | how often | requests sent | lost | wrong | worst latency | |")
    terminalreporter.line("|---|---|---|---|---|---|---|")
    for row in rows:
        counts = f"{row.times:,} | {row.sent:,} | {row.lost} | {row.wrong}"
        terminalreporter.line(f"| {row.fault} | {counts} | {row.max_latency * 1e3:.0f} ms | {row.notes} |")


def require_nothing_lost(*results: LoadResult) -> None:
    """Assert that every request of every load got its correct response."""
    for result in results:
        assert (result.lost, result.wrong, result.left_open) == (0, 0, 0)
        assert set(result.statuses) == {200}
        assert result.correct == result.sent > 0


def repeat_under_load(
    port: int, min_requests: int, action: Callable[[], None], exchanges: Sequence[Exchange] = ()
) -> tuple[LoadResult, LoadResult, int]:
    """Repeat an action until so many requests were sent; the results of busy and of calm clients, and the repeats."""
    repeats = 0
    with Load(port, exchanges=exchanges) as busy, Load(port, clients=30, pause=0.3, exchanges=exchanges) as calm:
        while busy.result.sent < min_requests or repeats < 2:
            time.sleep(0.3)
            action()
            repeats += 1
    return busy.result, calm.result, repeats


def merge(one: LoadResult, other: LoadResult) -> LoadResult:
    """The result of two loads as one."""
    return LoadResult(
        one.sent + other.sent,
        one.correct + other.correct,
        one.lost + other.lost,
        one.wrong + other.wrong,
        latencies=one.latencies + other.latencies,
    )
