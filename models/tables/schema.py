"""A schema in TOML: units, bounds and descriptions of a table's features, and the order of its labels."""

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.errors import DataError
from models.names import normalize_name
from models.signature import Feature
from models.tables.cells import MAX_MAGNITUDE
from models.tables.labels import sort_labels
from models.tables.source_file import read_bytes

_FLOAT = (int, float)
_SCHEMA_KEYS = {"labels": list, "features": dict}
_FEATURE_KEYS = {"unit": str, "minimum": _FLOAT, "maximum": _FLOAT, "how": str}


class Schema:
    """What a schema file says; without a file, nothing."""

    def __init__(self, path: Path | None, columns: Sequence[str], table: Path) -> None:
        """Read the file, which may describe any of the table's ``columns``.

        Raises:
            DataError: it is not a valid schema.
        """
        self._path = path
        self._table = table
        document = _read(path, columns) if path else {}
        self.labels: list[str] | None = document.get("labels")
        self._features: dict[str, Any] = document.get("features", {})

    def check_labels(self, labels: Sequence[str]) -> None:
        """Check that the schema lists the labels of the table, if it lists any.

        Raises:
            DataError: they differ.
        """
        if self.labels is not None and sorted(self.labels) != sorted(labels):
            names = ", ".join(sort_labels(labels))
            raise DataError(f"labels in {self._path} differ from those in {self._table}: list each of {names} once")

    def build_feature(self, name: str, low: float, high: float) -> Feature:
        """Build a feature whose values run from ``low`` to ``high``; a bound that is not given lies one range beyond.

        Raises:
            DataError: the given bounds exclude values.
        """
        section = self._features.get(name, {})
        floor = 0.0 if low >= 0 else -math.inf
        minimum = section.get("minimum", max(floor, low - (high - low)))
        maximum = section.get("maximum", high + (high - low))
        if not minimum <= low < high <= maximum:
            raise DataError(
                f"{self._path}: {minimum:g} to {maximum:g} for {name!r} excludes values in {self._table}, "
                f"which run from {low:g} to {high:g}: widen the bounds"
            )
        unit, how = section.get("unit", ""), section.get("how", "")
        return Feature(name=name, unit=unit, minimum=minimum, maximum=maximum, how=how)


def _read(path: Path, columns: Sequence[str]) -> dict[str, Any]:
    """Read a schema: ``labels = [...]`` and, for any feature, ``[features.<name>]`` with `_FEATURE_KEYS`."""
    try:
        schema = tomllib.loads(read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML ({error}): correct it") from None
    _check_keys(path, "the schema", schema, _SCHEMA_KEYS)
    if not all(isinstance(label, str) for label in schema.get("labels", [])):
        raise DataError(f"{path}: labels must be strings: put them in quotes")
    features = {normalize_name(name): section for name, section in schema.get("features", {}).items()}
    for name, section in features.items():
        if name not in columns:
            raise DataError(f"{path} describes {name!r}, which is not a feature of the table: use {', '.join(columns)}")
        if not isinstance(section, dict):
            raise DataError(f"{path}: {name!r} is not a section: write [features.{name}] and its keys below")
        _check_keys(path, repr(name), section, _FEATURE_KEYS)
    labels = [normalize_name(label) for label in schema["labels"]] if "labels" in schema else None
    return {"features": features, "labels": labels}


def _check_keys(path: Path, location: str, section: dict[str, Any], types: dict[str, Any]) -> None:
    for key, value in section.items():
        if key not in types:
            raise DataError(f"{path}: {location} has an unknown key {key!r}: use {', '.join(types)}")
        has_type = isinstance(value, types[key]) and not isinstance(value, bool)
        if not has_type or (types[key] is _FLOAT and not abs(value) < MAX_MAGNITUDE):
            expected = {str: "a string", list: "a list", dict: "a section"}.get(types[key], "a finite number")
            raise DataError(f"{path}: {key!r} of {location} must be {expected}: correct it")
