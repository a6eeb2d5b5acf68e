"""A network taken apart: the weights are those it was made of, or it is said that they cannot be had."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import Network, make
from test_model import edit

from models import bundle
from models.bundle import MODEL_LITERT, Bundle
from service import anatomy
from service.anatomy import Dense, Normalization, Part
from service.errors import NotExplainableError
from service.model import Model


@pytest.mark.parametrize(
    ("widths", "hidden"), [((3, 2), "relu"), ((8, 6, 6, 6, 6, 4), "relu"), ((2, 9, 3), "tanh"), ((5, 4, 2), "sigmoid")]
)
def test_it_is_what_the_network_was_made_of(tmp_path: Path, widths: tuple[int, ...], hidden: str) -> None:
    """Every weight and bias to the bit, for any number of layers of any width, alike ones in their order."""
    network = Network.random(widths, hidden=hidden)
    normalization, *dense = anatomy.read(make(tmp_path, network))
    assert isinstance(normalization, Normalization)
    assert network.normal is not None
    np.testing.assert_array_equal(normalization.mean, network.normal[0].astype(np.float32))
    np.testing.assert_allclose(normalization.deviation, 1 / network.normal[1], rtol=2e-7)
    for part, weights, bias, activation in zip(
        dense, network.weights, network.biases, network.activations, strict=True
    ):
        assert isinstance(part, Dense)
        assert part.activation == activation
        assert bias is not None
        np.testing.assert_array_equal(part.weights, weights.astype(np.float32))
        np.testing.assert_array_equal(part.bias, bias.astype(np.float32))


def test_layers_without_bias_or_normalization_are_read(tmp_path: Path) -> None:
    """A bias that is not there is 0; a network that takes its inputs as they are has no normalization."""
    network = Network.random((4, 5, 3))
    network.normal, network.biases[0] = None, None
    first, second = anatomy.read(make(tmp_path, network))
    assert isinstance(first, Dense)
    assert not first.bias.any()
    assert isinstance(second, Dense)


def test_the_parts_give_what_the_engine_gives(model: Model) -> None:
    """Every layer, fed with what the engine's layer before it made, to 1e-5, on rows from anywhere in the bounds."""
    low, high = zip(*((feature.minimum, feature.maximum) for feature in model.features), strict=True)
    rows = np.random.default_rng(1).uniform(low, high, (10_000, len(low))).astype(np.float32)
    outputs = model.layers(rows)
    for part in anatomy.read(model.bundle):
        np.testing.assert_allclose(part.forward(rows), outputs[part.name], rtol=1e-5, atol=1e-5)
        rows = outputs[part.name]


@pytest.mark.tensorflow
def test_they_are_the_weights_that_keras_saved(model: Model) -> None:
    """The shipped network: kernels and biases to the bit, mean and variance to the converter's rounding."""
    network: Any = pytest.importorskip("models.network")
    saved = network.load(model.bundle.folder / bundle.MODEL_KERAS)
    for part in anatomy.read(model.bundle):
        weights = [np.asarray(weight) for weight in saved.get_layer(part.name).get_weights()]
        if isinstance(part, Normalization):
            np.testing.assert_allclose(part.mean, weights[0].ravel(), rtol=1e-6)
            np.testing.assert_allclose(part.deviation, np.sqrt(weights[1]).ravel(), rtol=1e-6)
        else:
            np.testing.assert_array_equal(part.weights, weights[0].T)
            np.testing.assert_array_equal(part.bias, weights[1])


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 under NumPy 2.4
@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_what_keras_exports_can_be_read(tmp_path: Path, activation: str) -> None:
    """Four layers with any activation known here, some without bias, as the converter lays them out."""
    import keras

    network: Any = pytest.importorskip("models.network")
    network.start(0)
    dense = [
        keras.layers.Dense(5, activation, name="hidden_1"),
        keras.layers.Dense(5, activation, name="hidden_2", use_bias=False),
        keras.layers.Dense(7, activation, name="hidden_3"),
        keras.layers.Dense(3, "softmax", name="probabilities"),
    ]
    normalization = keras.layers.Normalization(name="normalization")
    normalization.adapt(np.random.default_rng(0).normal(4, 2, (100, 11)).astype(np.float32))
    made = keras.Sequential([keras.Input((11,), name="features"), normalization, *dense])
    for layer in dense:
        if layer.use_bias:
            layer.bias.assign(np.linspace(-1, 1, layer.units))
    network.layers(made).export(tmp_path / "exported.tflite", format="litert", verbose=False)
    like = make(tmp_path, _like(dense, normalization, activation))
    path = like.folder / MODEL_LITERT
    path.write_bytes((tmp_path / "exported.tflite").read_bytes())
    parts = anatomy.read(_vouched(like))
    for part, layer in zip(parts[1:], dense, strict=True):
        assert isinstance(part, Dense)
        np.testing.assert_array_equal(part.weights, np.asarray(layer.kernel).T)


def _like(dense: list[Any], normalization: Any, activation: str) -> Network:
    return Network(
        [np.asarray(layer.kernel, np.float64).T for layer in dense],
        [np.asarray(layer.bias, np.float64) if layer.use_bias else None for layer in dense],
        [activation] * 3 + ["softmax"],
        (
            np.asarray(normalization.mean, np.float64).ravel(),
            1 / np.sqrt(np.asarray(normalization.variance, np.float64).ravel()),
        ),
    )


def _vouched(found: Bundle) -> Bundle:
    """The same bundle, its manifest vouching for the file that is there now."""
    content = (found.folder / MODEL_LITERT).read_bytes()
    files = {MODEL_LITERT: bundle.File(size=len(content), sha256=sha256(content).hexdigest())}
    return Bundle(found.folder, found.manifest.model_copy(update={"files": files}))


def _elu(network: Network) -> None:
    network.activations[0] = "elu"


def _told_otherwise(network: Network) -> None:
    network.told = ["tanh", *network.activations[1:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [(_elu, r"layer hidden_1 \(elu\) is neither"), (_told_otherwise, "read for layer hidden_1 do not give")],
)
def test_what_cannot_be_taken_apart_is_named(tmp_path: Path, change: Callable[[Network], None], said: str) -> None:
    """An activation that is not known, or another than the manifest says."""
    network = Network.random((4, 5, 3))
    change(network)
    with pytest.raises(NotExplainableError, match=said):
        anatomy.read(make(tmp_path, network))


def test_weights_that_miss_a_golden_row_are_not_shown(store: Path) -> None:
    """What was read is held to what every layer must answer."""

    def shift(golden: list[Any]) -> None:
        golden[2]["outputs"]["hidden_2"][3] += 0.01

    edit(store, "golden", shift)
    with pytest.raises(NotExplainableError, match="read for layer hidden_2 do not give"):
        anatomy.read(bundle.read(store / "animals" / "1"))


@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(3000), b"\xff" * 3000])
def test_a_file_that_is_no_network_is_an_answer_too(store: Path, content: bytes) -> None:
    """Another engine may serve a bundle whose LiteRT file says nothing."""
    shipped = bundle.read(store / "animals" / "1")
    (shipped.folder / MODEL_LITERT).write_bytes(content)
    with pytest.raises(NotExplainableError, match="layout of model"):
        anatomy.read(_vouched(shipped))


def test_a_file_that_changed_since_the_start_is_not_read(store: Path) -> None:
    """The weights would not be those that answer."""
    shipped = bundle.read(store / "animals" / "1")
    (shipped.folder / MODEL_LITERT).unlink()
    with pytest.raises(NotExplainableError, match="restart"):
        anatomy.read(shipped)


def test_known_activations_do_not_overflow() -> None:
    """Sums far from 0 give the limits, without a warning."""
    sums = np.array([[-1e5, 0, 1e5]], np.float32)
    limits: dict[str, list[float]] = {
        "sigmoid": [0, 0.5, 1],
        "tanh": [-1, 0, 1],
        "softmax": [0, 0, 1],
        "relu": [0, 0, 1e5],
    }
    for name, limit in limits.items():
        part: Part = Dense("x", name, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
        np.testing.assert_allclose(part.forward(sums)[0], limit)
