"""Fault codes as the faults that ``/predict`` reports, in an Arrow column of lists."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from models.feature import Feature
from service.http.errors import Fault, UnacceptableError
from service.inference.mixed_validation import make_validator
from service.score.cell_faults import Codes, FaultCode, InvalidValues

FAULT_LIST = pa.list_(pa.struct([pa.field(name, pa.string(), nullable=False) for name in Fault._fields]))

FaultCounts = Counter[str]

_MAX_CACHED = 1000
_MAX_CACHED_LENGTH = 100  # characters

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
        self._validator = make_validator(features, max_rows=1, max_errors=1)
        self._features = features
        self._names = names
        self._cached_code_fault = cache(self._code_fault)
        self._cached_value_fault = lru_cache(_MAX_CACHED, typed=True)(self._value_fault)

    def report(self, codes: Codes, invalid: InvalidValues) -> tuple[pa.Array, FaultCounts]:
        """The faults of each row of ``codes`` [rows, features], and how many rows have each fault.

        A row without a code is one that the network overflowed on.
        """
        patterns, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        pattern_faults = [self._pattern_faults(pattern, invalid) for pattern in patterns.tolist()]
        total: FaultCounts = Counter()
        for faults, count in zip(pattern_faults, counts.tolist(), strict=True):
            total.update({f"{fault.field} {fault.code}".strip(): count for fault in faults})
        return build_fault_column(pattern_faults).take(pa.array(inverse.reshape(-1))), total

    def _pattern_faults(self, pattern: list[int], invalid: InvalidValues) -> list[Fault]:
        return [self._fault(index, code, invalid) for index, code in enumerate(pattern) if code] or [_OVERFLOW]

    def _fault(self, index: int, code: int, invalid: InvalidValues) -> Fault:
        value = invalid.find(code)
        if value is None:
            return self._cached_code_fault(index, FaultCode(code))
        is_long = isinstance(value, str) and len(value) > _MAX_CACHED_LENGTH
        return (self._value_fault if is_long else self._cached_value_fault)(index, value)

    def _code_fault(self, index: int, code: FaultCode) -> Fault:
        if code is FaultCode.MISSING:
            return self._validate(index, {})
        return self._value_fault(index, _INVALID_VALUES.get(code, _out_of_bounds_value(self._features[index])))

    def _value_fault(self, index: int, value: Any) -> Fault:
        return self._validate(index, {self._features[index].name: value})

    def _validate(self, index: int, row: dict[str, Any]) -> Fault:
        """The validator's fault for a row of this feature alone."""
        try:
            self._validator.part(slice(index, index + 1)).validate_rows([row], "")
        except UnacceptableError as error:
            return error.faults[0]._replace(field=self._names[index])
        raise AssertionError(f"{self._features[index].name} takes {row}, which has a fault code")


def build_fault_column(row_faults: Sequence[Sequence[Fault]]) -> pa.Array:
    """An Arrow column with one list of faults for each row."""
    return pa.array([[fault._asdict() for fault in faults] for faults in row_faults], FAULT_LIST)


def _out_of_bounds_value(feature: Feature) -> float:
    if not feature.has_bounds:
        return 2 * feature.highest  # too large for a float32
    above = math.nextafter(feature.highest, math.inf)
    if feature.kind == "integer":
        above = max(above, math.floor(feature.highest) + 1)  # whole
    return above if math.isfinite(above) else math.nextafter(feature.lowest, -math.inf)
