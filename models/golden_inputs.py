"""The rows on which a trained network is checked whenever it is loaded."""

from collections.abc import Sequence

import numpy as np

from models.dataset import Doubles, Floats, Sample
from models.encoder_fitting import count_entries
from models.feature import MISSING, Feature
from models.reference_fitting import find_typical_index

CORNERS = 5
MAX_SPREAD_ROWS = 16


def select_golden_inputs(
    features: Sequence[Feature], sample: Sample, columns: Floats, label_count: int, limit: int
) -> Floats:
    """Codes of about ``limit`` rows at most, [golden rows, features].

    These are each label's typical individual (with many labels, that of some only), the corners of the feature space
    and, if there are categories or values may be missing, rows that have these. ``columns`` [n, columns] are what the
    network gets for the sample.
    """
    is_plain = all(feature.is_plain for feature in features)
    spread = [] if is_plain else list(spread_entries(features, sample.rows))
    count = max(1, min(label_count, limit - CORNERS - len(spread)))
    deviation: Doubles = columns.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1)
    typical = []
    for label in np.linspace(0, label_count - 1, count).astype(int):
        own = np.flatnonzero(sample.labels == label)
        typical.append(sample.rows[own[find_typical_index(columns[own], scale)]])
    corners = zip(*(_find_corners(*pair) for pair in zip(features, sample.rows.T, strict=True)), strict=True)
    return np.array([*typical, *corners, *spread], np.float32)


def _find_corners(feature: Feature, codes: Floats) -> list[float]:
    """The minimum, the sample's lowest code, its median, its highest, and the maximum; of a category codes as well."""
    present = codes[~np.isnan(codes)]
    if feature.is_category:
        most_frequent = int(np.bincount(present.astype(np.intp)).argmax()) if len(present) else 0
        return [0, min(present, default=0), most_frequent, max(present, default=0), feature.code_count - 1]
    median = np.median(present)
    middle = np.round(median) if feature.kind == "integer" else median
    return [feature.lowest, present.min(), middle, present.max(), feature.highest]


def spread_entries(features: Sequence[Feature], rows: Floats) -> Floats:
    """Rows [n, features] of a sample whose categories are replaced by all in turn, or by some if there are many.

    In the first row, everything that may be missing is missing; in the second, all that may be "other" are.
    """
    counts = [count_entries(feature) if feature.is_category else 0 for feature in features]
    chosen = np.resize(rows, (2 + min(max(counts), MAX_SPREAD_ROWS), rows.shape[1]))
    for column, feature, entries in zip(chosen.T, features, counts, strict=True):
        if entries:
            steps = np.arange(len(column))
            codes = np.round(steps * (entries - 1) / (len(column) - 1)) if entries > len(column) else steps % entries
            column[:] = np.where(codes == feature.code_count, MISSING, codes)
        column[0] = MISSING if feature.allow_missing else column[0]
        column[1] = feature.other_code if feature.allow_other else column[1]
    return chosen
