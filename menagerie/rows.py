"""Rows as a command line has them, FEATURE=VALUE or CSV, as JSON."""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from menagerie.errors import CommandError
from models.feature import Feature
from models.names import normalize_name
from service.inference.csv_cells import Reader, make_reader, to_truth_value

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NO_BOUNDS = {"minimum": None, "maximum": None}

Schema = Mapping[str, Feature]


class Line(NamedTuple):
    """A row of a table, and the number of the line that it ends in."""

    number: int
    row: dict[str, Any]


def read_schema(description: Any) -> Schema:
    """The features in the response of ``GET /model``, by name.

    Raises:
        CommandError: there are none, so the response is another service's.
    """
    try:
        return {each["name"]: _read_feature(each) for each in description["features"]}
    except (KeyError, TypeError, ValidationError):
        raise CommandError("the response to GET /model lists no features: is that this service's URL?") from None


def parse_row(words: Sequence[str], schema: Schema) -> Any:
    """A row that is JSON in one word, or ``FEATURE=VALUE`` in each.

    Raises:
        CommandError: it is neither.
    """
    if len(words) == 1 and words[0].lstrip()[:1] in {"{", "["}:
        try:
            return orjson.loads(words[0])
        except ValueError as error:
            raise CommandError(f"the row is not JSON ({error})") from None
    row: dict[str, Any] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign:
            raise CommandError(f"{word!r} is neither FEATURE=VALUE nor a row in JSON: see --help")
        if name in row:
            raise CommandError(f"{name} is given twice: leave out one of them")
        row[name] = parse_value(text, schema.get(name))
    return row


def read_csv(lines: Iterable[str], schema: Schema) -> Iterator[Line]:
    """The rows of a CSV file; columns that are no feature are left out.

    Raises:
        CommandError: a line has more or fewer values than the header, or is no CSV.
    """
    reader = csv.reader(lines, strict=True)
    readers = {name: make_reader(feature) for name, feature in schema.items()}
    try:
        names = [normalize_name(name) for name in next(reader, [])]
        if repeated := next((name for name in schema if names.count(name) > 1), None):
            raise CommandError(f"the header has {repeated} more than once: remove one of the columns")
        for values in filter(None, reader):
            if len(values) != len(names):
                raise CommandError(f"line {reader.line_num} has {len(values)} values, the header has {len(names)}")
            given = {name: text for name, text in zip(names, values, strict=True) if name in schema}
            row = {name: _read_cell(text, readers[name]) for name, text in given.items()}
            yield Line(reader.line_num, row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise CommandError(f"the table is no CSV in UTF-8 ({error})") from None


def parse_value(text: str, feature: Feature | None) -> Any:
    """A value as its feature wants it: None for an empty text; what is no valid value stays text, to be refused."""
    if feature and text in feature.categories:
        return text
    if not text:
        return None
    if not feature or not feature.is_category or feature.category_type is int:
        return _parse_number(text)
    return to_truth_value(text) if feature.category_type is bool else text


def _read_feature(described: Mapping[str, Any]) -> Feature:
    """A feature of ``GET /model``, which says more than a manifest does."""
    return Feature(**_NO_BOUNDS | {name: described[name] for name in Feature.model_fields.keys() & described.keys()})


def _read_cell(text: str, read: Reader) -> Any:
    """A value of a table; a number that JSON does not have stays text, to be refused."""
    value = read(text)
    return text if isinstance(value, float) and math.isinf(value) else value


def _parse_number(text: str) -> float | str:
    if _INTEGER.fullmatch(text.strip()):
        return int(text)
    if _NUMBER.fullmatch(text.strip()) and math.isfinite(number := float(text)):
        return number
    return text
