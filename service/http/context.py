"""What becomes known of a request while it is handled; observers read it once the response is made."""

import re
from collections.abc import Mapping
from random import getrandbits  # seeded anew in every worker; asking the kernel takes 3 us, and an id is no secret
from time import perf_counter_ns
from types import MappingProxyType
from typing import Any, NamedTuple

from service.arrays import Prediction
from service.http.routing import Route

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
STAGES = ("admit", "parse", "validate", "infer", "render")
NO_COUNTS: Mapping[str, int] = MappingProxyType({})


class TraceContext(NamedTuple):
    """A request's place in a distributed trace (W3C Trace Context); ``span`` is OpenTelemetry's, if spans are sent."""

    trace_id: str
    span_id: str
    is_sampled: bool
    span: Any = None

    @property
    def header(self) -> str:
        """The value of ``traceresponse``, in the form of ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


class RequestContext:
    """Written while a request is handled, read by the observers afterwards.

    ``stages`` has the end of each completed stage by name, in ns of ``perf_counter``; the first began at
    ``started``, the last ended at ``finished``, and ``duration`` is the time between. A stage that failed is missing:
    the next one includes its time. ``route`` is None if no route matched.
    ``model`` is the `service.inference.model.Model` that handled the request, ``error`` the problem code of an error
    response, ``out_of_bounds`` how many values of each feature were rejected because they lie outside its bounds, or
    are none of its categories.
    """

    # Until they become known; as attributes of the class they cost a request nothing.
    request_id = ""
    trace: TraceContext | None = None
    model: Any = None
    prediction: Prediction | None = None
    error = ""
    out_of_bounds = NO_COUNTS
    status = 0
    finished = duration = 0

    def __init__(self, method: str, path: str, route: Route | None) -> None:
        self.started = perf_counter_ns()
        self.method = method
        self.path = path
        self.route = route
        self.stages: dict[str, int] = {}

    def mark(self, stage: str) -> None:
        """Note the end of one of the `STAGES`."""
        self.stages[stage] = perf_counter_ns()

    def finish(self, status: int) -> None:
        """Note the response's status, and the end of the last stage."""
        self.status = status
        self.finished = self.stages["render"] = perf_counter_ns()
        self.duration = self.finished - self.started

    @property
    def rows(self) -> int:
        """How many rows were predicted."""
        return len(self.prediction.rows) if self.prediction else 0


def random_id(size: int) -> str:
    """A new id of ``size`` bytes in hex; 0, which is no valid id, is left out."""
    return (getrandbits(8 * size) or 1).to_bytes(size).hex()


def choose_request_id(given: str) -> str:
    """The client's X-Request-ID if it can go into a header and a log line unchanged, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else random_id(16)
