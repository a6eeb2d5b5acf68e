"""GET /openapi.json and /models/{model}/openapi.json: the OpenAPI document of a model."""

from collections.abc import Sequence
from functools import partial

from service.http.messages import Request, Response, json_response
from service.http.routing import JSON, Declare, Protocol, Route
from service.inference.catalog import Catalog
from service.inference.model import Model, PerModel
from service.settings import Settings

_declare = Declare(Protocol.SERVICE)


class OpenApi:
    """``routes`` are all that the service has; with ``requires_key``, those that are not public need an API key."""

    def __init__(self, settings: Settings, catalog: Catalog, routes: Sequence[Route], *, requires_key: bool) -> None:
        self._catalog = catalog
        self._routes = routes
        self._settings = settings
        self._requires_key = requires_key
        self._documents = {server: PerModel(partial(self._build, server)) for server in (".", "../..")}

    @_declare("GET", "[/models/{model}]/openapi.json", {JSON: ["object"]})
    def openapi(self, request: Request) -> Response:
        """The OpenAPI document of the model."""
        documents = self._documents["../.." if "model" in request.parameters else "."]
        return Response(200, documents.of(self._catalog.select(request).model))

    def _build(self, server: str, model: Model) -> bytes:
        # At the first request: 10 ms of imports and 100 ms of work are nothing that a start should wait for.
        from service.openapi.document import build_document
        from service.openapi.model_types import ModelTypes

        types = ModelTypes(model, self._settings.max_rows, self._settings.max_explained_rows)
        is_default = model.manifest.name == self._catalog.default_name
        document = build_document(
            types, self._routes, requires_key=self._requires_key, server=server, is_default=is_default
        )
        return json_response(document).body
