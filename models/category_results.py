"""How well a classifier does on the rows of each category, and on those in which a value is missing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.dataset import Floats
from models.encoder_fitting import count_entries, find_entries
from models.evaluate import Scores
from models.feature import MISSING, Feature


@dataclass(frozen=True)
class CategoryResult:
    """The held-out individuals that have one category of a feature, and what the classifier makes of them.

    ``share`` is theirs of all individuals, ``accuracy`` the share of them whose label is predicted, and ``recall``
    [labels] the same among those of a label; NaN for a label that none of them has.
    """

    feature: str
    category: str
    individuals: int
    share: float
    accuracy: float
    recall: list[float]


def find_category_results(features: Sequence[Feature], scores: Scores) -> list[CategoryResult]:
    """The results for each category that rows have, in the order of the codes, then for missing values."""
    if scores.rows is None:
        return []
    return [
        result
        for feature, codes in zip(features, scores.rows.T, strict=True)
        if feature.is_category or feature.allow_missing
        for result in _find_results(feature, codes, scores)
    ]


def _find_results(feature: Feature, codes: Floats, scores: Scores) -> Iterator[CategoryResult]:
    if feature.is_category:
        entries, count = find_entries(feature, codes), count_entries(feature)
    else:
        entries, count = np.where(np.isnan(codes), 0, 1), 1  # of a number, only the missing ones
    for entry in range(count):
        chosen = entries == entry
        if chosen.any():
            own = Scores(scores.probabilities[chosen], scores.labels[chosen], scores.groups[chosen], scores.threshold)
            is_missing = not feature.is_category or entry == feature.code_count
            name = feature.describe_code(MISSING if is_missing else entry)
            yield CategoryResult(feature.name, name, int(chosen.sum()), chosen.mean(), own.accuracy, own.recall)
