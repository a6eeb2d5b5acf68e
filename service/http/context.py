"""What becomes known of a request while it is handled; observers read it once the response is made."""

import re
from collections.abc import Mapping
from random import getrandbits  # seeded anew in every worker; asking the kernel takes 3 us, and an id is no secret
from time import perf_counter_ns
from types import MappingProxyType
from typing import Any, NamedTuple

from service.arrays import Prediction  # noqa: TC001 (beside what is used at run time)
from service.http.routing import Route

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
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
        return f"00-{self.trace_id}-{self.span_id}-{self.is_sampled:02x}"


class RequestContext:
    """Written while a request is handled, read by the observers afterwards.

    ``stages`` has the name and the end of each completed stage, in ns of ``perf_counter``; the first began at
    ``started``. A stage that failed is missing: the next one includes its time. ``route`` is None if no route matched.
    ``version`` is the model version that handled the request, ``error`` the problem code of an error response,
    ``out_of_bounds`` how many values of each feature were rejected because they lie outside its bounds.
    """

    __slots__ = (
        "error",
        "method",
        "out_of_bounds",
        "path",
        "prediction",
        "request_id",
        "route",
        "stages",
        "started",
        "status",
        "trace",
        "version",
    )

    def __init__(self, method: str, path: str, route: Route | None) -> None:
        self.started = perf_counter_ns()
        self.method = method
        self.path = path
        self.route = route
        self.stages: list[tuple[str, int]] = []
        self.request_id = ""
        self.trace: TraceContext | None = None
        self.version: int | None = None
        self.prediction: Prediction | None = None
        self.error = ""
        self.out_of_bounds = NO_COUNTS
        self.status = 0

    def mark(self, stage: str) -> None:
        """Note the end of a stage: admit, parse, validate, infer or render."""
        self.stages.append((stage, perf_counter_ns()))

    @property
    def rows(self) -> int:
        """How many rows were predicted."""
        return len(self.prediction.rows) if self.prediction else 0

    @property
    def finished(self) -> int:
        """The end of the last stage, in ns of ``perf_counter``."""
        return self.stages[-1][1] if self.stages else self.started

    @property
    def duration(self) -> int:
        """Nanoseconds from the start to the end of the last stage."""
        return self.finished - self.started

    def stage_duration(self, name: str) -> int:
        """Nanoseconds of the stage of that name; 0 if it was not completed."""
        start = self.started
        for stage, end in self.stages:
            if stage == name:
                return end - start
            start = end
        return 0


def choose_request_id(given: str) -> str:
    """The client's X-Request-ID if it can go into a header and a log line unchanged, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}"
