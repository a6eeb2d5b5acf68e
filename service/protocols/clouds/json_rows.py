"""The rows of a JSON request of a cloud platform.

Each platform passes on what its client sends, so clients of all three may send the same forms: ``instances``, as in
TensorFlow Serving's REST API; and ``features`` or ``instances`` as `/predict` takes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from service.arrays import Array
from service.http import strict_json
from service.http.errors import BadInstancesError
from service.http.media_types import require_json
from service.http.messages import Request
from service.inference.model import Model
from service.inference.validation import Validator
from service.protocols.tfserving_inputs import inputs_of, require_list

INSTANCES = "instances"
SPLIT = "input_data"


class GivenRows(NamedTuple):
    """The ``values`` of rows, [rows, features]; ``is_single`` if they have the form of one row, not of a list."""

    values: Array
    is_single: bool = False


def read_json(request: Request, model: Model, validator: Validator, forms: Sequence[str] = (INSTANCES,)) -> GivenRows:
    """Read the rows in the one of ``forms`` that the request has, or in ``features``; unknown members are ignored.

    Raises:
        NotJsonError, UnsupportedMediaError: the body is no JSON, or not declared as such.
        BadInstancesError, UnacceptableError: it has no rows, or not those of the model.
    """
    require_json(request)
    body = request.read()
    document = strict_json.parse(body)
    request.context.mark("parse")
    if not isinstance(document, dict):
        raise BadInstancesError("the body must be a JSON object")
    given = [form for form in (*forms, "features") if document.get(form) is not None]
    if given == ["features"]:
        return GivenRows(*validator.parse(body, request.context))
    if len(given) != 1:
        raise BadInstancesError(f"send one of {', '.join(f'`{form}`' for form in forms)}, or `features` for one row")
    return GivenRows(_read_form(request, given[0], document, body, model, validator))


def unwrap_row(row: Any) -> Any:
    """A row without what SageMaker's common data formats may have around it; sparse rows are none of the model's."""
    match row:
        case {"features": list() | dict() as values, **others} if not others:
            return values
        case {"data": {"features": {"values": list() as values, **others}}} if not others and len(row) == 1:
            return values
    return row


def _read_form(  # noqa: PLR0913, PLR0917 (what there is to know about a request)
    request: Request, form: str, document: Mapping[str, Any], body: bytes, model: Model, validator: Validator
) -> Array:
    if strict_json.has_numbers_only(body, form):
        values = validator.validate_rows(require_list(document[form], form), form, are_numbers=True)
    else:
        given = require_list(_join_columns(document[form]) if form == SPLIT else document[form], form)
        values = validator.validate_rows(inputs_of.of(model).rows([*map(unwrap_row, given)], form), form)
        strict_json.require_unique_keys(body, strict_json.count_strings(document))
    request.context.mark("validate")
    return values


def _join_columns(table: Any) -> Any:
    """The rows of a table in the form that pandas calls "split": ``data``, and if given the names in ``columns``."""
    if not isinstance(table, dict):
        return table
    columns, data = table.get("columns"), require_list(table.get("data"), f"{SPLIT}.data")
    if columns is None:
        return data
    is_table = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
    if not is_table or len({*columns}) != len(columns):
        raise BadInstancesError(f"`{SPLIT}.columns` must be a list of the features' names, each of them once")
    for index, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise BadInstancesError(f"{SPLIT}.data[{index}] must be a list of {len(columns)} values, as `columns` is")
    return [dict(zip(columns, row, strict=True)) for row in data]
