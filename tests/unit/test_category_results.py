"""What the report says of each category."""

import tracemalloc

import numpy as np
from support import mixed_datasets

from models.category_results import find_category_results
from models.evaluate import Scores, build_logistic_regression, concatenate, fit_baselines, score
from models.feature import Feature

FEATURES = (
    Feature(name="x", minimum=0, maximum=9, allow_missing=True),
    Feature(name="y", minimum=0, maximum=9),
    Feature(
        name="c",
        kind="category",
        minimum=None,
        maximum=None,
        categories=("a", "b", "d"),
        allow_other=True,
        allow_missing=True,
    ),
)
NAN = np.nan


def scores(rows: list[list[float]], labels: list[int], predicted: list[int]) -> Scores:
    probabilities = np.eye(2, dtype=np.float32)[predicted]
    return Scores(probabilities, np.array(labels), np.arange(len(labels)), rows=np.array(rows, np.float32))


def test_each_category_has_its_share_and_recall() -> None:
    """Those without rows are left out; of a number, only missing values count."""
    rows: list[list[float]] = [[1, 1, 0], [NAN, 2, 0], [NAN, 3, 1], [4, 4, 3], [5, 5, NAN]]
    found = find_category_results(FEATURES, scores(rows, [0, 1, 1, 0, 1], [0, 0, 1, 1, 1]))
    assert [(each.feature, each.category, each.individuals, each.share, each.accuracy) for each in found] == [
        ("x", "(missing)", 2, 0.4, 0.5),
        ("c", "a", 2, 0.4, 0.5),
        ("c", "b", 1, 0.2, 1),
        ("c", "(other)", 1, 0.2, 0),
        ("c", "(missing)", 1, 0.2, 1),
    ]
    assert found[1].recall == [1, 0]
    assert np.isnan(found[2].recall[0])


def test_folds_are_joined_with_their_rows() -> None:
    """Scores without rows, as adoption has them, tell nothing of categories."""
    both = concatenate([scores([[1, 1, 0]], [0], [0]), scores([[1, 1, 1]], [1], [0])])
    assert [(each.category, each.accuracy) for each in find_category_results(FEATURES, both)] == [("a", 1), ("b", 0)]
    assert find_category_results(FEATURES, Scores(both.probabilities, both.labels, both.groups)) == []


def test_baselines_take_categories_and_missing_values() -> None:
    """Both learn the species of penguins from islands, sexes and measurements with gaps."""
    table = mixed_datasets.penguins(150)
    training, test = np.arange(100), np.arange(100, 150)
    sample = table.sample(test, 0, np.random.default_rng(0))
    assert np.isnan(table.individuals.rows).any()
    for name, classifier in fit_baselines(table, training, 0, 0).items():
        assert score(classifier, sample).accuracy > 0.9, name


def test_logistic_regression_takes_many_categories() -> None:
    """With a sparse matrix: a dense one would have a number for each row and category."""
    rows = np.arange(5000, dtype=np.float32)[:, np.newaxis] % 1000
    features = [FEATURES[2].model_copy(update={"categories": tuple(map(str, range(1000)))})]
    tracemalloc.start()
    try:
        encoded = build_logistic_regression(features, rows)[0].transform(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert encoded.shape == (5000, features[0].code_count + 1)
    assert peak < 5000 * 1000  # bytes
