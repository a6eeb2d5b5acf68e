"""Every route and who answers it: the service as a whole, before any adapter carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from service import about, explain, oip, openapi, page, predict, tfserving, trial, viewer
from service.cors import Origins
from service.drift import Drift
from service.gate import Gate, log
from service.keys import Keys
from service.messages import Route
from service.model import Model
from service.settings import Settings
from service.shelf import Shelf
from service.trial import Trial
from service.validation import Validator


@dataclass(frozen=True)
class Service:
    """The parts that every adapter needs."""

    settings: Settings
    gate: Gate
    shelf: Shelf
    drift: Drift
    routes: Sequence[Route]

    @classmethod
    def open(cls, settings: Settings, stand: Trial = trial.pass_over) -> Self:
        """Load the model's versions, each once it has stood its trial, and build every handler around them.

        Raises:
            StartupError, BundleError: it cannot start; the message says why in one line.
        """
        guarded = settings.api_keys or settings.api_keys_file
        keys = Keys(settings.api_keys, settings.api_keys_file) if guarded else None
        origins = Origins(settings.cors_origins) if settings.cors_origins else None
        drift = Drift(settings)
        observers = [drift.tell, *([log] if settings.log_requests else [])]
        gate = Gate(observers=observers, keys=keys, origins=origins)
        whole = [*page.routes(about.index), *viewer.routes()]
        shelf = Shelf.open(settings, partial(_equip, settings, gate, drift, whole), stand)
        routes = [*whole, *about.routes(shelf, gate), *shelf.routes]
        routes += origins.preflights(routes) if origins else []
        gate.open = frozenset(route.handler for route in routes if route.open)
        return cls(settings, gate, shelf, drift, routes)


def _equip(  # noqa: PLR0913, PLR0917 (what a version needs to have routes)
    settings: Settings, gate: Gate, drift: Drift, whole: Sequence[Route], shelf: Shelf, model: Model
) -> list[Route]:
    """Every route that one version of the model answers; ``whole`` are those that all versions share."""
    validator = Validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
    routes = [
        *about.model_routes(model),
        *page.model_routes(model),
        *drift.routes(model),
        *predict.routes(model, validator),
        *explain.routes(model, validator),
        *oip.routes(model, validator, shelf, gate),
        *tfserving.routes(model, validator, shelf, gate),
    ]
    described = [*whole, *about.routes(shelf, gate), *routes]
    return [*routes, *openapi.routes(model.manifest, settings.max_rows, described, guarded=gate.guarded)]
