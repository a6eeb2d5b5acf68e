"""The trace that a request belongs to, as its caller names it: W3C Trace Context's ``traceparent``, strictly read."""

import re
from random import getrandbits  # as in `gate`: an id is no secret
from typing import NamedTuple

from service.http.context import Trace
from service.http.messages import Request

# A version that is yet to come may say more behind another dash; of what is known today it says the same.
_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


class Parent(NamedTuple):
    """Who asks: an operation of the caller's, in a trace that spans all services that had a part in it."""

    trace_id: str
    span_id: str
    sampled: bool


def parent(given: str) -> Parent | None:
    """What a ``traceparent`` says, or nothing if it is not as the specification has it."""
    match = _PARENT.fullmatch(given)
    if not match or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    if not int(match["trace"], 16) or not int(match["span"], 16):
        return None
    return Parent(match["trace"], match["span"], bool(int(match["flags"], 16) & 1))


def take_over(request: Request) -> Trace | None:
    """The caller's trace; a new one if what it says cannot be read; nothing if it says nothing."""
    given = request.headers.get("traceparent", "")
    if not given:
        return None
    asking = parent(given) or Parent(f"{_number(128):032x}", "", sampled=False)
    return Trace(asking.trace_id, f"{_number(64):016x}", asking.sampled)


def _number(bits: int) -> int:
    """A number that is not 0, which would be no id."""
    return getrandbits(bits) or 1
