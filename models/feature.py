"""The features of a model: kinds, valid values, and the number that stands for each value.

A row has one number for each feature, its code: of a ``number`` or an ``integer`` the value itself, of a ``category``
its index in the vocabulary. NaN stands for a missing value.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from models.hashing import hash_to_bin
from models.names import MAX_NAME_LENGTH

FLOAT32_MAX = float(np.finfo(np.float32).max)
# The largest double that becomes a finite float32: one that is half a step beyond the largest float32 does not.
LARGEST_NUMBER = float(np.nextafter(2.0**128 - 2.0**103, 0))
MAX_CATEGORIES = 100_000
MISSING = math.nan  # the code of a missing value


def _require_64_bits(number: int) -> int:
    """An integer that JSON writers and Keras take."""
    if not -(2**63) <= number < 2**63:
        raise ValueError("an integer has at most 64 bits")
    return number


_Integer = Annotated[StrictInt, AfterValidator(_require_64_bits)]
Category = StrictBool | _Integer | StrictStr
# In this order: an integer stays one, if it has 64 bits, and a float is never read as a truth value.
RawValue = Annotated[
    _Integer | Annotated[FiniteFloat, Field(strict=True)] | StrictBool | StrictStr | None,
    Field(union_mode="left_to_right"),
]


class FrozenModel(BaseModel):
    """The base of all types of a bundle's JSON: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class UnknownCategoryError(ValueError):
    """A value is none of a feature's categories."""


class Hashing(FrozenModel):
    """An open vocabulary: a text's category is one of ``bins``, by its hash as Keras' Hashing layer computes it.

    That is FarmHash's Fingerprint64, or with a ``salt`` SipHash-2-4 with these two numbers as its key. Integers are
    hashed as decimal text.
    """

    bins: Annotated[int, Field(ge=1, le=MAX_CATEGORIES)]
    salt: tuple[StrictInt, StrictInt] | None = None
    type: Literal["text", "integer"] = "text"


class Feature(FrozenModel):
    """One feature of a row, in raw units. ``how`` tells a person how to take the measurement.

    A ``number`` or an ``integer`` (a whole number) outside ``minimum`` to ``maximum`` is invalid. Both are None for a
    category, and for a model that was adopted without a sample: then any finite float32 is valid.

    A ``category`` has a vocabulary, ``categories``, which are all texts, all integers or all truth values; or instead
    ``hashing``. A value that is not in the vocabulary is invalid, unless ``allow_other``: then it counts as "other".

    Where a value is null or absent, it is ``default``; without a default it is invalid, unless ``allow_missing``.
    """

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    unit: str = ""
    minimum: FiniteFloat | None
    maximum: FiniteFloat | None
    how: str = ""
    kind: Literal["number", "integer", "category"] = "number"
    categories: Annotated[tuple[Category, ...], Field(max_length=MAX_CATEGORIES)] = ()
    hashing: Hashing | None = None
    allow_other: bool = False
    allow_missing: bool = False
    default: RawValue = None

    @property
    def has_bounds(self) -> bool:
        """Whether it is known which numbers are valid."""
        return self.minimum is not None

    @property
    def lowest(self) -> float:
        """The lowest valid value: without bounds, the lowest that a float32 can hold."""
        return -LARGEST_NUMBER if self.minimum is None else self.minimum

    @property
    def highest(self) -> float:
        """The highest valid value."""
        return LARGEST_NUMBER if self.maximum is None else self.maximum

    @property
    def is_category(self) -> bool:
        return self.kind == "category"

    @property
    def is_required(self) -> bool:
        """Whether every row must have a value."""
        return self.default is None and not self.allow_missing

    @property
    def is_plain(self) -> bool:
        """Whether each value is a number between two bounds, as all features of formats 1 and 2 are."""
        return self.kind == "number" and self.is_required

    @property
    def category_type(self) -> type:
        """The type of the categories: str, int or bool."""
        if self.hashing:
            return str if self.hashing.type == "text" else int
        return type(self.categories[0])

    @property
    def other_code(self) -> int:
        """The code of a value that is not in the vocabulary, where ``allow_other``."""
        return self.hashing.bins if self.hashing else len(self.categories)

    @property
    def code_count(self) -> int:
        """How many codes a category has: those of its vocabulary, then "other" if allowed; a missing value has none."""
        return self.other_code + self.allow_other

    def to_code(self, value: Any) -> float:
        """The code of a raw value; of a number the value itself. Bounds are not checked.

        Raises:
            UnknownCategoryError: it has the right type but is none of the categories, and "other" is not allowed.
            TypeError: it has another type, or is null although there is neither a default nor ``allow_missing``.
        """
        if value is None:
            if self.default is not None:
                return self._default_code
            if self.allow_missing:
                return MISSING
            raise TypeError
        return self._category_code(value) if self.is_category else self._number_code(value)

    def from_code(self, code: float) -> Any:
        """The raw value that has a code: None if that is `MISSING`, or if several values have it, as "other" does."""
        if math.isnan(code):
            return None
        if not self.is_category:
            is_integer = self.kind == "integer" and abs(code) < 2**63  # JSON writers take no larger one
            return int(code) if is_integer else float(code)
        return self.categories[int(code)] if int(code) < len(self.categories) else None

    def describe_code(self, code: float) -> str:
        """A category as text for people."""
        if math.isnan(code):
            return "(missing)"
        if int(code) < len(self.categories):
            return describe_category(self.categories[int(code)])
        return f"(bin {int(code)})" if self.hashing and int(code) < self.hashing.bins else "(other)"

    def _number_code(self, value: Any) -> float:
        if type(value) not in {int, float} or (self.kind == "integer" and not float(value).is_integer()):
            raise TypeError
        return float(value)

    def _category_code(self, value: Any) -> float:
        has_type = type(value) in self._value_types and (type(value) is not float or value.is_integer())
        if not has_type:
            raise TypeError
        if self.hashing:
            text = value if isinstance(value, str) else str(int(value))
            return hash_to_bin(text, self.hashing.bins, self.hashing.salt)
        code = self._codes.get(value)
        if code is None and not self.allow_other:
            raise UnknownCategoryError
        return self.other_code if code is None else code

    def __copy__(self) -> Self:
        """A copy without what was computed from the fields, which `model_copy` may replace."""
        copied = super().__copy__()
        for name in ("_codes", "_value_types", "_default_code"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def _codes(self) -> dict[Any, float]:
        return {category: float(code) for code, category in enumerate(self.categories)}

    @cached_property
    def _value_types(self) -> tuple[type, ...]:
        return (int, float) if self.category_type is int else (self.category_type,)

    @cached_property
    def _default_code(self) -> float:
        return self.model_copy(update={"default": None}).to_code(self.default)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.is_category:
            self._check_categories()
        elif self.categories or self.hashing or self.allow_other:
            raise ValueError(f"feature {self.name}: only a category has categories, hashing or allow_other")
        if (self.minimum is None) != (self.maximum is None):
            raise ValueError(f"feature {self.name}: minimum and maximum must both be numbers, or both null")
        if self.lowest >= self.highest and (self.kind == "number" or self.lowest > self.highest):
            raise ValueError(f"feature {self.name}: minimum {self.minimum} is not below maximum {self.maximum}")
        if self.default is not None and self.allow_missing:
            raise ValueError(f"feature {self.name}: with a default, a value is never missing")
        if self.default is not None:
            self._check_default()
        return self

    def _check_categories(self) -> None:
        if self.minimum is not None or self.maximum is not None:
            raise ValueError(f"feature {self.name}: a category has no minimum and maximum")
        if bool(self.categories) == bool(self.hashing) or (self.hashing and self.allow_other):
            raise ValueError(f"feature {self.name}: a category has either categories or hashing, which knows no other")
        if len({type(category) for category in self.categories}) > 1:
            raise ValueError(f"feature {self.name}: categories must be all texts, all integers or all truth values")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"feature {self.name}: a category is listed twice")

    def _check_default(self) -> None:
        try:
            code = self._default_code
        except (TypeError, UnknownCategoryError):
            raise ValueError(f"feature {self.name}: the default {self.default!r} is not one of its values") from None
        if not self.is_category and not self.lowest <= code <= self.highest:
            raise ValueError(f"feature {self.name}: the default {self.default!r} is out of its bounds")


def describe_category(category: Category) -> str:
    """A category as text for people, and for names: truth values as JSON has them."""
    return str(category).lower() if isinstance(category, bool) else str(category)


def to_codes(features: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> NDArray[np.float32]:
    """The codes of raw rows, [rows, features]; for many rows of a request there is a faster way.

    Raises:
        UnknownCategoryError, TypeError: a value is not valid.
    """
    codes = [[feature.to_code(value) for feature, value in zip(features, row, strict=True)] for row in rows]
    return np.array(codes, np.float32).reshape(-1, len(features))
