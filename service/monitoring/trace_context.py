"""Trace contexts (W3C Trace Context): the ``traceparent`` field, strictly parsed."""

import re

from service.http.context import TraceContext, random_id

# A later version may add fields after another dash; the first four keep their meaning. An id of zeros is invalid.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]([0-9a-f])(-.*)?")
_SAMPLED = "13579bdf"  # the lowest bit of the flags is 1


def parse(traceparent: str) -> TraceContext | None:
    """The client's span, or None if the field is not as the specification has it."""
    parts = _parse(traceparent)
    return TraceContext(*parts) if parts else None


def continue_trace(traceparent: str) -> TraceContext | None:
    """The client's trace, with a span id for this request; a new trace if the field is invalid, None if it is empty."""
    if not traceparent:
        return None
    trace_id, _, is_sampled = _parse(traceparent) or (random_id(16), "", False)
    return TraceContext(trace_id, random_id(8), is_sampled)


def _parse(traceparent: str) -> tuple[str, str, bool] | None:
    """Trace id, span id, and whether the client records the trace."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if not match:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (more and version == "00"):
        return None
    return trace_id, span_id, flags in _SAMPLED
