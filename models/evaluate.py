"""Metrics of classifiers on groups that they were not trained on, and cross-validation beside other classifiers."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from models.dataset import Dataset, Floats, Integers, Sample
from models.embeddings import append_one_hot
from models.encoder_fitting import Encoding, count_entries
from models.feature import Feature

CALIBRATION_BINS = 15
MAX_LABELS_OF_BOOSTING = 50
MAX_CATEGORIES_OF_BOOSTING = 255  # the most that scikit-learn's takes
NETWORK, LOGISTIC, BOOSTING = "network", "logistic regression", "gradient boosting"


@dataclass(frozen=True)
class Scores:
    """A classifier's probabilities [n, labels] for a sample, and the metrics that follow from them.

    With a ``threshold``, the second of two labels is predicted above it. ``rows`` [n, features] are the sample's codes,
    where they are known.
    """

    probabilities: Floats
    labels: Integers
    groups: Integers
    threshold: float | None = None
    rows: Floats | None = None

    @property
    def predicted(self) -> Integers:
        """The index of each individual's predicted label, [n]."""
        if self.threshold is not None:
            return (self.probabilities[:, 1] > self.threshold).astype(np.intp)
        most_probable: Integers = self.probabilities.argmax(axis=1)
        return most_probable

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether each individual's label is predicted, [n]."""
        is_correct: NDArray[np.bool_] = self.predicted == self.labels
        return is_correct

    @property
    def accuracy(self) -> float:
        return float(self.is_correct.mean())

    @property
    def log_loss(self) -> float:
        """Mean negative log likelihood, in nats."""
        likelihoods = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(likelihoods, 1e-9)).mean())

    @property
    def recall(self) -> list[float]:
        """Recall of each label; NaN for a label that the sample does not have."""
        matrix = self.confusion_matrix
        return [float(row[i] / row.sum()) if row.sum() else float("nan") for i, row in enumerate(matrix)]

    @property
    def confusion_matrix(self) -> NDArray[np.int64]:
        """Counts by true label (row) and predicted label (column), [labels, labels]."""
        width = self.probabilities.shape[1]
        pairs = np.bincount(self.labels * width + self.predicted, minlength=width**2)
        return pairs.reshape(width, width).astype(np.int64)

    @property
    def calibration_curve(self) -> list[tuple[int, float, float]]:
        """(individuals, mean confidence, accuracy) of each nonempty bin, of 15 bins of equal width of confidence.

        Confidence is the probability of the predicted label.
        """
        confidence = self.probabilities[np.arange(len(self.labels)), self.predicted]
        bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        masks = [bins == i for i in range(CALIBRATION_BINS)]
        return [(int(m.sum()), float(confidence[m].mean()), float(self.is_correct[m].mean())) for m in masks if m.any()]

    @property
    def expected_calibration_error(self) -> float:
        """Guo et al. 2017, over the bins of `calibration_curve`."""
        errors = (n * abs(accuracy - confidence) for n, confidence, accuracy in self.calibration_curve)
        return sum(errors) / len(self.labels)

    def recall_by_group(self) -> dict[int, float]:
        """Recall of each group in the sample."""
        return {int(group): float(self.is_correct[self.groups == group].mean()) for group in np.unique(self.groups)}


def score(classifier: Any, sample: Sample) -> Scores:
    """Score a scikit-learn classifier, or else a function of rows that gives probabilities, on a sample."""
    probabilities = (
        classifier.predict_proba(sample.rows.astype(np.float64))
        if hasattr(classifier, "predict_proba")
        else np.asarray(classifier(sample.rows, training=False))
    )
    return Scores(probabilities, sample.labels, sample.groups, rows=sample.rows)


def concatenate(scores: list[Scores]) -> Scores:
    """Concatenate the scores of several folds."""
    parts = zip(*((s.probabilities, s.labels, s.groups) for s in scores), strict=True)
    probabilities, labels, groups = map(np.concatenate, parts)
    rows = [s.rows for s in scores if s.rows is not None]
    return Scores(probabilities, labels, groups, rows=np.concatenate(rows) if len(rows) == len(scores) else None)


def build_logistic_regression(features: Sequence[Feature] = (), rows: Floats | None = None) -> Any:
    """Build scikit-learn's logistic regression at its defaults, on standardized features.

    Categories and missing values of codes become columns as in the training ``rows`` [n, features].
    """
    if rows is None or all(feature.is_plain for feature in features):
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    encoding = Encoding.fit(features, rows)
    normalization = encoding.fit_normalization(encoding.encode(rows))
    counts = [count_entries(feature) for feature in encoding.embedded]

    def encode(codes: NDArray[np.floating]) -> csr_array:
        own = codes.astype(np.float32)
        return append_one_hot(normalization.apply(encoding.encode(own)), encoding.find_entries(own), counts)

    return make_pipeline(FunctionTransformer(encode), LogisticRegression(max_iter=2000))


def build_boosting(features: Sequence[Feature], seed: int) -> Any:
    """Build scikit-learn's gradient boosting at its defaults; it knows which codes are categories, unless too many."""
    are_categories = [each.is_category and each.code_count <= MAX_CATEGORIES_OF_BOOSTING for each in features]
    categories = are_categories if any(are_categories) else None
    return HistGradientBoostingClassifier(categorical_features=categories, random_state=seed, early_stopping=False)


def fit_baselines(dataset: Dataset, groups: Integers, count: int, seed: int) -> dict[str, Any]:
    """Fit logistic regression and gradient boosting, at scikit-learn's defaults, to plain individuals of the groups.

    With many labels logistic regression only: boosting builds a tree for each label and iteration.
    """
    sample = dataset.sample(groups, count, np.random.default_rng(seed))
    classifiers = {
        LOGISTIC: build_logistic_regression(dataset.features, sample.rows),
        BOOSTING: build_boosting(dataset.features, seed),
    }
    if len(dataset.labels) > MAX_LABELS_OF_BOOSTING:
        del classifiers[BOOSTING]
    rows = sample.rows.astype(np.float64)  # the square of a value can exceed float32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {name: classifier.fit(rows, sample.labels) for name, classifier in classifiers.items()}


@dataclass(frozen=True)
class CrossValidation:
    """The scores of each fold, by classifier; ``stressed`` is empty if the dataset has no stress test.

    ``extremes`` has the scores on the dataset's extreme groups, all held out at once; it is empty if there are none.
    """

    plain: dict[str, list[Scores]]
    stressed: dict[str, list[Scores]]
    extremes: dict[str, Scores]


def summarize(scores: Scores, labels: tuple[str, ...]) -> dict[str, Any]:
    """Round the metrics that the manifest and the report quote."""
    return {
        "individuals": len(scores.labels),
        "accuracy": round(scores.accuracy, 4),
        "recall": {
            label: round(recall, 4) for label, recall in zip(labels, scores.recall, strict=True) if not np.isnan(recall)
        },
        "expected_calibration_error": round(scores.expected_calibration_error, 4),
        "log_loss": round(scores.log_loss, 4),
    }
