"""Where a request's time went, as a header tells it."""

import pytest

from service.http.context import RequestContext
from service.monitoring import server_timing

MICROSECOND = 1000  # ns


@pytest.mark.parametrize(
    ("laps", "told"),
    [
        ([], "total;dur=0.000"),
        ([("admit", 12), ("render", 90)], "admit;dur=0.012, render;dur=0.078, total;dur=0.090"),
        ([("admit", 999), ("infer", 1999)], "admit;dur=0.999, infer;dur=1.000, total;dur=1.999"),
        ([("infer", 12_345_678)], "infer;dur=12345.678, total;dur=12345.678"),
    ],
)
def test_stages_are_told_in_milliseconds(laps: list[tuple[str, int]], told: str) -> None:
    """Each stage from the end of the one before it; all of it last."""
    record = RequestContext("POST", "/predict", None)
    record.laps = [(stage, record.started + end * MICROSECOND) for stage, end in laps]
    assert server_timing.header(record) == told
