"""Which requests are logged, and with which fields."""

import logging

import pytest

from service.http.context import RequestContext
from service.http.routing import Protocol, Route
from service.monitoring.access_log import AccessLog, RefusalLog

SECOND = 1_000_000_000


ROUTE = Route("GET", "/livez", "alive", "", "", Protocol.SERVICE, {})


def log(access_log: AccessLog, at: float, status: int = 200, route: Route | None = ROUTE) -> None:
    """Log a request that arrived ``at`` so many seconds and took 1.234 ms."""
    context = RequestContext("GET", route.path if route else "/a\nb", route)
    context.started = int(at * SECOND)
    context.finished, context.duration = int(at * SECOND) + 1_234_000, 1_234_000
    context.request_id = "mine"
    context.status = status
    access_log.observe([context])


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "menagerie")


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (0.1, 10), (10, 1010), (1e9, 10_001)])
def test_lines_are_limited_by_rate(caplog: pytest.LogCaptureFixture, rate: float, expected: int) -> None:
    """A hundred requests a second for a hundred seconds: as many lines as the rate allows; the others are counted."""
    access_log = AccessLog(rate, 1)
    for number in range(10_001):
        log(access_log, 1000 + number / 100)
    assert abs(len(caplog.records) - expected) <= 1
    caplog.records[:] = []
    log(access_log, 1100, 500)
    left_out = caplog.records[0].fields.get("left_out", 0)  # type: ignore[attr-defined]
    assert 0 <= left_out <= 10_001


def test_lines_and_left_out_requests_add_up(caplog: pytest.LogCaptureFixture) -> None:
    """Each line says how many requests before it were left out; with the lines, these are all requests."""
    access_log = AccessLog(3, 3)
    for number in range(1000):
        log(access_log, 1000 + number / 100)
    log(access_log, 1010, 404)
    lines = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert len(lines) + sum(fields.get("left_out", 0) for fields in lines) == 1001
    assert "left_out" not in lines[0]


@pytest.mark.parametrize(
    ("status", "level"), [(400, "INFO"), (404, "INFO"), (422, "INFO"), (500, "ERROR"), (501, "INFO"), (503, "WARNING")]
)
def test_failures_have_a_limit_of_their_own(caplog: pytest.LogCaptureFixture, status: int, level: str) -> None:
    """A flood of successes does not hide them; the level says whether the service is at fault."""
    access_log = AccessLog(1, 100)
    for _ in range(100):
        log(access_log, 1000)
    for _ in range(1000):
        log(access_log, 1000, status)
    assert [record.levelname for record in caplog.records[2:]] == [level] * 101
    log(access_log, 1001, status)
    assert caplog.records[-1].fields["left_out"] == 899  # type: ignore[attr-defined]


def test_the_log_level_is_respected(caplog: pytest.LogCaptureFixture) -> None:
    """With gunicorn's `--log-level error` only failures of the service are logged."""
    caplog.set_level(logging.ERROR, "menagerie")
    for status in (200, 404, 503, 500):
        log(AccessLog(1e9, 1e9), 1000, status)
    assert [record.getMessage() for record in caplog.records] == ["GET /livez 500"]


def test_the_path_is_logged_only_if_no_route_matched(caplog: pytest.LogCaptureFixture) -> None:
    """And then escaped, so that it cannot break the line."""
    log(AccessLog(1, 1), 1000)
    log(AccessLog(1, 1), 1000, 404, route=None)
    known, unknown = (record.fields for record in caplog.records)  # type: ignore[attr-defined]
    assert known == {"request_id": "mine", "method": "GET", "route": "/livez", "status": 200, "duration_ms": 1.234}
    assert unknown["path"] == r"/a\nb"
    assert "route" not in unknown
    assert caplog.records[1].getMessage() == r"GET '/a\nb' 404"


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (10, 10), (1e9, 1000)])
def test_refused_connections_have_a_limit_too(caplog: pytest.LogCaptureFixture, rate: float, expected: int) -> None:
    """A thousand at once: a second's worth of lines."""
    refusal_log = RefusalLog(rate)
    for _ in range(1000):
        refusal_log.observe(400, "malformed-head", "Invalid request line")
    assert expected <= len(caplog.records) <= expected + 2  # it may take a moment
    for record in caplog.records:
        assert record.getMessage() == "refused 400: Invalid request line"
