"""W3C Trace Context: a client's trace is continued if its `traceparent` follows the specification, and only then."""

import re

import pytest

from service.http.context import TraceContext
from service.monitoring import trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def continue_trace(**headers: str) -> str | None:
    """The `traceresponse` of a request with these headers."""
    trace = trace_context.continue_trace(headers.get("traceparent", ""))
    return trace.header if trace else None


@pytest.mark.parametrize(
    ("traceparent", "is_sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what the future will be like", True),
        (f"01-{TRACE}-{SPAN}-01-", True),
    ],
)
def test_a_valid_trace_is_continued(traceparent: str, is_sampled: bool) -> None:
    """The client's sampling decision is kept; unknown flags and the additions of later versions are ignored."""
    assert trace_context.parse(traceparent) == TraceContext(TRACE, SPAN, is_sampled)
    traceresponse = continue_trace(traceparent=traceparent)
    assert traceresponse
    assert re.fullmatch(rf"00-{TRACE}-(?!{SPAN})(?!0{{16}})[0-9a-f]{{16}}-0{is_sampled:d}", traceresponse)


@pytest.mark.parametrize(
    "traceparent",
    [
        "x",
        f"CC-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{GOOD}-",
        f"{GOOD}-more",
        f"{GOOD},{GOOD}",
        f"cc-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-011",
        f"cc-{TRACE}-{SPAN}-01,{GOOD}",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[1:]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-\u0660\u0661",  # digits, but not these
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_an_invalid_field_starts_a_new_trace(traceparent: str) -> None:
    """It is not sampled."""
    assert trace_context.parse(traceparent) is None
    traceresponse = continue_trace(traceparent=traceparent)
    assert traceresponse
    assert re.fullmatch(rf"00-(?!{TRACE})[0-9a-f]{{32}}-[0-9a-f]{{16}}-00", traceresponse)


def test_without_the_field_there_is_no_trace() -> None:
    """The request id is enough."""
    assert continue_trace() is None
    assert continue_trace(tracestate="a=b") is None
