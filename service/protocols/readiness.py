"""Whether the service, or one of its models, accepts predictions: what probes of every protocol ask."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from service.http.errors import NotReadyError
from service.http.messages import Request, Response, json_response
from service.inference.catalog import Catalog, list_names
from service.settings import Settings


class Readiness:
    """The service is ready until it shuts down, as long as the models are loaded that ``MENAGERIE_READY`` asks for.

    Only models that the settings name count. Others have been found in the store: who may write there must not be able
    to make the service unready.
    """

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._needed = frozenset(settings.model_names if settings.ready == "all" else ())
        self.is_draining = False
        self.started = time.monotonic()

    @property
    def is_ready(self) -> bool:
        """Whether the service accepts predictions."""
        return not self._find_fault()

    def list_models(self) -> Mapping[str, Sequence[str]]:
        """The names of the models that are ready, and of those that are not."""
        names: dict[str, list[str]] = {"ready": [], "unavailable": []}
        for registry in self._catalog.registries:
            names["ready" if registry.serving else "unavailable"].append(registry.name)
        return names

    def require(self) -> None:
        """Refuse a readiness probe.

        Raises:
            NotReadyError: the service shuts down, or models are missing.
        """
        if fault := self._find_fault():
            raise NotReadyError(fault, members={"models": self.list_models()})

    def respond(self, document: Mapping[str, Any]) -> Response:
        """The response to a probe of the service: ``document`` with ``ready``; 503 and ``error`` if it is not ready."""
        return _respond(document, self._find_fault())

    def respond_for(self, request: Request, document: Mapping[str, Any]) -> Response:
        """As `respond`, for the model or the version that the request's path names.

        Raises:
            NoModelError: there is no such model, or the version is not loaded.
        """
        registry = self._catalog.registry_of(request)
        if registry.serving:
            self._catalog.select(request)
            return _respond(document, self._find_shutdown())
        return _respond(document, self._find_shutdown() or registry.unavailable_message)

    def _find_shutdown(self) -> str:
        return "the service is shutting down" if self.is_draining else ""

    def _find_fault(self) -> str:
        """Why the service is not ready; empty if it is."""
        if self.is_draining:
            return self._find_shutdown()
        unavailable = self._catalog.unavailable
        if len(unavailable) == len(self._catalog.registries):
            return "no model is loaded: GET /models has the reasons"
        missing = [name for name in unavailable if name in self._needed]
        return f"models are not loaded ({list_names(missing)}): GET /models has the reasons" if missing else ""


def _respond(document: Mapping[str, Any], fault: str) -> Response:
    if not fault:
        return json_response({**document, "ready": True})
    error = NotReadyError(fault)
    response = json_response({**document, "ready": False, "error": fault}, error.status.value)
    response.headers.update(error.headers)
    return response
