"""What a schema says about the values of a feature: kind, categories, and what happens where a value is missing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from models.errors import DataError
from models.feature import Category, RawValue, describe_category
from models.names import normalize_name

MAX_TABLE_CATEGORIES = 1000
LARGEST_INTEGER = 2**24  # up to which float32 has every whole number
LARGEST_CODE = 2**53 - 1  # the whole numbers up to it are the same in JSON, Parquet and every program
_KINDS = ("number", "integer", "category")


@dataclass(frozen=True)
class FeatureRules:
    """The rules for one feature; without a ``kind``, its values decide.

    ``categories`` is the complete list, in order. With ``other``, all other and all rare values count as one category.
    If a value is ``required``, a gap is a fault; with a ``default``, it has the place of missing values.
    """

    kind: Literal["number", "integer", "category"] | None = None
    categories: tuple[Category, ...] = ()
    other: bool = False
    missing: bool = False
    required: bool = False
    default: RawValue = None

    @property
    def is_number(self) -> bool:
        return self.kind in {"number", "integer"}

    @property
    def is_wanted(self) -> bool:
        """Whether they show that the column is to be a feature, even if it hardly repeats or has few values."""
        return self.kind is not None or self.missing or self.required or self.default is not None


def parse_rules(path: Path, name: str, section: dict[str, Any]) -> FeatureRules:
    """Parse the section of one feature, in which each key has the right type.

    Raises:
        DataError: the values of keys contradict each other.
    """
    kind = section.get("kind")
    if kind is not None and kind not in _KINDS:
        raise DataError(f"{path}: 'kind' of {name!r} is {kind!r}: use {', '.join(_KINDS)}")
    categories = tuple(_normalize(value) for value in section.get("categories", ()))
    fault = next(_find_faults(section, categories), None)
    if fault:
        raise DataError(f"{path}: {name!r} {fault}")
    if "categories" in section or section.get("other"):
        kind = "category"
    elif section.keys() & {"minimum", "maximum"}:
        kind = kind or "number"
    return FeatureRules(
        kind=kind,
        categories=categories,
        other=section.get("other", False),
        missing=section.get("missing", False),
        required=section.get("required", False) or section.get("missing") is False,
        default=_normalize(section.get("default")),
    )


def make_category(path: Path | None, name: str, section: dict[str, Any], rules: FeatureRules) -> FeatureRules:
    """The rules of a feature that the command line makes a category.

    Raises:
        DataError: its section in the schema says that it is none.
    """
    if rules.is_number or "minimum" in section or "maximum" in section:
        raise DataError(f"{path} describes {name!r} as a number: correct it, or leave the column out of --category")
    return replace(rules, kind="category")


def _normalize(value: Any) -> Any:
    return normalize_name(value) if isinstance(value, str) else value


def _find_faults(section: dict[str, Any], categories: tuple[Category, ...]) -> Iterator[str]:
    """What is wrong with a section, as a sentence whose subject is the feature."""
    kind, default, other = section.get("kind"), _normalize(section.get("default")), section.get("other")
    has_bounds = bool(section.keys() & {"minimum", "maximum"})
    is_category = kind == "category" or "categories" in section or bool(other)
    if kind in {"number", "integer"} or (has_bounds and not is_category):
        yield from _find_number_faults(section, kind or "number", default)
    elif has_bounds:
        yield "is a category, which has no 'minimum' and 'maximum': leave them out"
    if "categories" in section:
        yield from _find_category_faults(categories, other=bool(other))
        if default is not None and not other and not any(_equal(each, default) for each in categories):
            yield f"has the default {default!r}, which is not in its 'categories': add it there, or correct it"
    if section.get("required") and "missing" in section:
        yield "has both 'required' and 'missing': leave one of them out"
    if default is not None and (section.get("required") or section.get("missing")):
        yield "has a default, so a value is neither required nor missing: leave out 'default' or the other key"
    if default == "":
        yield "has an empty text as its default: write one"


def _find_category_faults(categories: tuple[Category, ...], *, other: bool) -> Iterator[str]:
    if not categories or {type(value) for value in categories} not in ({str}, {int}, {bool}):
        yield "must have 'categories' that are all texts, all whole numbers or all truth values: correct the list"
    elif "" in categories:
        yield "has an empty text in its 'categories', which stands for a missing value: leave it out"
    elif len(set(categories)) < len(categories):
        twice = next(value for value in categories if categories.count(value) > 1)
        yield f"has the category {describe_category(twice)!r} twice: list it once"
    elif isinstance(categories[0], int) and max(map(abs, map(int, categories))) > LARGEST_CODE:
        yield f"has whole numbers beyond ±{LARGEST_CODE:,} in its 'categories': write them as text"
    elif other and isinstance(categories[0], bool):
        yield "has truth values, which have no 'other': leave it out"
    elif len(categories) > MAX_TABLE_CATEGORIES:
        yield f"has {len(categories):,} categories, but there may be {MAX_TABLE_CATEGORIES:,}: join some of them"


def _find_number_faults(section: dict[str, Any], kind: str, default: Any) -> Iterator[str]:
    is_integer = kind == "integer"
    bounds = [section[key] for key in ("minimum", "maximum") if key in section]
    if "categories" in section or "other" in section:
        yield f"has the kind {kind!r}, but only a category has 'categories' or 'other': leave one of them out"
    elif is_integer and not all(float(bound).is_integer() and abs(bound) <= LARGEST_INTEGER for bound in bounds):
        yield f"is an integer: its bounds must be whole numbers up to ±{LARGEST_INTEGER:,}"
    elif isinstance(default, bool | str) or (default is not None and is_integer and not float(default).is_integer()):
        yield f"has the default {default!r}, which is not {'a whole number' if is_integer else 'a number'}: correct it"
    elif default is not None and is_integer and abs(default) > LARGEST_INTEGER:
        yield f"has the default {default!r}, but an integer is at most ±{LARGEST_INTEGER:,}: correct it, or its kind"
    elif default is not None and not section.get("minimum", default) <= default <= section.get("maximum", default):
        yield f"has the default {default!r}, which is out of its bounds: correct it"


def _equal(category: Category, value: Any) -> bool:
    return type(category) is type(value) and category == value
