"""Which requests a line is written for, and what it says."""

import logging

import pytest

from service.http.messages import Reply, Request
from service.monitoring.access_log import Access

SECOND = 1_000_000_000


def tell(access: Access, at: float, status: int = 200, route: str = "/livez") -> None:
    request = Request("GET", route or "/a\nb", {}, lambda: b"", route=route)
    request.record.started = int(at * SECOND)
    request.record.laps = [("render", int(at * SECOND) + 1_234_000)]
    request.record.request_id = "mine"
    access.tell(request, Reply(status, b""))


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "menagerie")


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (0.1, 10), (10, 1010), (1e9, 10_001)])
def test_no_more_are_told_of_than_are_wanted(caplog: pytest.LogCaptureFixture, rate: float, expected: int) -> None:
    """A hundred a second for a hundred seconds: so many lines, and all others counted."""
    access = Access(rate, 1)
    for number in range(10_001):
        tell(access, 1000 + number / 100)
    assert abs(len(caplog.records) - expected) <= 1
    caplog.records[:] = []
    tell(access, 1100, 500)
    left_out = caplog.records[0].fields.get("left_out", 0)  # type: ignore[attr-defined]
    assert 0 <= left_out <= 10_001


def test_what_is_left_out_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Lines and what they say was left out before them are all requests."""
    access = Access(3, 3)
    for number in range(1000):
        tell(access, 1000 + number / 100)
    tell(access, 1010, 404)
    told = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert len(told) + sum(fields.get("left_out", 0) for fields in told) == 1001
    assert "left_out" not in told[0]


@pytest.mark.parametrize(
    ("status", "level"), [(400, "INFO"), (404, "INFO"), (422, "INFO"), (500, "ERROR"), (501, "INFO"), (503, "WARNING")]
)
def test_a_failure_is_told_of_beside_a_flood(caplog: pytest.LogCaptureFixture, status: int, level: str) -> None:
    """The level says whether it was us."""
    access = Access(1, 100)
    for _ in range(100):
        tell(access, 1000)
    for _ in range(1000):
        tell(access, 1000, status)
    assert [record.levelname for record in caplog.records[2:]] == [level] * 101
    tell(access, 1001, status)
    assert caplog.records[-1].fields["left_out"] == 899  # type: ignore[attr-defined]


def test_nothing_is_made_that_nobody_wants(caplog: pytest.LogCaptureFixture) -> None:
    """With gunicorn's `--log-level error` only our own failures are lines."""
    caplog.set_level(logging.ERROR, "menagerie")
    for status in (200, 404, 503, 500):
        tell(Access(1e9, 1e9), 1000, status)
    assert [record.getMessage() for record in caplog.records] == ["GET /livez 500"]


def test_a_path_is_told_only_if_it_is_no_route(caplog: pytest.LogCaptureFixture) -> None:
    """And then so that it breaks no line."""
    tell(Access(1, 1), 1000)
    tell(Access(1, 1), 1000, 404, route="")
    known, unknown = (record.fields for record in caplog.records)  # type: ignore[attr-defined]
    assert known == {"request_id": "mine", "method": "GET", "route": "/livez", "status": 200, "duration_ms": 1.234}
    assert unknown["path"] == r"/a\nb"
    assert "route" not in unknown
    assert caplog.records[1].getMessage() == r"GET '/a\nb' 404"
