"""Every route and who answers it: the service as a whole, before any adapter carries it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from service import about, explain, page, predict
from service.gate import Gate
from service.messages import Handler
from service.model import Model
from service.settings import Settings
from service.validation import Validator


@dataclass(frozen=True)
class Service:
    """The parts that every adapter needs; ``routes`` are by method and path."""

    settings: Settings
    gate: Gate
    routes: Mapping[tuple[str, str], Handler]

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Load the model and build every handler around it.

        Raises:
            StartupError, BundleError: it cannot start; the message says why in one line.
        """
        model = Model.open(settings.model_store, settings.model_name, settings.engine)
        validator = Validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
        gate = Gate(log_requests=settings.log_requests)
        told = about.handlers(model, gate)
        told |= page.handlers(model, index=told["/"])
        routes = {("GET", path): handler for path, handler in told.items()}
        routes["POST", "/predict"] = predict.handler(model, validator)
        routes["POST", "/explain"] = explain.handler(model, validator)
        return cls(settings, gate, routes)
