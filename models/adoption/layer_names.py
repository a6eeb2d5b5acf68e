"""Names of layers that every exporter accepts."""

import keyword
import re
import unicodedata

_RESERVED = ("features", "self", "training", "mask")


class LayerNames:
    """Makes names of ASCII letters, digits and underscores, each only once."""

    def __init__(self) -> None:
        self._taken = {*_RESERVED, *keyword.kwlist}

    def make(self, name: str) -> str:
        """A name that resembles ``name`` and that nothing has yet."""
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        base = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "layer"
        if base[0].isdigit():
            base = f"layer_{base}"
        candidate, count = base, 1
        while candidate.lower() in self._taken:
            count += 1
            candidate = f"{base}_{count}"
        self._taken.add(candidate.lower())
        return candidate
