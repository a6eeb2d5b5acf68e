"""The native protocol: POST /predict."""

from service.http.errors import NotJsonError, UnacceptableError
from service.http.media_types import require_media_type
from service.http.messages import Request, Response
from service.http.routing import JSON, Declare, Protocol
from service.inference.model import PerModel
from service.inference.registry import Registry
from service.protocols.native_documents import NativeDocuments

_declare = Declare(Protocol.NATIVE)


class Native:
    """Predicts one row (``features``) or several (``instances``), each by name or as a list."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._documents = PerModel(NativeDocuments)

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
        rows, is_single = validator.parse(request.read(), request.context)
        request.context.prediction = prediction = model.predict(rows)
        request.context.mark("infer")
        documents = self._documents.of(model)
        return Response(200, documents.row(prediction) if is_single else documents.rows(prediction))
