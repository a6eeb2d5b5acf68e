"""The contract of custom containers on Vertex AI.

Source: cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements. docs/clouds.md shows how to deploy.
"""

from service.http.errors import BadInstancesError, NotJsonError, UnacceptableError
from service.http.messages import Request, Response, json_response
from service.http.routing import PROBLEM, Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import PerModel
from service.protocols.clouds.json_rows import read_json
from service.protocols.inference import predict
from service.protocols.native_documents import NativeDocuments
from service.protocols.readiness import Readiness

HEALTH_PATH, PREDICT_PATH = "/health", "/predict"  # as declared; the settings name those to serve

_declare = Declare(Protocol.VERTEX, "vertex_")


class Vertex:
    """The two routes that Vertex AI calls."""

    def __init__(self, catalog: Catalog, readiness: Readiness) -> None:
        self._catalog = catalog
        self._readiness = readiness
        self._documents = PerModel(NativeDocuments)

    @_declare("GET", HEALTH_PATH, "Ready", more={503: {PROBLEM: ["NotReadyProblem"]}}, public=True, on_event_loop=True)
    def health(self, _: Request) -> Response:
        """Whether the service accepts predictions."""
        self._readiness.require()
        return json_response({"status": "ready", "models": self._readiness.list_models()})

    @_declare(
        "POST",
        PREDICT_PATH,
        "VertexPredictions | Prediction",
        accepts="ServingRows | OneRow",
        errors=[NotJsonError, BadInstancesError, UnacceptableError],
        on_event_loop=True,
        inference=True,
        of_default_model=True,
    )
    def predict(self, request: Request) -> Response:
        """Predict rows; `parameters` are ignored.

        One row in `features` gets the response of the native protocol.
        """
        model, validator, _ = self._catalog.select(request)
        given = read_json(request, model, validator)
        prediction = predict(model, given.values, request)
        documents = self._documents.of(model)
        if given.is_single:
            return Response(200, documents.row(prediction))
        return Response(200, documents.rows(prediction).removesuffix(documents.end) + b"}")
