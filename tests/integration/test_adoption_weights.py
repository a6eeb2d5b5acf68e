"""A user's model taken apart: the weights alone give each layer's output, and what cannot be taken apart says why."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.adopted_models import regression_heads
from support.keras_models import BUILDERS, MadeModel, draw_weights

from models.weights import Weights

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras 3.15 under NumPy 2.4
]
Layers = Callable[[Any], list[Any]]


def wrap(model: Any, folder: Any) -> Any:
    """Save a model, load it, and wrap it with its outputs as they are."""
    from models.adoption.loader import load
    from models.adoption.wrapping import wrap

    draw_weights(model).save(folder / "model.keras")
    loaded = load(folder / "model.keras")
    return wrap(loaded, regression_heads(loaded))


def wrap_made(model: MadeModel) -> Any:
    """Imported here, because TensorFlow would slow down the collection of the tests."""
    loaded = pytest.importorskip("models.adoption.loader").load(model.path, model.custom)
    return pytest.importorskip("models.adoption.wrapping").wrap(loaded, model.heads)


def require_recomputable(wrapped: Any, rows: Any) -> None:
    """Each layer's output, computed in float64 from what is written to ``weights.json``, is that of the network."""
    from models.adoption.layer_weights import recompute

    weights = Weights.model_validate_json(wrapped.weights.model_dump_json())
    layers = [layer for layer in wrapped.layers if layer.name in weights.layers]
    assert [layer.name for layer in layers] == list(weights.layers)
    recomputed = recompute(layers, weights.layers, rows.astype(np.float64))
    outputs = wrapped.network(rows, training=False)
    for layer in layers:
        assert recomputed[layer.name].shape == (len(rows), layer.units)
        assert recomputed[layer.name] == pytest.approx(outputs[layer.name].numpy(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", BUILDERS)
def test_weights_give_each_layers_output(name: str, made: Callable[[str], MadeModel]) -> None:
    """For every model that is a chain of layers."""
    model = made(name)
    wrapped = wrap_made(model)
    if wrapped.weights:
        require_recomputable(wrapped, model.rows)


ACTIVATIONS = [
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu"),
    *("linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink"),
    *("softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh"),
    "tanh_shrink",
]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_of_keras_is_taken_apart(activation: str, tmp_path: Any) -> None:
    """By the name that Keras gives it, in a Dense and as a layer of its own."""
    from models.tensorflow_setup import keras

    layers = keras.layers.Dense(6, activation), keras.layers.Dense(4), keras.layers.Activation(activation)
    wrapped = wrap(keras.Sequential([keras.Input((5,)), *layers, keras.layers.Dense(2)]), tmp_path)
    names = [layer.activation for layer in wrapped.layers]
    own = [] if activation == "linear" else [activation]
    assert names == [activation, "linear", *own, "linear"]
    rows = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    require_recomputable(wrapped, 0.1 * rows if activation == "exponential" else rows)


CHAINS: list[tuple[str, Layers, list[tuple[str, dict[str, float]]]]] = [
    ("ReLU", lambda k: [k.ReLU(max_value=1, negative_slope=0.1, threshold=0.2)],
     [("relu", {"max_value": 1, "negative_slope": 0.1, "threshold": 0.2})]),
    ("ReLU, plain", lambda k: [k.ReLU()], [("relu", {})]),
    ("LeakyReLU", lambda k: [k.LeakyReLU()], [("leaky_relu", {"negative_slope": 0.3})]),
    ("ELU", lambda k: [k.ELU(alpha=0.5)], [("elu", {"alpha": 0.5})]),
    ("Softmax", lambda k: [k.Softmax()], [("softmax", {})]),
    ("a layer as activation", lambda k: [k.Dense(3, activation=k.LeakyReLU(0.1))],
     [("leaky_relu", {"negative_slope": 0.1})]),
    ("no bias", lambda k: [k.Dense(3, "tanh", use_bias=False)], [("tanh", {})]),
    ("one mean for all", lambda k: [k.Normalization(axis=None, mean=2.0, variance=3.0)], [("linear", {})]),
    ("inverted", lambda k: [k.Normalization(mean=range(5), variance=range(1, 6), invert=True)], [("linear", {})]),
    ("a variance of zero", lambda k: [k.Normalization(mean=range(5), variance=[0.0] * 5), k.Rescaling(1e-7)],
     [("linear", {}), ("linear", {})]),
    ("BatchNormalization", lambda k: [k.BatchNormalization(scale=False), k.BatchNormalization(center=False)],
     [("linear", {}), ("linear", {})]),
    ("SpectralNormalization", lambda k: [k.SpectralNormalization(k.Dense(3, "relu"))], [("relu", {})]),
    ("Rescaling by column", lambda k: [k.Rescaling([1.0, 2, 3, 4, 5], offset=[0.0, 1, 2, 3, 4])], [("linear", {})]),
    ("reshaped", lambda k: [k.Reshape((5, 1)), k.Dropout(0.1), k.Flatten(), k.Dense(3)], [("linear", {})]),
    ("what only trains", lambda k: [k.Dropout(0.5), k.GaussianNoise(1.0), k.GaussianDropout(0.5), k.AlphaDropout(0.5),
                                    k.ActivityRegularization(0.1), k.Identity()], []),
]  # fmt: skip


@pytest.mark.parametrize(("make", "activations"), [pytest.param(*case, id=name) for name, *case in CHAINS])
def test_layers_are_taken_apart(make: Layers, activations: list[tuple[str, dict[str, float]]], tmp_path: Any) -> None:
    """Each with the parameters of its activation that are not Keras' defaults; what only trains is left out."""
    from models.tensorflow_setup import keras

    model = keras.Sequential([keras.Input((5,)), *make(keras.layers), keras.layers.Dense(2, name="last")])
    wrapped = wrap(model, tmp_path)
    assert wrapped.reason == ""
    found = [
        (layer.activation, wrapped.weights.layers[layer.name].parameters)
        for layer in wrapped.layers
        if layer.name != "last"
    ]
    assert found == [(name, pytest.approx(parameters)) for name, parameters in activations]
    require_recomputable(wrapped, np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32))


OTHERS: list[tuple[str, Layers, str]] = [
    ("PReLU", lambda k: [k.PReLU(name="p")], r"layer p \(PReLU\) cannot be taken apart into nodes"),
    ("LayerNormalization", lambda k: [k.LayerNormalization(name="n")], r"layer n \(LayerNormalization\)"),
    ("Conv1D", lambda k: [k.Reshape((5, 1)), k.Conv1D(2, 2, name="c"), k.Flatten()], r"layer c \(Conv1D\)"),
    ("Dense over a sequence", lambda k: [k.Reshape((5, 1)), k.Dense(2, name="d"), k.Flatten()], r"layer d \(Dense\)"),
    ("Embedding", lambda k: [k.Embedding(9, 2, name="e"), k.Flatten()], r"layer e \(Embedding\)"),
]


@pytest.mark.parametrize(("make", "reason"), [pytest.param(*case, id=name) for name, *case in OTHERS])
def test_other_layers_are_named(make: Layers, reason: str, tmp_path: Any) -> None:
    """Then there are no weights, and the only layers are the model's outputs."""
    from models.tensorflow_setup import keras

    model = keras.Sequential([keras.Input((5,)), *make(keras.layers), keras.layers.Dense(2, name="last")])
    wrapped = wrap(model, tmp_path)
    assert wrapped.weights is None
    assert re.match(reason, wrapped.reason)
    assert [layer.name for layer in wrapped.layers] == ["last"]


def test_slices_and_branches_have_sources(tmp_path: Any) -> None:
    """A part of the columns goes through a layer, the rest joins its output; a branch may be used twice."""
    from models.tensorflow_setup import keras

    inputs = keras.Input((6,))
    left = keras.layers.Dense(3, "relu", name="left")(inputs[:, 1:4])
    joined = keras.layers.Concatenate()([left, inputs[:, -2:], left[:, :1]])
    right = keras.layers.Dense(2, "tanh", name="right")(joined)
    model = keras.Model(inputs, keras.layers.Dense(1, name="last")(keras.layers.Concatenate()([right, left])))
    wrapped = wrap(model, tmp_path)
    sources = {
        name: [(source.layer, source.start, source.stop) for source in weights.sources]
        for name, weights in wrapped.weights.layers.items()
    }
    assert sources == {
        "left": [(None, 1, 4)],
        "right": [("left", 0, 3), (None, 4, 6), ("left", 0, 1)],
        "last": [("right", 0, 2), ("left", 0, 3)],
    }
    require_recomputable(wrapped, np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32))


def test_a_layer_that_is_used_twice_is_two_layers(made: Callable[[str], MadeModel]) -> None:
    """Each has a name of its own, and both the same weights."""
    wrapped = wrap_made(made("nested"))
    dense = [name for name, weights in wrapped.weights.layers.items() if getattr(weights, "weights", None)]
    first, second = [wrapped.weights.layers[name] for name in dense if wrapped.weights.layers[name].bias][2:4]
    assert first.weights == second.weights
    assert first.sources != second.sources


def test_an_output_that_is_joined_of_others_gets_a_layer(tmp_path: Any) -> None:
    """It changes nothing, and its nodes are those of both."""
    from models.tensorflow_setup import keras

    inputs = keras.Input((3,))
    parts = [keras.layers.Dense(1, name=name)(inputs) for name in ("low", "high")]
    wrapped = wrap(keras.Model(inputs, keras.layers.Concatenate(name="range")(parts)), tmp_path)
    assert [layer.name for layer in wrapped.layers] == ["low", "high", "range"]
    require_recomputable(wrapped, np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32))


def test_a_model_of_too_many_weights_is_not_taken_apart(tmp_path: Any) -> None:
    """Nobody could look at its nodes, and the service would have to read them."""
    from models.tensorflow_setup import keras

    layers = keras.layers.Dense(600), keras.layers.Dense(600), keras.layers.Dense(1)
    wrapped = wrap(keras.Sequential([keras.Input((3,)), *layers]), tmp_path)
    assert wrapped.weights is None
    assert "more than 300,000 parameters" in wrapped.reason


@pytest.mark.parametrize("used", [0, 1])
def test_layers_that_no_output_needs_are_left_out(used: int, tmp_path: Any) -> None:
    """Those behind the other output of a nested model; the last layer is the served output."""
    from models.tensorflow_setup import keras

    shared = keras.Input((3,))
    trunk = keras.layers.Dense(4, "relu", name="trunk")(shared)
    inner = keras.Model(shared, [keras.layers.Dense(2, name=name)(trunk) for name in ("first", "second")])
    inputs = keras.Input((3,))
    wrapped = wrap(keras.Model(inputs, inner(inputs)[used]), tmp_path)
    assert [layer.name for layer in wrapped.layers] == ["trunk", ("first", "second")[used]]
    require_recomputable(wrapped, np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32))
