"""The check of a network against the golden rows: it must give the outputs that its manifest recorded."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.manifest import Manifest

# Relative and absolute. Engines and processors differ by about 5e-7 in float32 arithmetic of this size.
GOLDEN_TOLERANCE = 1e-5


class GoldenMismatch(NamedTuple):
    """The index of a golden row and the name of a layer whose output differs from the manifest."""

    row: int
    layer: str


def find_golden_mismatch(
    manifest: Manifest, outputs: Mapping[str, ArrayLike], *, rows: int | None = None
) -> GoldenMismatch | None:
    """Compare a network's outputs with the golden rows, within `GOLDEN_TOLERANCE`; None if all agree.

    The absolute tolerance is relative to a layer's largest golden output if that is greater than 1.
    ``outputs`` maps each layer's name to an array [rows, units]. If ``rows`` is given, the network's input was the
    golden rows repeated up to that number. An array of another shape counts as a mismatch in row 0.
    """
    for layer in manifest.layers:
        actual = np.asarray(outputs[layer.name])
        golden = np.array([row.outputs[layer.name] for row in manifest.golden])
        expected = np.resize(golden, (rows or len(golden), layer.units))
        if actual.shape != expected.shape:
            return GoldenMismatch(0, layer.name)
        scale = max(1.0, float(np.abs(golden).max()))
        agrees = np.isclose(actual, expected, rtol=GOLDEN_TOLERANCE, atol=scale * GOLDEN_TOLERANCE).all(axis=1)
        if not agrees.all():
            return GoldenMismatch(int(agrees.argmin()) % len(golden), layer.name)
    return None
