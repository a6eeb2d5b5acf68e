"""CSV requests: a row on each line, read as `python -m service.score` reads a table, but without Arrow."""

import csv
import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

from models.names import normalize_name
from service.arrays import Array
from service.http.errors import Fault, NotCsvError, UnacceptableError
from service.http.messages import Request
from service.inference.csv_cells import make_reader
from service.inference.model import Model, PerModel
from service.inference.suggestions import Suggestions
from service.inference.validation import Validator

_FORM = "rows"  # where faults are: the first row, below a header if there is one, is rows[0]
_HEADER = re.compile(r";\s*header\s*=\s*\"?(present|absent)\b", re.IGNORECASE)  # RFC 4180, section 3
_NUMBERS = b'0123456789+-.eE," \t\r\n'  # of these, Python reads no other numbers than `csv_cells` does


def read_csv(request: Request, model: Model, validator: Validator) -> Array:
    """Read the rows of a CSV body, [rows, features].

    The values are in the order of the model's features. If the first line has the features' names, they are in that
    order; the parameter ``header`` of the media type says so as well (RFC 4180).

    Raises:
        NotCsvError: the body is not CSV in UTF-8.
        UnacceptableError: the rows are not those of the model.
    """
    body = request.read()
    lines = _split(body)
    request.context.mark("parse")
    columns = columns_of.of(model)
    header = _HEADER.search(request.headers.get("content-type", ""))
    has_header = header[1].lower() == "present" if header else bool(lines) and columns.are_names(lines[0])
    names = columns.order(lines.pop(0)) if has_header and lines else None
    numbers = None if names or not columns.are_plain or body.translate(None, _NUMBERS) else _read_numbers(lines)
    if numbers:
        values = validator.validate_rows(numbers, _FORM, are_numbers=True)
    else:
        values = validator.validate_rows(columns.read(lines, names), _FORM)
    request.context.mark("validate")
    return values


class CsvColumns:
    """Reads the cells of a model's features; ``are_plain`` if each is a number that every row must have."""

    def __init__(self, model: Model) -> None:
        self._names = [feature.name for feature in model.features]
        self._known = {normalize_name(name): name for name in self._names} | {name: name for name in self._names}
        self._required = frozenset(feature.name for feature in model.features if feature.is_required)
        self._find_nearest = Suggestions(self._names).find_nearest
        self._readers = {feature.name: make_reader(feature) for feature in model.features}
        self._has_gaps = len(self._required) < len(self._names)
        self.are_plain = all(feature.is_plain for feature in model.features)

    def are_names(self, line: Sequence[str]) -> bool:
        """Whether a line is a header: it names all features that a row must have, or nothing but features."""
        names = {self._find(cell) for cell in line}
        return bool(self._required and self._required <= names) or names <= self._known.keys()

    def order(self, header: Sequence[str]) -> list[str]:
        """The features that a header names, in its order.

        Raises:
            UnacceptableError: it has another name, or one twice.
        """
        names = [*map(self._find, header)]
        faults = [
            Fault("header", "unknown", f"column {name[:100]} is unknown: did you mean {self._find_nearest(name)}?")
            for name in dict.fromkeys(names)
            if name not in self._known
        ]
        faults += [
            Fault("header", "duplicate", f"column {name} occurs twice: send it once")
            for name in self._names
            if names.count(name) > 1
        ]
        if faults:
            raise UnacceptableError(faults[:10], has_more=len(faults) > 10)  # noqa: PLR2004 (enough to correct a header)
        return names

    def read(self, lines: Sequence[Sequence[str]], names: Sequence[str] | None) -> list[Any]:
        """The rows of raw values as JSON has them: lists, or objects where a value is missing or the header says so.

        Raises:
            UnacceptableError: a line has not one value for each name of the header.
        """
        given = names or self._names
        readers = [self._readers[name] for name in given]
        is_ordered = list(given) == self._names
        rows: list[Any] = []
        for index, line in enumerate(lines):
            if len(line) != len(given):
                rows.append(self._misfit(index, line, names))
                continue
            values = [read(cell) for read, cell in zip(readers, line, strict=True)]
            if is_ordered and (self._has_gaps or None not in values):
                rows.append(values)
            else:
                rows.append({name: value for name, value in zip(given, values, strict=True) if value is not None})
        return rows

    def _find(self, cell: str) -> str:
        """The feature that a cell of a header names, or the cell as text."""
        name = normalize_name(cell)
        return self._known.get(cell) or self._known.get(name, name)

    @staticmethod
    def _misfit(index: int, line: Sequence[str], names: Sequence[str] | None) -> Sequence[str]:
        """A line of the wrong length, which validation reports; below a header, only this place knows the right one."""
        if names:
            message = f"{_FORM}[{index}] must have {len(names)} values, as the header has, not {len(line)}"
            raise UnacceptableError([Fault(f"{_FORM}[{index}]", "length", message)])
        return line


columns_of = PerModel(CsvColumns)


def _split(body: bytes) -> list[list[str]]:
    """The cells of each line that is not blank."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotCsvError(f"the body is not valid UTF-8: invalid byte at position {error.start}") from None
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        return [line for line in reader if line]
    except csv.Error as error:
        raise NotCsvError(f"the body is not valid CSV: {error} at line {reader.line_num}") from None


def _read_numbers(lines: Sequence[Sequence[str]]) -> list[list[float]] | None:
    """The rows, in a third of the time that other cells take; None if one is no number."""
    try:
        return [[*map(float, line)] for line in lines]
    except ValueError:
        return None
