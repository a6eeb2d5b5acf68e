"""Liveness, readiness and health of the service, its models, and the description of one."""

import time
from collections.abc import Callable
from typing import Any

from models.encoding import Encoder, NumberEncoder
from models.manifest import Manifest
from service.http.messages import Request, Response, json_response
from service.http.model_paths import list_model_paths
from service.http.routing import PROBLEM, Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import Model, PerModel
from service.inference.registry import Registry
from service.protocols.readiness import Readiness
from service.version import VERSION

# The manifest's fields that clients may see; golden and background rows and hashes are of no use to them.
PUBLIC_FIELDS = {"name", "version", "features", "layers", "training", "metrics", "reference"}
MAX_COLUMNS = 100  # of an encoder, and boundaries
NO_REFERENCE = (
    "the model was adopted without a sample of its rows, so bounds and training ranges are not known: "
    "there are no warnings, and drift is not detected"
)
_HIDDEN = "send an API key to see the reason"

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

    @_declare("GET", "/readyz", "Ready", more={503: {PROBLEM: ["NotReadyProblem"]}}, public=True, on_event_loop=True)
    def ready(self, _: Request) -> Response:
        """Whether the service accepts predictions, and which models are ready."""
        self._readiness.require()
        return json_response({"status": "ready", "models": self._readiness.list_models()})

    @_declare("GET", "/health", "Health", more={503: "Health"}, public=True, on_event_loop=True)
    def health(self, request: Request) -> Response:
        """Liveness and readiness, with uptime, and the versions of the default model.

        `model` is null if there is no default model, or if no version of it could be loaded.
        """
        registry, is_ready = self._catalog.by_path.get(""), self._readiness.is_ready
        document = {
            "live": True,
            "ready": is_ready,
            "version": VERSION,
            "uptime_seconds": round(time.monotonic() - self._readiness.started, 3),
            "model": registry.serving.model.identity if registry and registry.serving else None,
            "versions": registry.versions if registry else [],
            "refused": self._list_refused(registry, request) if registry else {},
            "models": self._readiness.list_models(),
            **(self._describe_shadow(registry, request) if registry else {"shadow": None, "shadow_fault": None}),
        }
        return json_response(document, 200 if is_ready else 503)

    @_declare("GET", "/models", "ModelList", public=True, on_event_loop=True)
    def models(self, request: Request) -> Response:
        """The models, with their versions and states.

        `fault` says why a model has no version that serves, or why its folder could not be read lately; it and the
        reasons in `refused` are shown to clients with an API key only, if API keys are set.
        """
        return json_response({"models": [self._describe(each, request) for each in self._catalog.registries]})

    @_declare("GET", "/model[s/{model}]", "ModelDescription")
    def model(self, request: Request) -> Response:
        """Description of the model."""
        return Response(200, self._descriptions.of(self._catalog.select(request).model))

    def _describe(self, registry: Registry, request: Request) -> dict[str, Any]:
        """The entry of a model in the list of all."""
        fault = self._catalog.fault(registry)
        return {
            "name": registry.name,
            "default": registry.name == self._catalog.default_name,
            "state": "ready" if registry.serving else "unavailable",
            "serving": registry.serving.model.version if registry.serving else None,
            "versions": registry.versions,
            "refused": self._list_refused(registry, request),
            "fault": self._reason(fault, request),
            **self._describe_shadow(registry, request),
            "paths": list_model_paths(registry.name),
        }

    def _describe_shadow(self, registry: Registry, request: Request) -> dict[str, Any]:
        """The version that is compared with the serving one, or why there is none although one is named."""
        shadow = registry.shadow  # the thread that polls may replace it
        number = shadow.model.version if shadow else None
        return {"shadow": number, "shadow_fault": self._reason(registry.shadow_fault, request)}

    def _reason(self, fault: str, request: Request) -> str | None:
        """A reason, if there is one and the client may know it."""
        return (fault if self._is_authorized(request) else _HIDDEN) if fault else None

    def _list_refused(self, registry: Registry, request: Request) -> dict[str, str]:
        """Why versions are refused, by number, if the client may know."""
        refused = registry.refused
        return refused if self._is_authorized(request) else dict.fromkeys(refused, _HIDDEN)


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
