"""The network's architecture, training, determinism and export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.animals import Animals
from models.bundle import MODEL_KERAS, MODEL_LITERT
from models.dataset import Sample

pytestmark = pytest.mark.tensorflow

LABEL_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def network() -> Any:
    """Imported here, because TensorFlow would slow down the collection of the tests."""
    return pytest.importorskip("models.network")


def train(network: Any, seed: int) -> Any:
    network.set_random_seed(seed)
    facts = Animals.read()
    sample = facts.sample_augmented(np.arange(len(facts.groups)), 2000, np.random.default_rng(seed))
    model = network.build(4, sample.rows)
    network.fit(model, sample, 3, LABEL_WEIGHTS, lambda: None)
    return model


@pytest.fixture(scope="module")
def trained(network: Any) -> Any:
    return train(network, 3)


def test_it_has_the_tutorials_architecture(trained: Any) -> None:
    """It takes raw units, normalizes them, and has 124 trainable parameters in layers of 6, 6 and 4 units."""
    assert [layer.name for layer in trained.layers] == ["normalization", "hidden_1", "hidden_2", "probabilities"]
    assert [layer.output.shape[-1] for layer in trained.layers] == [8, 6, 6, 4]
    assert sum(int(np.prod(weight.shape)) for weight in trained.trainable_weights) == 124
    assert trained.inputs[0].name == "features"


def test_the_same_seed_gives_the_same_weights(network: Any, trained: Any) -> None:
    """They are equal bit for bit; another seed gives others."""
    again, other = train(network, 3), train(network, 4)
    assert all(np.array_equal(a, b) for a, b in zip(trained.get_weights(), again.get_weights(), strict=True))
    assert not np.array_equal(trained.get_weights()[3], other.get_weights()[3])


def test_training_lowers_the_loss_and_calls_back_after_every_epoch(network: Any) -> None:
    """The network separates two clusters that are far apart."""
    network.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 3000)
    rows = (rng.standard_normal((3000, 3)) + 6 * labels[:, None]).astype(np.float32)
    model = network.build(2, rows)
    calls: list[int] = []
    losses = network.fit(model, Sample(rows, labels, labels), 12, (1.0, 1.0), lambda: calls.append(1))
    assert len(losses) == len(calls) == 12
    assert losses[-1] < 0.1 < losses[0]
    assert (np.asarray(model(rows, training=False)).argmax(axis=1) == labels).mean() > 0.99


def test_label_weights_scale_the_loss(network: Any) -> None:
    """For two labels with the same distribution, the probabilities are proportional to their weights."""
    network.set_random_seed(0)
    rng = np.random.default_rng(0)
    sample = Sample(rng.standard_normal((4000, 2)).astype(np.float32), rng.integers(0, 2, 4000), np.zeros(4000, int))
    model = network.build(2, sample.rows)
    network.fit(model, sample, 20, (1.0, 3.0), lambda: None)
    assert np.asarray(model(sample.rows, training=False))[:, 1].mean() == pytest.approx(0.75, abs=0.03)


def test_it_takes_raw_units(network: Any) -> None:
    """The normalization is adapted to the rows, so that its output has mean 0 and variance 1."""
    rows = np.random.default_rng(0).normal((5, 500), (2, 80), (1000, 2)).astype(np.float32)
    normalized = network.compute_layers(network.build(3, rows), rows)["normalization"]
    assert normalized.mean(axis=0) == pytest.approx([0, 0], abs=1e-4)
    assert normalized.std(axis=0) == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 under NumPy 2.4
def test_exports_load_in_safe_mode_and_agree(network: Any, trained: Any, tmp_path: Path) -> None:
    """Keras needs no code of ours, LiteRT has every layer by name, and all outputs agree to 1e-5."""
    from ai_edge_litert.interpreter import Interpreter

    network.export(trained, tmp_path)
    rows = Animals.read().means.astype(np.float32)
    expected = network.compute_layers(trained, rows)
    loaded = network.compute_layers(network.load(tmp_path / MODEL_KERAS), rows)
    runner = Interpreter(model_path=str(tmp_path / MODEL_LITERT)).get_signature_runner()
    litert = runner(**{next(iter(runner.get_input_details())): rows})
    assert expected.keys() == loaded.keys() == litert.keys()
    for name, values in expected.items():
        assert np.array_equal(loaded[name], values)
        assert np.allclose(litert[name], values, rtol=1e-5, atol=1e-5)
