"""What a protocol offers to the fast path: how it reads and writes a single row, where nothing is unusual."""

from collections.abc import Mapping
from typing import Any, Protocol

from service.arrays import Prediction
from service.http.messages import Response

GivenRow = tuple[Any, int, Any]
"""A row's values, by name, in schema order or as float32 [1, features]; how many strings the JSON must have beside
feature names; and what else `RowCodec.write` needs to know of the request."""


class RowCodec(Protocol):
    """Reads and writes one row for one model."""

    def read(self, headers: Mapping[str, str], body: bytes) -> GivenRow | None:
        """The row in a request; None, or a ValueError, if the request is not as usual."""

    def write(self, form: Any, prediction: Prediction) -> Response:
        """The response; ``form`` is the last part of what `read` gave."""
