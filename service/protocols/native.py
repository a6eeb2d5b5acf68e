"""The native protocol: POST /predict."""

from typing import Any

from service.arrays import Array
from service.http import strict_json
from service.http.context import RequestContext
from service.http.errors import NotJsonError, UnacceptableError
from service.http.media_types import require_media_type
from service.http.messages import Request, Response, json_response
from service.http.routing import JSON, Declare, Protocol
from service.inference.model import Model
from service.inference.registry import Registry

_declare = Declare(Protocol.NATIVE)


class Native:
    """Predicts one row (``features``) or several (``instances``), each by name or as a list."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @_declare(
        "POST",
        "/predict",
        "Prediction | Predictions",
        accepts="OneRow | ManyRows",
        errors=[NotJsonError, UnacceptableError],
        on_event_loop=True,
        inference=True,
    )
    def predict(self, request: Request) -> Response:
        """Predict the label of one row, or of several rows."""
        model, validator, _ = self._registry.select(request)
        require_media_type(request, JSON)
        given = validator.parse(request.read(), request.context)
        predictions = predict_documents(model, given.rows, request.context)
        if given.is_single:
            return json_response({**predictions[0], "model": model.identity})
        return json_response({"predictions": predictions, "model": model.identity})


def predict_documents(model: Model, rows: Array, context: RequestContext) -> list[dict[str, Any]]:
    """Predict ``rows`` [rows, features], and describe the prediction of each as the native protocol does."""
    context.prediction = prediction = model.predict(rows)
    context.mark("infer")
    probabilities = strict_json.shortest_floats(prediction.probabilities)
    rows_of_document = zip(probabilities, prediction.labels, model.warnings(prediction), strict=True)
    return [
        {
            "label": model.labels[label],
            "confidence": row[label],
            "probabilities": dict(zip(model.labels, row, strict=True)),
            "warnings": warnings,
        }
        for row, label, warnings in rows_of_document
    ]
