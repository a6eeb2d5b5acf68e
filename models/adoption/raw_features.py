"""The features of a model that looks categories up, from its lookups, the schema and the sample."""

from typing import Any

from pydantic import ValidationError

from models.adoption.errors import AdoptionError
from models.adoption.raw_columns import RawColumn
from models.feature import Feature
from models.tables.schema import Schema


def build_category(name: str, column: RawColumn, schema: Schema) -> Feature:
    """A feature that is a category. "Other" is allowed if the model has an index for it, and missing if it has a mask.

    Raises:
        AdoptionError: the schema asks for something that the model cannot do.
    """
    section = schema.section(name)
    if {"minimum", "maximum"} & set(section):
        raise AdoptionError(f"the schema has bounds for {name!r}, which is a category of the model: leave them out")
    if section.get("other") and not column.has_other:
        reason = column.why_no_other or "its hashing knows no other values"
        raise AdoptionError(f"the schema has other = true for {name!r}, but {reason}: leave it out")
    return _create(
        name,
        section,
        kind="category",
        minimum=None,
        maximum=None,
        categories=column.categories,
        hashing=column.hashing,
        allow_other=column.has_other and section.get("other", True),
        allow_missing=_allows_missing(name, column, section, column.mask is not None),
    )


def build_number(
    name: str, column: RawColumn, schema: Schema, values: tuple[float, float] | None, *, has_gaps: bool = False
) -> Feature:
    """A feature that is a number or an integer; ``values`` are the sample's smallest and largest, if there is one.

    Raises:
        DataError: the schema asks for something that the model cannot do, or excludes values of the sample.
    """
    section = schema.section(name)
    if "other" in section:
        raise AdoptionError(f"the schema has 'other' for {name!r}, which is a number: leave it out")
    try:
        feature = schema.build_feature(name, *values) if values else schema.describe_feature(name)
    except ValidationError as error:
        raise _misfit(name, error) from None
    given = {key: getattr(feature, key) for key in ("minimum", "maximum")}
    if column.size is not None:
        low, high = 0.0, float(column.size - 1)
        if values and not low <= values[0] <= values[1] <= high:
            raise AdoptionError(
                f"column {name!r} runs from {values[0]:g} to {values[1]:g}, but the model looks up whole numbers "
                f"from 0 to {column.size - 1}: correct the sample"
            )
        bounds = (given["minimum"], low), (given["maximum"], high)
        given = {"minimum": max(bounds[0], key=_or_low), "maximum": min(bounds[1], key=_or_high)}
    return _create(
        name,
        section,
        kind="integer" if column.is_integer else "number",
        **given,
        allow_missing=_allows_missing(name, column, section, has_gaps),
    )


def _or_low(bound: float | None) -> float:
    return float("-inf") if bound is None else bound


def _or_high(bound: float | None) -> float:
    return float("inf") if bound is None else bound


def _allows_missing(name: str, column: RawColumn, section: Any, otherwise: bool) -> bool:  # noqa: FBT001
    allowed: bool = section.get("missing", otherwise and "default" not in section)
    if allowed and not column.can_be_missing:
        reason = (
            "the model's lookup has neither a mask nor an index for unknown values"
            if column.is_category
            else "the model gives no finite number for it"
        )
        raise AdoptionError(f"{name!r} cannot be missing, because {reason}: give it a default in the schema instead")
    return allowed


def _create(name: str, section: Any, **fields: Any) -> Feature:
    default = section.get("default")
    try:
        return Feature(name=name, unit=section.get("unit", ""), how=section.get("how", ""), default=default, **fields)
    except ValidationError as error:
        raise _misfit(name, error) from None


def _misfit(name: str, error: ValidationError) -> AdoptionError:
    reason = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
    return AdoptionError(f"the schema's {name!r} does not fit the model ({reason}): correct it")
