"""What became known of one request while it was answered; the log, the metrics and the spans tell of it."""

from collections.abc import Mapping
from time import perf_counter_ns
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
NONE: Mapping[str, int] = MappingProxyType({})
Places = NDArray[np.intp] | list[int]  # of values in rows, counted row by row


class Trace(NamedTuple):
    """A request as a part of a trace, by W3C Trace Context; ``span`` is what `spans` records of it, if it does."""

    trace_id: str
    span_id: str
    sampled: bool
    span: Any = None

    @property
    def header(self) -> str:
        """What the answer says of it: ``traceresponse``, in the shape of ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"


class Predicted(NamedTuple):
    """One run of the network that was asked for: ``rows`` [rows, features], ``probabilities`` [rows, labels]."""

    rows: Array
    probabilities: Array


class Record:
    """Written by whoever finds something out, read once the answer is made.

    ``laps`` are the stages that are behind the request, each with the time at its end in ns of ``perf_counter``; the
    first began at ``started``. A stage that failed is not there by its name: what follows it took its time. ``version``
    is of the model that was asked, ``error`` the kind of problem that is the answer, ``unlike`` where in the predicted
    rows a value is that no training row of the answer had, ``out_of_bounds`` how many values of each feature were
    refused because they lie beyond its bounds, ``trace`` what the request is a part of.
    """

    __slots__ = ("error", "laps", "out_of_bounds", "predicted", "request_id", "started", "trace", "unlike", "version")

    def __init__(self) -> None:
        self.started = perf_counter_ns()
        self.laps: list[tuple[str, int]] = []
        self.request_id = ""
        self.trace: Trace | None = None
        self.version: int | None = None
        self.predicted: Predicted | None = None
        self.unlike: Places = []
        self.error = ""
        self.out_of_bounds: Mapping[str, int] = NONE

    def lap(self, stage: str) -> None:
        """A stage of the work is done: admit, parse, validate, infer or render."""
        self.laps.append((stage, perf_counter_ns()))

    @property
    def rows(self) -> int:
        """How many rows the network was asked about."""
        return len(self.predicted.rows) if self.predicted else 0

    @property
    def spent(self) -> int:
        """Nanoseconds from the beginning to the last stage's end."""
        return self.laps[-1][1] - self.started if self.laps else 0
