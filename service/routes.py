"""Every route and who answers it: the service as a whole, before any adapter carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from service import about, explain, oip, page, predict, tfserving
from service.gate import Gate
from service.messages import Route
from service.model import Model
from service.settings import Settings
from service.shelf import Shelf
from service.validation import Validator


@dataclass(frozen=True)
class Service:
    """The parts that every adapter needs."""

    settings: Settings
    gate: Gate
    shelf: Shelf
    routes: Sequence[Route]

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Load the model's versions and build every handler around them.

        Raises:
            StartupError, BundleError: it cannot start; the message says why in one line.
        """
        gate = Gate(log_requests=settings.log_requests)
        shelf = Shelf.open(settings, partial(_equip, settings, gate))
        return cls(settings, gate, shelf, [*about.routes(shelf, gate), *page.routes(about.index), *shelf.routes])


def _equip(settings: Settings, gate: Gate, shelf: Shelf, model: Model) -> list[Route]:
    """Every route that one version of the model answers."""
    validator = Validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
    return [
        *about.model_routes(model),
        *page.model_routes(model),
        *predict.routes(model, validator),
        *explain.routes(model, validator),
        *oip.routes(model, validator, shelf, gate),
        *tfserving.routes(model, validator, shelf, gate),
    ]
