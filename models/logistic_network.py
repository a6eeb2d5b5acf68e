"""Logistic regression, and a network that computes exactly that."""

import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from models.dataset import Doubles, Integers
from models.replicas import DenseLayer, Layers

MARGIN = 1.0  # ranges of a projection; only further below its lowest value in training is the network not linear


def fit_logistic_regression(rows: Doubles | csr_array, labels: Integers) -> tuple[Doubles, Doubles]:
    """Fit scikit-learn's logistic regression to normalized rows: coefficients [features, labels] and intercepts.

    Those of all labels sum to 0, which changes no probability.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=2000).fit(rows, labels)
    coefficients, intercepts = model.coef_.T, model.intercept_
    if len(intercepts) == 1:  # two labels
        coefficients, intercepts = coefficients * [[-0.5, 0.5]], intercepts * [-0.5, 0.5]
    return coefficients - coefficients.mean(axis=1, keepdims=True), intercepts - intercepts.mean()


def can_express(features: int, labels: int, hidden: Sequence[int]) -> bool:
    """Whether a network with these hidden layers can compute any logistic regression."""
    return min(features, labels - 1) <= min(hidden)


def express(rows: Doubles | csr_array, coefficients: Doubles, intercepts: Doubles, hidden: Sequence[int]) -> Layers:
    """Build layers that compute this logistic regression for ``rows`` and, nearly everywhere, for others.

    The coefficients have rank labels - 1 at most. Their singular value decomposition is spread over the layers: the
    first units of each hidden layer carry the projections, with a bias that keeps them positive, so that no ReLU cuts
    them off. The other units stay 0.
    """
    left, singular, right = np.linalg.svd(coefficients, full_matrices=False)
    rank = min(len(singular), len(intercepts) - 1)
    scale = singular[:rank] ** (1 / (len(hidden) + 1))
    first = left[:, :rank] * scale
    projections = rows @ first
    offset = MARGIN * np.ptp(projections, axis=0) - projections.min(axis=0)
    kernels = [first, *[np.diag(scale)] * (len(hidden) - 1), scale[:, None] * right[:rank]]
    biases = [
        offset,
        *[np.zeros(rank)] * (len(hidden) - 1),
        intercepts - offset @ np.diag(scale ** len(hidden)) @ right[:rank],
    ]
    widths = [len(coefficients), *hidden, len(intercepts)]
    return tuple(map(_pad, kernels, biases, pairwise(widths)))


def _pad(kernel: Doubles, bias: Doubles, shape: tuple[int, int]) -> DenseLayer:
    """Fill up with zeros to a kernel of this shape."""
    padded = np.zeros(shape, np.float32)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    return DenseLayer(padded, np.pad(bias, (0, shape[1] - len(bias))).astype(np.float32))
