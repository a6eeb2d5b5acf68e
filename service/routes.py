"""Every route and who answers it: the service as a whole, before any adapter carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service import about, oip, openapi, predict, tfserving, viewer
from service.gate import Gate
from service.messages import Route
from service.model import Model
from service.settings import Settings
from service.validation import Validator


@dataclass(frozen=True)
class Service:
    """The parts that every adapter needs."""

    settings: Settings
    gate: Gate
    routes: Sequence[Route]

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Load the model and build every handler around it.

        Raises:
            StartupError, BundleError: it cannot start; the message says why in one line.
        """
        model = Model.open(settings.model_store, settings.model_name, settings.engine)
        validator = Validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
        gate = Gate(log_requests=settings.log_requests)
        routes = [
            *about.routes(model, gate),
            *predict.routes(model, validator),
            *oip.routes(model, validator, gate),
            *tfserving.routes(model, validator),
            *viewer.routes(),
        ]
        routes += openapi.routes(model.manifest, settings.max_rows, routes)
        return cls(settings, gate, routes)
