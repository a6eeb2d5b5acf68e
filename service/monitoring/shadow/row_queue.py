"""Rows that wait to be computed by a shadow."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.arrays import Array, Prediction, join_rows
from service.inference.model import Model


class Rows(NamedTuple):
    """Rows [rows, features] and what the serving version gave for them, [rows, columns]."""

    rows: Array
    outputs: Array

    def only(self, chosen: NDArray[np.bool_]) -> "Rows":
        """The rows that a mask chooses."""
        return Rows(self.rows[chosen], self.outputs[chosen])


class RowQueue:
    """At most ``max_rows`` rows of all models; those for which there is no room are counted. Threads may share it."""

    def __init__(self, max_rows: int) -> None:
        self._room = max_rows
        self._waiting: dict[Model, deque[Rows]] = {}  # by the serving version; the next one to take from is first
        self._dropped: Counter[tuple[Model, str]] = Counter()
        self._lock = threading.Lock()

    def put(self, model: Model, predictions: Sequence[Prediction], drop_reason: str) -> None:
        """Add the rows of some predictions, or count them as dropped for this reason."""
        wanted = sum(len(each.rows) for each in predictions)
        with self._lock:
            taken = min(wanted, self._room)
            self._room -= taken
            if taken < wanted:
                self._dropped[model, drop_reason] += wanted - taken
        if taken:
            rows = _first_rows([each.rows for each in predictions], taken)
            outputs = _first_rows([each.outputs for each in predictions], taken)
            with self._lock:
                self._waiting.setdefault(model, deque()).append(Rows(rows, outputs))

    def take(self, max_rows: Callable[[Model], int]) -> tuple[Model, Rows] | None:
        """At most so many rows of one model, the oldest first; models take turns. None if there are none."""
        with self._lock:
            if not self._waiting:
                return None
            model = next(iter(self._waiting))
            waiting = self._waiting.pop(model)
            taken, wanted = [], max_rows(model)
            while waiting and wanted:
                batch = waiting.popleft()
                if len(batch.rows) > wanted:
                    waiting.appendleft(Rows(*(part[wanted:] for part in batch)))
                    batch = Rows(*(part[:wanted] for part in batch))
                taken.append(batch)
                wanted -= len(batch.rows)
                self._room += len(batch.rows)
            if waiting:
                self._waiting[model] = waiting
        return model, Rows(*(np.concatenate(parts) for parts in zip(*taken, strict=True)))

    def take_dropped(self) -> dict[tuple[Model, str], int]:
        """How many rows were dropped since the last call, by model and reason."""
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
            return dropped

    def clear(self) -> None:
        """Forget the rows that wait and what was dropped."""
        self.drop_all("")
        self.take_dropped()

    def drop_all(self, drop_reason: str) -> None:
        """Drop the rows that wait."""
        with self._lock:
            for model, waiting in self._waiting.items():
                rows = sum(len(batch.rows) for batch in waiting)
                self._dropped[model, drop_reason] += rows
                self._room += rows
            self._waiting.clear()


def _first_rows(arrays: Sequence[Array], count: int) -> Array:
    """The first rows of several arrays [rows, columns], copied: what is not taken is not kept in memory either."""
    ends = [*accumulate([len(array) for array in arrays], initial=0)]
    if ends[-1] == count:
        return join_rows(arrays)
    return join_rows([array[: count - start] for start, array in zip(ends, arrays, strict=False) if start < count])
