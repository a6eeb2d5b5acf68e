"""The native protocol: POST /predict."""

from collections.abc import Mapping

import orjson

from service.arrays import Prediction
from service.http.errors import NotJsonError, UnacceptableError
from service.http.media_types import require_json
from service.http.messages import Request, Response
from service.http.routing import JSON, Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import Model, PerModel
from service.protocols.inference import predict
from service.protocols.native_documents import NativeDocuments
from service.protocols.row_codec import GivenRow

_declare = Declare(Protocol.NATIVE)


class NativeRow:
    """A row in ``features``, and its prediction."""

    def __init__(self, model: Model) -> None:
        self._documents = NativeDocuments(model)

    def read(self, headers: Mapping[str, str], body: bytes) -> GivenRow | None:
        if headers.get("content-type", "") != JSON or "content-encoding" in headers:
            return None
        document = orjson.loads(body)
        if type(document) is dict and len(document) == 1 and "features" in document:
            return document["features"], 1, None
        return None

    def write(self, form: None, prediction: Prediction) -> Response:
        del form
        return Response(200, self._documents.row(prediction))


class Native:
    """Predicts one row (``features``) or several (``instances``), each by name or as a list."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._documents = PerModel(NativeDocuments)

    @_declare(
        "POST",
        "[/models/{model}]/predict",
        "Prediction | Predictions",
        accepts="OneRow | ManyRows",
        errors=[NotJsonError, UnacceptableError],
        on_event_loop=True,
        inference=True,
        row_codec=NativeRow,
    )
    def predict(self, request: Request) -> Response:
        """Predict one row, or several rows."""
        model, validator, _ = self._catalog.select(request)
        require_json(request)
        rows, is_single = validator.parse(request.read(), request.context)
        prediction = predict(model, rows, request)
        documents = self._documents.of(model)
        return Response(200, documents.row(prediction) if is_single else documents.rows(prediction))
