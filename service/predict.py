"""The native protocol: ``POST /predict``."""

from functools import partial
from typing import Any

import numpy as np
import orjson

from service.engine import Array
from service.errors import UnsupportedMediaError
from service.messages import Handler, Reply, Request, json_reply
from service.model import Model
from service.validation import Validator


def handler(model: Model, validator: Validator) -> Handler:
    """``POST /predict`` for one model."""
    return partial(predict, model, validator)


def predict(model: Model, validator: Validator, request: Request) -> Reply:
    """One answer for ``features``, a list of them for ``instances``.

    Raises:
        RequestError: the request is not one that this model can answer.
    """
    require_json(request)
    submission = validator.read(request.read())
    if submission.single:
        return json_reply(document(model, submission.rows))
    answers = _answers(model, submission.rows)
    return json_reply({"predictions": answers, "model": model.identity})


def document(model: Model, row: Array) -> dict[str, Any]:
    """The answer to one ``row`` [1, features]."""
    return {**_answers(model, row)[0], "model": model.identity}


def require_json(request: Request) -> None:
    """Refuse a body that says it is anything but plain JSON in UTF-8.

    Raises:
        UnsupportedMediaError: naming what to send instead.
    """
    media, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if media.strip() != "application/json" or charset not in ("", "utf-8"):
        raise UnsupportedMediaError("send the body as `Content-Type: application/json`, in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaError("send the body as it is, without Content-Encoding")


def _answers(model: Model, rows: Array) -> list[dict[str, Any]]:
    probabilities = _shortest(model.probabilities(rows))
    best = [row.index(max(row)) for row in probabilities]
    told = zip(probabilities, best, model.warnings(rows, best), strict=True)
    return [
        {
            "label": model.labels[index],
            "confidence": row[index],
            "probabilities": dict(zip(model.labels, row, strict=True)),
            "warnings": warnings,
        }
        for row, index, warnings in told
    ]


def _shortest(values: Array) -> list[list[float]]:
    """The values as Python floats that print as the shortest decimal of the float32: 0.97, not 0.9700000286102295."""
    return orjson.loads(orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY))  # type: ignore[no-any-return]
