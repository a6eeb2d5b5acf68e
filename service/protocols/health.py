"""Liveness, readiness and health of the service, and the description of the model that it serves."""

import time
from collections.abc import Callable
from typing import Any

from models.encoding import Encoder, NumberEncoder
from models.manifest import Manifest
from service.http.errors import NotReadyError
from service.http.messages import Request, Response, json_response
from service.http.routing import PROBLEM, Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import Model, PerModel
from service.version import VERSION

# The manifest's fields that clients may see; golden and background rows and hashes are of no use to them.
PUBLIC_FIELDS = {"name", "version", "features", "layers", "training", "metrics", "reference"}
MAX_COLUMNS = 100  # of an encoder, and boundaries
NO_REFERENCE = (
    "the model was adopted without a sample of its rows, so bounds and training ranges are not known: "
    "there are no warnings, and drift is not detected"
)


class Readiness:
    """Whether the service is ready. It has a model as soon as it runs, so it is until it begins to shut down."""

    def __init__(self) -> None:
        self.is_draining = False
        self.started = time.monotonic()

    def require(self) -> None:
        """Refuse a readiness probe.

        Raises:
            NotReadyError: the service is shutting down.
        """
        if self.is_draining:
            raise NotReadyError("the service is shutting down")

    def respond(self, document: dict[str, Any]) -> Response:
        """The response to a readiness probe: ``document`` with ``ready``; 503 and ``error`` if not ready."""
        try:
            self.require()
        except NotReadyError as error:
            response = json_response({**document, "ready": False, "error": error.detail}, error.status.value)
            response.headers.update(error.headers)
            return response
        return json_response({**document, "ready": True})


_declare = Declare(Protocol.SERVICE)


class Health:
    """``is_authorized`` tells whether a request may see why versions are refused."""

    def __init__(self, catalog: Catalog, readiness: Readiness, is_authorized: Callable[[Request], bool]) -> None:
        self._catalog = catalog
        self._readiness = readiness
        self._is_authorized = is_authorized
        self._descriptions = PerModel(_public_manifest)

    @_declare("GET", "/livez", "Alive", public=True, on_event_loop=True)
    def alive(self, _: Request) -> Response:
        """Whether the process is running."""
        return json_response({"status": "alive"})

    @_declare("GET", "/readyz", "Ready", more={503: {PROBLEM: ["Problem"]}}, public=True, on_event_loop=True)
    def ready(self, _: Request) -> Response:
        """Whether the service accepts predictions."""
        self._readiness.require()
        return json_response({"status": "ready"})

    @_declare("GET", "/health", "Health", more={503: "Health"}, public=True, on_event_loop=True)
    def health(self, request: Request) -> Response:
        """Liveness and readiness, with versions and uptime."""
        registry, is_draining = self._catalog.default, self._readiness.is_draining
        refused = registry.refused
        if not self._is_authorized(request):
            refused = dict.fromkeys(refused, "send an API key to see the reason")
        document = {
            "live": True,
            "ready": not is_draining,
            "version": VERSION,
            "uptime_seconds": round(time.monotonic() - self._readiness.started, 3),
            "model": registry.current.model.identity,
            "versions": registry.versions,
            "refused": refused,
        }
        return json_response(document, 503 if is_draining else 200)

    @_declare("GET", "/model[s/{model}]", "ModelDescription")
    def model(self, request: Request) -> Response:
        """Description of the model."""
        return Response(200, self._descriptions.of(self._catalog.select(request).model))


def _public_manifest(model: Model) -> bytes:
    manifest = model.manifest
    document = manifest.model_dump(mode="json", include=PUBLIC_FIELDS, exclude_unset=True)
    if manifest.class_labels:
        document["labels"] = manifest.class_labels
    if manifest.encoders:
        for feature, described in zip(manifest.features, document["features"], strict=True):
            described["required"] = feature.is_required
        document["encoders"] = [_describe_encoder(manifest, each) for each in manifest.encoders]
    document["inputs"] = [tensor.model_dump() for tensor in manifest.input_tensors]
    document["outputs"] = [head.model_dump() for head in manifest.heads]
    if not manifest.reference:
        document |= {"reference": None, "reference_reason": NO_REFERENCE}
    return json_response(document).body


def _describe_encoder(manifest: Manifest, encoder: Encoder) -> dict[str, Any]:
    """What an encoder makes of its feature, without the vectors of an embedding."""
    feature = manifest.features[manifest.feature_names.index(encoder.feature)]
    names = encoder.column_names(feature)
    document = {"feature": encoder.feature, "kind": encoder.kind, "width": len(names), "columns": names[:MAX_COLUMNS]}
    if isinstance(encoder, NumberEncoder):
        return document | {"fill": encoder.fill, "indicator": encoder.indicator}
    return document | {"boundaries": encoder.boundaries[:MAX_COLUMNS]}
