"""What is wrong with the values of a table's columns."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.integer[Any]]


class FaultCode(IntEnum):
    """What is wrong with one value; a valid value has the code 0, and codes from 8 on are those of `InvalidValues`."""

    MISSING = 1
    NOT_FINITE = 2
    OUT_OF_BOUNDS = 3
    STRING = 4
    BOOLEAN = 5
    LIST = 6
    OBJECT = 7


class InvalidValues:
    """The values of one batch that their faults quote, each with a code of its own."""

    def __init__(self) -> None:
        self._values: list[Any] = []

    def add(self, value: Any) -> int:
        """The value's code."""
        self._values.append(value)
        return max(FaultCode) + len(self._values)

    def find(self, code: int) -> Any:
        """The value that has a code; None if the code is a `FaultCode`."""
        index = code - max(FaultCode) - 1
        return self._values[index] if index >= 0 else None
