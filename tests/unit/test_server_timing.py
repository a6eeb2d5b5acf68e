"""The Server-Timing field: the duration of each stage."""

import pytest

from service.http.context import RequestContext
from service.monitoring import server_timing

MICROSECOND = 1000  # ns


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([], "total;dur=0.000"),
        ([("admit", 12), ("render", 90)], "admit;dur=0.012, render;dur=0.078, total;dur=0.090"),
        ([("admit", 999), ("infer", 1999)], "admit;dur=0.999, infer;dur=1.000, total;dur=1.999"),
        ([("infer", 12_345_678)], "infer;dur=12345.678, total;dur=12345.678"),
    ],
)
def test_stages_are_in_milliseconds(stages: list[tuple[str, int]], expected: str) -> None:
    """Each stage lasts from the end of the one before it; the total comes last."""
    context = RequestContext("GET", "/", None)
    context.stages = {stage: context.started + end * MICROSECOND for stage, end in stages}
    assert server_timing.header(context) == expected
