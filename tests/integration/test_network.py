"""The network itself: its shape, its seed, and what is left of it after saving."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import animals
from models.bundle import MODEL_KERAS, MODEL_LITERT
from models.dataset import Sample

network: Any = pytest.importorskip("models.network")
pytestmark = pytest.mark.tensorflow

WEIGHTS = (1.0, 1.0, 1.0, 1.0)


def trained(seed: int) -> Any:
    network.start(seed)
    facts = animals.read()
    sample = facts.varied(np.arange(len(facts.groups)), 2000, np.random.default_rng(seed))
    made = network.build(4, sample.rows)
    network.fit(made, sample, 3, WEIGHTS, lambda: None)
    return made


@pytest.fixture(scope="module")
def made() -> Any:
    return trained(3)


def test_it_is_the_tutorials_network(made: Any) -> None:
    """Six, six, four; 124 numbers to train; raw units in, through a normalization that is not trained."""
    assert [layer.name for layer in made.layers] == ["normalization", "hidden_1", "hidden_2", "probabilities"]
    assert [layer.output.shape[-1] for layer in made.layers] == [8, 6, 6, 4]
    assert sum(int(np.prod(weight.shape)) for weight in made.trainable_weights) == 124
    assert made.inputs[0].name == "features"


def test_the_same_seed_gives_the_same_weights(made: Any) -> None:
    """Bit for bit; another seed gives others."""
    again, other = trained(3), trained(4)
    assert all(np.array_equal(a, b) for a, b in zip(made.get_weights(), again.get_weights(), strict=True))
    assert not np.array_equal(made.get_weights()[3], other.get_weights()[3])


def test_training_lowers_the_loss_and_tells_of_every_epoch() -> None:
    """Two clouds far apart are told apart."""
    network.start(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 3000)
    rows = (rng.standard_normal((3000, 3)) + 6 * labels[:, None]).astype(np.float32)
    made = network.build(2, rows)
    heard: list[int] = []
    losses = network.fit(made, Sample(rows, labels, labels), 12, (1.0, 1.0), lambda: heard.append(1))
    assert len(losses) == len(heard) == 12
    assert losses[-1] < 0.1 < losses[0]
    assert (network.probabilities(made, rows).argmax(axis=1) == labels).mean() > 0.99


def test_weights_say_how_much_a_label_counts() -> None:
    """Of two labels that cannot be told apart the heavier one wins."""
    network.start(0)
    rng = np.random.default_rng(0)
    sample = Sample(rng.standard_normal((4000, 2)).astype(np.float32), rng.integers(0, 2, 4000), np.zeros(4000, int))
    made = network.build(2, sample.rows)
    network.fit(made, sample, 20, (1.0, 3.0), lambda: None)
    assert network.probabilities(made, sample.rows)[:, 1].mean() == pytest.approx(0.75, abs=0.03)


def test_it_takes_raw_units() -> None:
    """The normalization has the rows' own mean and variance, so that what leaves it has 0 and 1."""
    rows = np.random.default_rng(0).normal((5, 500), (2, 80), (1000, 2)).astype(np.float32)
    normalized = network.outputs(network.build(3, rows), rows)["normalization"]
    assert normalized.mean(axis=0) == pytest.approx([0, 0], abs=1e-4)
    assert normalized.std(axis=0) == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 under NumPy 2.4
def test_what_is_saved_loads_in_safe_mode_and_answers_alike(made: Any, tmp_path: Path) -> None:
    """Keras needs no code of ours for it; LiteRT has every layer by name; all agree to 1e-5."""
    from ai_edge_litert.interpreter import Interpreter

    network.export(made, tmp_path)
    rows = animals.read().means.astype(np.float32)
    here = network.outputs(made, rows)
    loaded = network.outputs(network.load(tmp_path / MODEL_KERAS), rows)
    runner = Interpreter(model_path=str(tmp_path / MODEL_LITERT)).get_signature_runner()
    litert = runner(**{next(iter(runner.get_input_details())): rows})
    assert here.keys() == loaded.keys() == litert.keys()
    for name, values in here.items():
        assert np.array_equal(loaded[name], values)
        assert np.allclose(litert[name], values, rtol=1e-5, atol=1e-5)
