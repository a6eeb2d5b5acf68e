"""Encoders: what turns the codes of a row into the numbers that a network takes, without TensorFlow.

Each encoder reads one feature and gives one or more columns; the network's input is all of them, one after the other.
What a network does with numbers, such as to normalize them, it does itself.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from models.feature import Feature, FrozenModel

Vector = tuple[FiniteFloat, ...]
NO_COLUMN = -1
_MAX_NAMED = 3  # categories that the name of their common column lists


class NumberEncoder(FrozenModel):
    """A number as it is. ``fill`` takes the place of a missing one.

    With ``indicator`` there is a second column: 1 where the value is missing, else 0.
    """

    kind: Literal["number"] = "number"
    feature: str
    fill: FiniteFloat | None = None
    indicator: bool = False

    @property
    def width(self) -> int:
        """The number of columns."""
        return 1 + self.indicator

    def check(self, feature: Feature) -> None:
        """Check that the encoder fits its feature.

        Raises:
            ValueError: it does not.
        """
        if feature.is_category or ((feature.allow_missing or self.indicator) and self.fill is None):
            raise ValueError(f"the encoder of {feature.name} does not fit it: it is a category, or has no fill")

    def column_names(self, feature: Feature) -> list[str]:
        """A name for each column."""
        return [feature.name, *[f"{feature.name} is missing"] * self.indicator]

    def encode(self, codes: NDArray[np.float32], feature: Feature) -> NDArray[np.float32]:
        """The columns [rows, width] of a feature's codes, [rows]."""
        del feature
        if self.fill is None:
            return codes[:, np.newaxis]
        is_missing = np.isnan(codes)
        filled = np.where(is_missing, np.float32(self.fill), codes)
        return np.column_stack([filled, is_missing] if self.indicator else [filled]).astype(np.float32)


class _LookupEncoder(FrozenModel):
    """Looks up the columns of a category, or of the bin that a number falls in.

    There are ``boundaries`` for a number or an integer only: a value is in the bin whose index is the number of
    boundaries that are not greater than it (as Keras' Discretization has it). A missing value comes after all codes or
    bins.
    """

    feature: str
    boundaries: Vector = ()

    def entry_count(self, feature: Feature) -> int:
        """How many codes or bins there are, and a missing value if that is allowed."""
        count = len(self.boundaries) + 1 if self.boundaries else feature.code_count
        return count + feature.allow_missing

    def check(self, feature: Feature) -> None:
        """Check that the encoder fits its feature.

        Raises:
            ValueError: it does not.
        """
        if feature.is_category == bool(self.boundaries) or list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(
                f"the encoder of {feature.name} does not fit it: numbers have ascending boundaries, categories none"
            )

    def entries(self, codes: NDArray[np.float32], feature: Feature) -> NDArray[np.intp]:
        """The index of each code's entry, [rows]."""
        is_missing = np.isnan(codes)
        if self.boundaries:
            indices = np.searchsorted(np.array(self.boundaries, np.float32), codes, side="right")
        else:
            indices = np.where(is_missing, 0, codes).astype(np.intp)
        if feature.allow_missing:
            indices[is_missing] = self.entry_count(feature) - 1
        return indices

    def entry_names(self, feature: Feature) -> list[str]:
        """The value that each entry stands for, as text."""
        if self.boundaries:
            edges = [f"{boundary:g}" for boundary in self.boundaries]
            names = [
                f"below {edges[0]}",
                *(f"{low} to {high}" for low, high in pairwise(edges)),
                f"{edges[-1]} or more",
            ]
        else:
            names = [feature.describe_code(code) for code in range(feature.code_count)]
        return [*names, *[feature.describe_code(np.nan)] * feature.allow_missing]


class OneHotEncoder(_LookupEncoder):
    """One column is 1 and all others are 0. ``columns`` has the column of each entry; `NO_COLUMN`: all are 0."""

    kind: Literal["one_hot"] = "one_hot"
    width: Annotated[int, Field(ge=1)]
    columns: tuple[Annotated[int, Field(ge=NO_COLUMN)], ...]

    @cached_property
    def entry_columns(self) -> NDArray[np.intp]:
        """The column of each entry, as an array: to make it of 100,000 takes 3 ms."""
        return np.array(self.columns, np.intp)

    def check(self, feature: Feature) -> None:
        super().check(feature)
        if len(self.columns) != self.entry_count(feature) or max(self.columns) >= self.width:
            raise ValueError(f"the encoder of {feature.name} does not have one column for each of its values")

    def column_names(self, feature: Feature) -> list[str]:
        """A name for each column, from the values that it stands for."""
        names: list[list[str]] = [[] for _ in range(self.width)]
        for column, name in zip(self.columns, self.entry_names(feature), strict=True):
            if column != NO_COLUMN:
                names[column].append(name)
        return [f"{feature.name}: {_join(each)}" for each in names]

    def encode(self, codes: NDArray[np.float32], feature: Feature) -> NDArray[np.float32]:
        """The columns [rows, width] of a feature's codes, [rows]."""
        columns = self.entry_columns[self.entries(codes, feature)]
        ones: NDArray[np.bool_] = columns[:, np.newaxis] == np.arange(self.width)
        return ones.astype(np.float32)


class TableEncoder(_LookupEncoder):
    """Each entry has a row of numbers, as in an embedding: ``table`` is [entries, width]."""

    kind: Literal["table"] = "table"
    table: Annotated[tuple[Annotated[Vector, Field(min_length=1)], ...], Field(min_length=1)]

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """The table as an array, [entries, width]."""
        return np.array(self.table, np.float32)

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.table[0])

    def check(self, feature: Feature) -> None:
        super().check(feature)
        if len(self.table) != self.entry_count(feature):
            raise ValueError(f"the encoder of {feature.name} does not have one row for each of its values")

    def column_names(self, feature: Feature) -> list[str]:
        """A name for each column."""
        if self.width == 1:
            return [f"{feature.name} (embedded)"]
        return [f"{feature.name} [{column}]" for column in range(1, self.width + 1)]

    def encode(self, codes: NDArray[np.float32], feature: Feature) -> NDArray[np.float32]:
        """The columns [rows, width] of a feature's codes, [rows]."""
        columns: NDArray[np.float32] = self.vectors[self.entries(codes, feature)]
        return columns

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        if len({len(row) for row in self.table}) > 1:
            raise ValueError(f"the rows of the table of {self.feature} are not all of the same length")
        return self


Encoder = NumberEncoder | OneHotEncoder | TableEncoder


def column_slices(encoders: Sequence[Encoder]) -> list[slice]:
    """The columns of each encoder in the network's input."""
    return [slice(*ends) for ends in pairwise(accumulate((each.width for each in encoders), initial=0))]


def encode(
    encoders: Sequence[Encoder],
    features: Sequence[Feature],
    codes: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The network's input [rows, columns] for rows of codes [rows, features]; without encoders, the codes.

    This is the definition; `service.inference.encoding` does the same in less time.
    """
    if not encoders:
        return codes
    positions = {feature.name: index for index, feature in enumerate(features)}
    columns = [each.encode(codes[:, positions[each.feature]], features[positions[each.feature]]) for each in encoders]
    return np.concatenate(columns, axis=1)


def _join(names: Sequence[str]) -> str:
    shown = " or ".join(names[:_MAX_NAMED])
    return f"{shown} or {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else shown or "(none)"
