"""What is wrong with rows, in the words of ``/predict``: codes in, lists of faults as an Arrow column out."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from models.manifest import Feature
from service.http.errors import Fault, UnacceptableError
from service.inference.validation import Validator
from service.score.columns import Code, Codes

FAULTS = pa.list_(pa.struct([pa.field(name, pa.string(), nullable=False) for name in Fault._fields]))
OVERFLOWED = Fault("", "overflow", "the network's answer to this row is not finite")

Counts = Counter[str]

_EXAMPLES: dict[Code, Any] = {
    Code.NOT_FINITE: math.nan,
    Code.STRING: "",
    Code.BOOLEAN: True,
    Code.LIST: [],
    Code.OBJECT: {},
}


class Faults:
    """The faults that ``features`` can have whose columns are ``names``.

    Each is asked of the validator once, so that its code and its words are the service's own.
    """

    def __init__(self, features: Sequence[Feature], names: Sequence[str]) -> None:
        self._ask = Validator(features, max_rows=1, max_errors=1).rows
        self._features = features
        self._names = names
        self._known: dict[tuple[int, int], Fault] = {}

    def of(self, codes: Codes) -> tuple[pa.Array, Counts]:
        """For each row of codes [rows, features] its faults, none of them without any, and how many there are of each.

        A row without a fault was answered with what is no number.
        """
        patterns, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        told = [self._told(pattern) for pattern in patterns.tolist()]
        total: Counts = Counter()
        for faults, count in zip(told, counts.tolist(), strict=True):
            total.update({f"{fault.field} {fault.code}".strip(): count for fault in faults})
        return column(told).take(pa.array(inverse.reshape(-1))), total

    def _told(self, pattern: list[int]) -> list[Fault]:
        return [self._fault(index, code) for index, code in enumerate(pattern) if code] or [OVERFLOWED]

    def _fault(self, index: int, code: int) -> Fault:
        if (index, code) not in self._known:
            self._known[index, code] = self._asked(self._features[index], Code(code))._replace(field=self._names[index])
        return self._known[index, code]

    def _asked(self, feature: Feature, code: Code) -> Fault:
        row = {one.name: one.minimum for one in self._features}
        if code is Code.MISSING:
            del row[feature.name]
        else:
            row[feature.name] = _EXAMPLES.get(code, _beyond(feature))
        try:
            self._ask([row], "")
        except UnacceptableError as refused:
            return refused.faults[0]
        raise AssertionError(f"{feature.name} takes what has the code {code}")


def column(told: Sequence[Sequence[Fault]]) -> pa.Array:
    """Lists of faults as a column of Arrow's."""
    return pa.array([[fault._asdict() for fault in faults] for faults in told], FAULTS)


def _beyond(feature: Feature) -> float:
    above = math.nextafter(feature.maximum, math.inf)
    return above if math.isfinite(above) else math.nextafter(feature.minimum, -math.inf)
