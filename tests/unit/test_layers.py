"""A network taken apart: its weights are those that the engine computes with, or it is said that they cannot be had."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.handmade_bundles import Network, publish
from test_model import edit

from models import bundle
from models.bundle import MODEL_KERAS, WEIGHTS, Bundle
from models.manifest import FileEntry, Layer, Weights
from service.http.errors import NotExplainableError
from service.inference import layers
from service.inference.layers import DenseLayer, NormalizationLayer
from service.inference.model import Model


@pytest.mark.parametrize(
    ("widths", "hidden"), [((1, 2), "relu"), ((8, 6, 6, 6, 6, 4), "relu"), ((2, 9, 3), "tanh"), ((5, 4, 2), "sigmoid")]
)
def test_it_is_what_the_network_was_made_of(tmp_path: Path, widths: tuple[int, ...], hidden: str) -> None:
    """Every number as float32, for any number of layers of any width, in their order."""
    network = Network.random(widths, hidden=hidden)
    assert network.normal is not None
    normalization, *dense = layers.read(publish(tmp_path, network))
    assert isinstance(normalization, NormalizationLayer)
    np.testing.assert_array_equal(normalization.mean, network.normal[0].astype(np.float32))
    np.testing.assert_array_equal(normalization.deviation, network.normal[1].astype(np.float32))
    assert [part.name for part in dense] == network.names[1:]
    for part, weights, bias, activation in zip(
        dense, network.weights, network.biases, network.activations, strict=True
    ):
        assert isinstance(part, DenseLayer)
        assert part.activation == activation
        np.testing.assert_array_equal(part.weights, weights.astype(np.float32))
        np.testing.assert_array_equal(part.bias, bias.astype(np.float32))


def test_the_parts_give_what_the_engine_gives(model: Model) -> None:
    """Every layer, fed with what the engine's layer before it made, to 1e-5, on rows from anywhere in the bounds."""
    low, high = zip(*((feature.minimum, feature.maximum) for feature in model.features), strict=True)
    rows = np.random.default_rng(1).uniform(low, high, (10_000, len(low))).astype(np.float32)
    outputs = model.layer_outputs(rows)
    for part in layers.read(model.bundle):
        np.testing.assert_allclose(part.forward(rows), outputs[part.name], rtol=1e-5, atol=1e-5)
        rows = outputs[part.name]


def test_the_shipped_weights_are_the_engines_own(model: Model) -> None:
    """Kernels and biases stand in the LiteRT file to the bit."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    quiet = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    content = model.bundle.read_bytes(bundle.MODEL_LITERT)
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=quiet)
    interpreter.allocate_tensors()
    held = {
        interpreter.get_tensor(detail["index"]).tobytes()
        for detail in interpreter.get_tensor_details()
        if detail["name"].endswith(("MatMul", "BiasAdd"))
    }
    for part in layers.read(model.bundle)[1:]:
        assert isinstance(part, DenseLayer)
        assert {part.weights.tobytes(), part.bias.tobytes()} <= held


@pytest.mark.tensorflow
def test_the_shipped_weights_are_what_keras_saved(model: Model) -> None:
    """The file is what `models.network` makes of the saved network."""
    network: Any = pytest.importorskip("models.network")
    saved = network.extract_weights(network.load(model.bundle.folder / MODEL_KERAS))
    assert saved == Weights.model_validate_json(model.bundle.read_bytes(WEIGHTS))


@pytest.mark.tensorflow
@pytest.mark.parametrize("features", [1, 2, 11])
def test_every_network_that_keras_builds_can_be_taken_apart(features: int) -> None:
    """Whatever the converter would make of it: one feature, features of mean 0 and deviation 1, or a constant one."""
    network: Any = pytest.importorskip("models.network")
    network.set_random_seed(0)
    rows = np.array([[-1.0] * features, [1.0] * features], np.float32)
    rows[:, -1] = 7
    made = network.build(3, rows)
    outputs, came = network.compute_layers(made, rows), rows
    numbers = network.extract_weights(made).layers
    assert list(numbers) == [layer.name for layer in made.layers]
    for layer in made.layers:
        activation = layer.activation.__name__ if hasattr(layer, "activation") else "linear"
        described = Layer(name=layer.name, units=layer.output.shape[-1], activation=activation)
        part = layers._layer(described, numbers[layer.name])  # noqa: SLF001
        np.testing.assert_allclose(part.forward(came), outputs[layer.name], rtol=1e-5, atol=1e-5)
        came = outputs[layer.name]


def rewritten(found: Bundle, content: bytes | None) -> Bundle:
    """The bundle with another file of weights, or none, vouched for by its manifest."""
    files = dict(found.manifest.files)
    del files[WEIGHTS]
    (found.folder / WEIGHTS).unlink()
    if content is not None:
        (found.folder / WEIGHTS).write_bytes(content)
        files[WEIGHTS] = FileEntry(size=len(content), sha256=sha256(content).hexdigest())
    return Bundle(found.folder, found.manifest.model_copy(update={"files": files}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: None, "trained without weights"),
        (lambda _: b"", "the shape of the network"),
        (lambda _: b"{}", "the shape of the network"),
        (lambda told: told.replace(b"hidden_1", b"hidden_9"), "the shape of the network"),
        (lambda told: told.replace(b"[[", b"[[0,"), "the shape of the network"),
        (lambda told: told.replace(b"[[", b"[[NaN,"), "the shape of the network"),
        (lambda told: told.replace(b"[[", b"[[9"), "weights of layer hidden_1 do not give"),
        (lambda told: told.replace(b'ion":[', b'ion":[9'), "weights of layer normalization do not give"),
    ],
)
def test_weights_that_are_not_the_networks_are_not_shown(
    tmp_path: Path, change: Callable[[bytes], bytes | None], said: str
) -> None:
    """None, of another shape, or others than give the golden rows."""
    found = publish(tmp_path, Network.random((4, 5, 3), seed=3))
    told = found.read_bytes(WEIGHTS)
    changed = change(told)
    assert changed != told
    with pytest.raises(NotExplainableError, match=said):
        layers.read(rewritten(found, changed))


def test_weights_that_miss_a_golden_row_are_not_shown(store: Path) -> None:
    """What was read is held to what every layer must answer."""

    def shift(golden: list[Any]) -> None:
        golden[2]["outputs"]["hidden_2"][3] += 0.01

    edit(store, "golden", shift)
    with pytest.raises(NotExplainableError, match="weights of layer hidden_2 do not give"):
        layers.read(Bundle.read(store / "animals" / "1"))


def test_an_activation_that_is_not_known_is_named(tmp_path: Path) -> None:
    """With the layer, and with those that are known."""
    with pytest.raises(NotExplainableError, match="layer hidden_1 has the activation elu; known here are linear, relu"):
        layers.read(publish(tmp_path, Network.random((4, 5, 3), hidden="elu")))


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("{}")])
def test_a_file_that_changed_since_the_start_is_not_read(store: Path, change: Callable[[Path], None]) -> None:
    """The weights would not be those that answer."""
    shipped = Bundle.read(store / "animals" / "1")
    change(shipped.folder / WEIGHTS)
    with pytest.raises(NotExplainableError, match="restart"):
        layers.read(shipped)


def test_known_activations_do_not_overflow() -> None:
    """Sums far from 0 give the limits, without a warning."""
    sums = np.array([[-1e5, 0, 1e5]], np.float32)
    limits: dict[str, list[float]] = {
        "linear": [-1e5, 0, 1e5],
        "relu": [0, 0, 1e5],
        "sigmoid": [0, 0.5, 1],
        "softmax": [0, 0, 1],
        "tanh": [-1, 0, 1],
    }
    for name, limit in limits.items():
        part = DenseLayer("x", name, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
        np.testing.assert_allclose(part.forward(sums)[0], limit)
