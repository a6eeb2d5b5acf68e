"""W3C Trace Context: a caller's trace is taken over if it is told as the specification has it, and not otherwise."""

import re

import pytest

from service.http.messages import Request
from service.monitoring import trace_context
from service.monitoring.trace_context import Parent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def take_over(**headers: str) -> str | None:
    found = trace_context.continue_trace(Request("GET", "/", headers, lambda: b""))
    return found.header if found else None


@pytest.mark.parametrize(
    ("given", "sampled"),
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
def test_a_trace_is_taken_over(given: str, sampled: bool) -> None:
    """With the caller's wish to have it recorded; of flags and versions to come, what is known of them."""
    assert trace_context.parse(given) == Parent(TRACE, SPAN, sampled)
    found = take_over(traceparent=given)
    assert found
    assert re.fullmatch(rf"00-{TRACE}-(?!{SPAN})(?!0{{16}})[0-9a-f]{{16}}-0{sampled:d}", found)


@pytest.mark.parametrize(
    "given",
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
def test_what_cannot_be_read_begins_a_new_trace(given: str) -> None:
    """Which nobody asked to have recorded."""
    assert trace_context.parse(given) is None
    found = take_over(traceparent=given)
    assert found
    assert re.fullmatch(rf"00-(?!{TRACE})[0-9a-f]{{32}}-[0-9a-f]{{16}}-00", found)


def test_without_a_caller_there_is_no_trace() -> None:
    """A request id does."""
    assert take_over() is None
    assert take_over(tracestate="a=b") is None
