"""A schema in TOML: kinds, units, bounds and descriptions of a table's features, and the order of its labels."""

import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from models.errors import DataError
from models.feature import Feature
from models.names import normalize_name
from models.tables.cells import MAX_MAGNITUDE
from models.tables.feature_rules import LARGEST_INTEGER, FeatureRules, make_category, parse_rules
from models.tables.labels import sort_labels
from models.tables.source_file import read_bytes

_FLOAT = (int, float)
_SCHEMA_KEYS = {"labels": list, "features": dict}
_FEATURE_KEYS = {"unit": str, "minimum": _FLOAT, "maximum": _FLOAT, "how": str}
_KIND_KEYS = {
    "kind": str,
    "categories": list,
    "other": bool,
    "missing": bool,
    "required": bool,
    "default": (str, int, float, bool),
}
_ADOPTION_KEYS = {key: _KIND_KEYS[key] for key in ("other", "missing", "default")}  # the model has the rest
_TARGET_KEYS = {"unit": str}  # of the quantities that an adopted model predicts


class Schema:
    """What a schema file says; without a file, nothing."""

    def __init__(
        self,
        path: Path | None,
        columns: Sequence[str],
        table: Path | None,
        targets: Sequence[str] = (),
        *,
        categories: Collection[str] | None = None,
    ) -> None:
        """Read the file, which may describe any of the table's ``columns``, and for adoption any of the ``targets``.

        ``categories`` are the columns that the command line makes categories; if it is None, a model decides on kinds.

        Raises:
            DataError: it is not a valid schema.
        """
        self._path = path
        self._table = table
        keys = _FEATURE_KEYS | (_ADOPTION_KEYS if categories is None else _KIND_KEYS)
        document = _read(path, columns, targets, keys) if path else {}
        self.labels: list[str] | None = document.get("labels")
        self._features: dict[str, Any] = document.get("features", {})
        self._targets: dict[str, Any] = document.get("targets", {})
        self._rules = {name: parse_rules(path, name, section) for name, section in self._features.items() if path}
        for name in categories or ():
            section = self._features.get(name, {})
            self._rules[name] = make_category(path, name, section, self.rules(name))

    def check_labels(self, labels: Sequence[str]) -> None:
        """Check that the schema lists the labels of the table, if it lists any.

        Raises:
            DataError: they differ.
        """
        if self.labels is not None and sorted(self.labels) != sorted(labels):
            names = ", ".join(sort_labels(labels))
            raise DataError(f"labels in {self._path} differ from those in {self._table}: list each of {names} once")

    def rules(self, name: str) -> FeatureRules:
        """What the schema says about the values of a feature."""
        return self._rules.get(name, FeatureRules())

    def fault(self, message: str) -> DataError:
        """An error of the file, or of the command line if there is none."""
        return DataError(f"{self._path or self._table}: {message}")

    def build_category(self, name: str, **values: Any) -> Feature:
        """Build a category; ``values`` are its categories and what else decides which values are valid."""
        section = self._features.get(name, {})
        unit, how = section.get("unit", ""), section.get("how", "")
        return Feature(name=name, unit=unit, minimum=None, maximum=None, how=how, kind="category", **values)

    def build_feature(
        self,
        name: str,
        low: float,
        high: float,
        *,
        kind: Literal["number", "integer"] = "number",
        allow_missing: bool = False,
    ) -> Feature:
        """Build a feature whose values run from ``low`` to ``high``; a bound that is not given lies one range beyond.

        The range of a constant counts as its magnitude, at least 1.

        Raises:
            DataError: the given bounds exclude values.
        """
        section, default = self._features.get(name, {}), self.rules(name).default
        floor = 0.0 if low >= 0 else -math.inf
        span = high - low if high > low else max(1.0, abs(low))
        minimum = section.get("minimum", max(floor, low - span))
        maximum = section.get("maximum", high + span)
        if not minimum <= low <= high <= maximum or minimum == maximum:
            raise DataError(
                f"{self._path}: {minimum:g} to {maximum:g} for {name!r} excludes values in {self._table}, "
                f"which run from {low:g} to {high:g}: widen the bounds"
            )
        if kind == "integer":
            minimum, maximum = max(minimum, -LARGEST_INTEGER), min(maximum, LARGEST_INTEGER)
        return Feature(
            name=name,
            unit=section.get("unit", ""),
            minimum=minimum,
            maximum=maximum,
            how=section.get("how", ""),
            kind=kind,
            allow_missing=allow_missing,
            default=default,
        )

    def describe_feature(self, name: str) -> Feature:
        """Describe a feature of which there are no values: without bounds, unless the file has both.

        Raises:
            DataError: the file has only one of them, or the wrong way round.
        """
        section = self._features.get(name, {})
        minimum, maximum = section.get("minimum"), section.get("maximum")
        if (minimum is None) != (maximum is None) or (minimum is not None and minimum >= maximum):
            raise DataError(
                f"{self._path}: without a table, {name!r} must have both a minimum and a greater maximum, or neither"
            )
        return Feature(
            name=name, unit=section.get("unit", ""), minimum=minimum, maximum=maximum, how=section.get("how", "")
        )

    def section(self, name: str) -> Mapping[str, Any]:
        """What the file says of a feature."""
        section: Mapping[str, Any] = self._features.get(name, {})
        return section

    def target_unit(self, name: str) -> str:
        """The unit of a quantity that the model predicts; empty if it is not given."""
        unit: str = self._targets.get(name, {}).get("unit", "")
        return unit


def _read(path: Path, columns: Sequence[str], targets: Sequence[str], feature_keys: dict[str, Any]) -> dict[str, Any]:
    """Read a schema: ``labels = [...]`` and, for any feature, ``[features.<name>]`` with ``feature_keys``.

    For any target, it may have ``[targets.<name>]`` with `_TARGET_KEYS`.
    """
    try:
        schema = tomllib.loads(read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML ({error}): correct it") from None
    _check_keys(path, "the schema", schema, _SCHEMA_KEYS | ({"targets": dict} if targets else {}))
    if not all(isinstance(label, str) for label in schema.get("labels", [])):
        raise DataError(f"{path}: labels must be strings: put them in quotes")
    labels = [normalize_name(label) for label in schema["labels"]] if "labels" in schema else None
    return {
        "features": _read_sections(path, schema, "features", columns, feature_keys),
        "targets": _read_sections(path, schema, "targets", targets, _TARGET_KEYS),
        "labels": labels,
    }


def _read_sections(
    path: Path, schema: dict[str, Any], kind: str, known: Sequence[str], keys: dict[str, Any]
) -> dict[str, Any]:
    """The sections ``[features.<name>]``, or another ``kind``, by name."""
    sections = {normalize_name(name): section for name, section in schema.get(kind, {}).items()}
    for name, section in sections.items():
        if name not in known:
            owner = "of the table" if kind == "features" else "of the model"
            raise DataError(
                f"{path} describes {name!r}, which is not a {kind.removesuffix('s')} {owner}: use {', '.join(known)}"
            )
        if not isinstance(section, dict):
            raise DataError(f"{path}: {name!r} is not a section: write [{kind}.{name}] and its keys below")
        _check_keys(path, repr(name), section, keys)
    return sections


def _check_keys(path: Path, location: str, section: dict[str, Any], types: dict[str, Any]) -> None:
    for key, value in section.items():
        if key not in types:
            raise DataError(f"{path}: {location} has an unknown key {key!r}: use {', '.join(types)}")
        allowed = types[key]
        takes_truth = allowed is bool or (isinstance(allowed, tuple) and bool in allowed)
        has_type = isinstance(value, allowed) and (takes_truth or not isinstance(value, bool))
        if not has_type or (isinstance(value, _FLOAT) and not abs(value) < MAX_MAGNITUDE):
            names = {str: "a string", list: "a list", dict: "a section", bool: "true or false"}
            other = "a text, a finite number, or true or false" if takes_truth else "a finite number"
            expected = names.get(allowed, other)
            raise DataError(f"{path}: {key!r} of {location} must be {expected}: correct it")
