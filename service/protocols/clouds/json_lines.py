"""JSON Lines (jsonlines.org): one JSON document on each line, which is a row."""

from typing import Any

import orjson

from service.arrays import Array, Prediction
from service.http import strict_json
from service.http.errors import BadInstancesError, NotJsonError
from service.http.messages import Request
from service.inference.model import Model
from service.inference.validation import Validator
from service.protocols.clouds.json_rows import unwrap_row
from service.protocols.native_documents import NativeDocuments
from service.protocols.tfserving_inputs import inputs_of

_FORM = "lines"  # where faults are: the first line that is not blank is lines[0]


def read_json_lines(request: Request, model: Model, validator: Validator) -> Array:
    """Read the rows, [rows, features]: each line has one by name, as a list, or under ``features``.

    Raises:
        NotJsonError: a line is not strict JSON.
        BadInstancesError, UnacceptableError: the rows are not those of the model.
    """
    lines = [line for line in request.read().split(b"\n") if line.strip()]
    documents = [_parse(line, index) for index, line in enumerate(lines)]
    request.context.mark("parse")
    rows = inputs_of.of(model).rows([*map(unwrap_row, documents)], _FORM)
    values = validator.validate_rows(rows, _FORM)
    for document, line in zip(documents, lines, strict=True):
        strict_json.require_unique_keys(line, strict_json.count_strings(document))
    request.context.mark("validate")
    return values


def write_json_lines(documents: NativeDocuments, prediction: Prediction) -> bytes:
    """A line for each row, which is its entry in ``predictions`` of `/predict`."""
    predictions = orjson.loads(documents.rows(prediction))["predictions"]
    return b"".join([orjson.dumps(each) + b"\n" for each in predictions])


def _parse(line: bytes, index: int) -> Any:
    try:
        document = strict_json.parse(line)
    except NotJsonError as error:
        raise NotJsonError(f"{_FORM}[{index}]: {error.detail.replace('the body', 'the line')}") from None
    if not isinstance(document, dict | list):
        raise BadInstancesError(f"{_FORM}[{index}] must be an object or a list with the values of a row")
    return document
