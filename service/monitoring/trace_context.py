"""Trace contexts (W3C Trace Context): the ``traceparent`` field, strictly parsed."""

import re
from random import getrandbits  # seeded anew in every worker; an id is no secret

from service.http.context import TraceContext
from service.http.messages import Request

# A later version may add fields after another dash; the first four keep their meaning.
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


def parse(traceparent: str) -> TraceContext | None:
    """The client's span, or None if the field is not as the specification has it."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if not match or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    if not int(match["trace"], 16) or not int(match["span"], 16):
        return None
    return TraceContext(match["trace"], match["span"], bool(int(match["flags"], 16) & 1))


def continue_trace(request: Request) -> TraceContext | None:
    """The client's trace, with a span id for this request; a new trace if the field is invalid, None without one."""
    traceparent = request.headers.get("traceparent", "")
    if not traceparent:
        return None
    parent = parse(traceparent) or TraceContext(f"{_non_zero_bits(128):032x}", "", is_sampled=False)
    return TraceContext(parent.trace_id, f"{_non_zero_bits(64):016x}", parent.is_sampled)


def _non_zero_bits(bits: int) -> int:
    return getrandbits(bits) or 1  # 0 is no valid id
