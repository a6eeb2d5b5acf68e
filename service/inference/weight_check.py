"""Whether a network computes, on random rows, what its weights say; the golden rows are few."""

from collections.abc import Sequence
from random import Random

import numpy as np

from models.feature import Feature
from models.golden import GOLDEN_TOLERANCE
from models.manifest import Manifest
from service.arrays import Array
from service.inference.engine_protocol import Engine
from service.inference.layers import NetworkLayer, with_inputs

_RANDOM_ROWS = 200
_ROUGH_TOLERANCE = 1e-3  # of the largest value: far from the golden rows single precision can be a good deal off


def find_weight_mismatch(
    manifest: Manifest, network: Sequence[NetworkLayer], engine: Engine, *, tolerated_share: float = 0
) -> str | None:
    """The name of the first layer whose outputs differ from those that its weights give, for random rows.

    Each layer gets the engine's own outputs of the layers before it. In a share of up to ``tolerated_share`` of the
    rows they may differ: an activation with a jump, such as `hard_shrink`, can fall on either side of it.
    """
    rows = random_rows(manifest)
    outputs = engine.run(rows, [layer.name for layer in network])
    for layer, inputs in with_inputs(network, manifest.encode(rows), outputs):
        expected, actual = layer.forward(inputs), outputs[layer.name]
        if actual.shape != expected.shape:
            return layer.name
        is_finite = np.isfinite(expected).all(axis=1)  # no network is finite between bounds that are far apart
        if manifest.format > 1:
            is_finite &= np.isfinite(actual).all(axis=1)
        tolerance = _ROUGH_TOLERANCE * float(np.abs(expected[is_finite]).max(initial=1))
        is_close = np.isclose(actual[is_finite], expected[is_finite], rtol=GOLDEN_TOLERANCE, atol=tolerance)
        if (~is_close.all(axis=1)).sum() > tolerated_share * _RANDOM_ROWS:
            return layer.name
    return None


def random_rows(manifest: Manifest) -> Array:
    """Rows within the features' bounds, or, where there are none, between the least and the greatest golden value."""
    golden = manifest.golden_rows
    bounds = np.array(
        [
            _bounds(feature, values[~np.isnan(values)])
            for feature, values in zip(manifest.features, golden.T, strict=True)
        ]
    )
    # From Python's generator, because the import of NumPy's takes half as long as the rest of the check.
    random = np.frombuffer(Random(0).randbytes(4 * _RANDOM_ROWS * len(bounds)), np.uint32)  # noqa: S311 (no secret)
    share = random.reshape(_RANDOM_ROWS, -1) / 2**32
    rows: Array = (bounds[:, 0] * (1 - share) + bounds[:, 1] * share).astype(np.float32)
    is_category = [feature.is_category for feature in manifest.features]
    rows[:, is_category] = np.floor(rows[:, is_category])
    return rows


def _bounds(feature: Feature, golden: Array) -> tuple[float, float]:
    """Those of a feature's random codes; every code of a category is below the second."""
    if feature.is_category:
        return 0, float(np.nextafter(np.float32(feature.code_count), np.float32(0)))
    if feature.has_bounds or not len(golden):
        return feature.lowest, feature.highest
    return float(golden.min()), float(golden.max())
