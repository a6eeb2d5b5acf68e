"""What the service needs of an engine."""

from collections.abc import Collection, Iterable
from typing import Protocol

from service.arrays import Array


class Engine(Protocol):
    """Runs one network; safe to call from any thread. ``layers`` are the names of those whose outputs it can give."""

    layers: Collection[str]

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        """The outputs [rows, units] of the named layers for ``rows`` [rows, features]."""

    def run_row(self, rows: Array, layer: str) -> Array:
        """The output [1, units] of one layer for one row, [1, features]."""
