"""What became known of one request while it was answered; the log, the metrics and the spans tell of it."""

from collections.abc import Mapping
from time import perf_counter_ns
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
NONE: Mapping[str, int] = MappingProxyType({})


class Predicted(NamedTuple):
    """One run of the network that was asked for: ``rows`` [rows, features], ``probabilities`` [rows, labels]."""

    rows: Array
    probabilities: Array


class Record:
    """Written by whoever finds something out, read once the answer is made.

    ``laps`` are the stages that are behind the request, each with the time at its end in ns of ``perf_counter``; the
    first began at ``started``. A stage that failed is not there by its name: what follows it took its time. ``version``
    is of the model that was asked, ``error`` the kind of problem that is the answer. ``out_of_bounds``
    counts, by feature, the values that were refused because they lie beyond its bounds.
    """

    __slots__ = ("error", "laps", "out_of_bounds", "predicted", "request_id", "started", "version")

    def __init__(self) -> None:
        self.started = perf_counter_ns()
        self.laps: list[tuple[str, int]] = []
        self.request_id = ""
        self.version: int | None = None
        self.predicted: Predicted | None = None
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
