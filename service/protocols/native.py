"""The native protocol: ``POST /predict``."""

from functools import partial
from typing import Any

from service.http import media_types, strict_json
from service.http.context import Record
from service.http.messages import Reply, Request, Route, json_reply
from service.inference.engine import Array
from service.inference.model import Model
from service.inference.validation import Validator


def routes(model: Model, validator: Validator) -> list[Route]:
    """``POST /predict`` for one model."""
    return [Route("POST", "/predict", model.statistics.counted(partial(predict, model, validator)), hot=True)]


def predict(model: Model, validator: Validator, request: Request) -> Reply:
    """One answer for ``features``, a list of them for ``instances``.

    Raises:
        RequestError: the request is not one that this model can answer.
    """
    media_types.require(request, media_types.JSON)
    submission = validator.read(request.read(), request.record)
    if submission.single:
        return json_reply(document(model, submission.rows, request.record))
    answers = _answers(model, submission.rows, request.record)
    return json_reply({"predictions": answers, "model": model.identity})


def document(model: Model, row: Array, record: Record) -> dict[str, Any]:
    """The answer to one ``row`` [1, features]."""
    return {**_answers(model, row, record)[0], "model": model.identity}


def _answers(model: Model, rows: Array, record: Record) -> list[dict[str, Any]]:
    probabilities = strict_json.shortest(model.probabilities(rows, record))
    best = [row.index(max(row)) for row in probabilities]
    told = zip(probabilities, best, model.warnings(rows, best, record.unlike), strict=True)
    return [
        {
            "label": model.labels[index],
            "confidence": row[index],
            "probabilities": dict(zip(model.labels, row, strict=True)),
            "warnings": warnings,
        }
        for row, index, warnings in told
    ]
