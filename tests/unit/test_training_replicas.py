"""Replicas that train at once, and the network that is a logistic regression."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from models import logistic_network, replicas
from models.dataset import Doubles, Integers
from models.replicas import Layers, Replicas


def load(name: str) -> tuple[Doubles, Integers]:
    data = {"iris": load_iris, "wine": load_wine}[name]()
    rows: Doubles = StandardScaler().fit_transform(data.data)
    return rows, data.target


def compute(rows: Doubles, layers: Layers) -> Doubles:
    """The logits of dense layers, as Keras computes them."""
    for index, layer in enumerate(layers):
        rows = rows @ layer.kernel + layer.bias
        rows = np.maximum(rows, 0) if index < len(layers) - 1 else rows
    return rows


def softmax(logits: Doubles) -> Doubles:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


@pytest.mark.parametrize("hidden", [(2,), (6, 6), (16, 8, 3)])
@pytest.mark.parametrize("label_count", [2, 3])
def test_a_network_can_be_a_logistic_regression(hidden: tuple[int, ...], label_count: int) -> None:
    """Its probabilities are scikit-learn's, even for rows beyond those of the training."""
    rows, labels = load("wine")
    rows, labels = rows[labels < label_count], labels[labels < label_count]
    assert logistic_network.can_express(rows.shape[1], label_count, hidden)
    coefficients, intercepts = logistic_network.fit_logistic_regression(rows, labels)
    layers = logistic_network.express(rows, coefficients, intercepts, hidden)
    assert [len(layer.bias) for layer in layers] == [*hidden, label_count]
    reference = LogisticRegression(max_iter=2000).fit(rows, labels)
    beyond = 1.3 * rows
    assert softmax(compute(beyond, layers)) == pytest.approx(reference.predict_proba(beyond), abs=1e-5)


def test_a_network_that_is_too_narrow_cannot() -> None:
    """Ten labels and ten features need nine units."""
    assert not logistic_network.can_express(10, 10, (16, 8))
    assert logistic_network.can_express(10, 10, (9, 9))
    assert logistic_network.can_express(4, 1000, (6, 6))


def test_gradients_are_those_of_the_loss() -> None:
    """A step of Adam moves each parameter against the sign of its numerical derivative."""
    rows, labels = load("iris")
    weights = np.ones((1, len(rows)), np.float32)

    def loss(layers: Layers) -> float:
        probabilities = softmax(compute(rows, layers))
        penalty = sum(float((layer.kernel.astype(np.float64) ** 2).sum()) for layer in layers) / (2 * len(rows))
        return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean() + 0.5 * penalty)

    trained = Replicas([4, 3, 3], [0.5], weights, seed=0)
    before = trained.get_layers(0)
    trained.train(rows.astype(np.float32), labels, 1)
    after = trained.get_layers(0)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        for position in np.ndindex(old.kernel.shape):
            losses = []
            for change in (-1e-3, 1e-3):
                layers = list(before)
                kernel = old.kernel.astype(np.float64)
                kernel[position] += change
                layers[index] = replicas.DenseLayer(kernel, old.bias)
                losses.append(loss(tuple(layers)))
            derivative = (losses[1] - losses[0]) / 2e-3
            if abs(derivative) > 1e-4:
                assert np.sign(new.kernel[position] - old.kernel[position]) == -np.sign(derivative)


def test_replicas_train_as_each_would_alone() -> None:
    """A replica depends on its own penalty and its own rows only."""
    rows, labels = load("iris")
    weights = (np.random.default_rng(0).random((2, len(rows))) < 0.8).astype(np.float32)
    together = Replicas([4, 6, 6, 3], [0.3, 3.0], weights, seed=1)
    together.train(rows.astype(np.float32), labels, 30)
    for index, penalty in enumerate((0.3, 3.0)):
        alone = Replicas([4, 6, 6, 3], [penalty], weights[index : index + 1], seed=1)
        alone.train(rows.astype(np.float32), labels, 30)
        for first, second in zip(together.get_layers(index), alone.get_layers(0), strict=True):
            assert first.kernel == pytest.approx(second.kernel, abs=1e-4)


def test_batches_are_random_but_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond the size of a batch are drawn."""
    monkeypatch.setattr(replicas, "MAX_BATCH_SIZE", 64)
    rows, labels = load("iris")
    weights = np.ones((1, len(rows)), np.float32)
    kernels = []
    for seed in (1, 1, 2):
        trained = Replicas([4, 6, 3], [1.0], weights, seed)
        trained.train(rows.astype(np.float32), labels, 200)
        kernels.append(trained.get_layers(0)[0].kernel)
        assert (trained.compute_logits(rows.astype(np.float32), slice(0, 1))[0].argmax(axis=1) == labels).mean() > 0.9
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
