"""Fault codes as the faults that ``/predict`` reports, in an Arrow column of lists."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from models.feature import Feature
from service.http.errors import Fault, UnacceptableError
from service.inference.validation import Validator
from service.score.columns import Codes, FaultCode

FAULT_LIST = pa.list_(pa.struct([pa.field(name, pa.string(), nullable=False) for name in Fault._fields]))

FaultCounts = Counter[str]

_OVERFLOW = Fault("", "overflow", "the network's output for this row is not finite")
_INVALID_VALUES: dict[FaultCode, Any] = {
    FaultCode.NOT_FINITE: math.nan,
    FaultCode.STRING: "",
    FaultCode.BOOLEAN: True,
    FaultCode.LIST: [],
    FaultCode.OBJECT: {},
}


class FaultReporter:
    """Turns fault codes into faults that name the columns ``names`` of the ``features``.

    Each fault comes from the validator, which is given one example of it, so code and message are the service's own.
    """

    def __init__(self, features: Sequence[Feature], names: Sequence[str]) -> None:
        self._validate = Validator(features, max_rows=1, max_errors=1).validate_rows
        self._features = features
        self._names = names
        self._cached_fault = cache(self._fault)

    def report(self, codes: Codes) -> tuple[pa.Array, FaultCounts]:
        """The faults of each row of ``codes`` [rows, features], and how many rows have each fault.

        A row without a code is one that the network overflowed on.
        """
        patterns, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        pattern_faults = [self._pattern_faults(pattern) for pattern in patterns.tolist()]
        total: FaultCounts = Counter()
        for faults, count in zip(pattern_faults, counts.tolist(), strict=True):
            total.update({f"{fault.field} {fault.code}".strip(): count for fault in faults})
        return build_fault_column(pattern_faults).take(pa.array(inverse.reshape(-1))), total

    def _pattern_faults(self, pattern: list[int]) -> list[Fault]:
        return [self._cached_fault(index, FaultCode(code)) for index, code in enumerate(pattern) if code] or [_OVERFLOW]

    def _fault(self, index: int, code: FaultCode) -> Fault:
        """The validator's fault for a row in which this feature alone has such a value."""
        feature = self._features[index]
        row: dict[str, Any] = {each.name: each.lowest for each in self._features}
        if code is FaultCode.MISSING:
            del row[feature.name]
        else:
            row[feature.name] = _INVALID_VALUES.get(code, _out_of_bounds_value(feature))
        try:
            self._validate([row], "")
        except UnacceptableError as error:
            return error.faults[0]._replace(field=self._names[index])
        raise AssertionError(f"{feature.name} takes what has the code {code}")


def build_fault_column(row_faults: Sequence[Sequence[Fault]]) -> pa.Array:
    """An Arrow column with one list of faults for each row."""
    return pa.array([[fault._asdict() for fault in faults] for faults in row_faults], FAULT_LIST)


def _out_of_bounds_value(feature: Feature) -> float:
    if not feature.has_bounds:
        return 2 * feature.highest  # too large for a float32
    above = math.nextafter(feature.highest, math.inf)
    return above if math.isfinite(above) else math.nextafter(feature.lowest, -math.inf)
