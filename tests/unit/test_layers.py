"""The weights of a network as layers, read from a bundle and checked against its golden rows."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.handmade_bundles import Network, publish
from support.manifest_edits import edit_manifest

from models import bundle
from models.bundle import MODEL_KERAS, WEIGHTS, Bundle
from models.manifest import FileEntry
from models.signature import Layer
from models.weights import Weights
from service.http.errors import NotExplainableError
from service.inference import layers
from service.inference.layers import DenseLayer, NormalizationLayer
from service.inference.model import Model


@pytest.mark.parametrize(
    ("widths", "hidden"), [((1, 2), "relu"), ((8, 6, 6, 6, 6, 4), "relu"), ((2, 9, 3), "tanh"), ((5, 4, 2), "sigmoid")]
)
def test_weights_are_read_exactly(tmp_path: Path, widths: tuple[int, ...], hidden: str) -> None:
    """As float32, in order, for any number of layers of any width."""
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


def test_layers_compute_what_the_engine_computes(model: Model) -> None:
    """Each layer, given the engine's output of the layer before it, to 1e-5 on 10,000 random rows."""
    low, high = zip(*((feature.minimum, feature.maximum) for feature in model.features), strict=True)
    rows = np.random.default_rng(1).uniform(low, high, (10_000, len(low))).astype(np.float32)
    outputs = model.layer_outputs(rows)
    for part in layers.read(model.bundle):
        np.testing.assert_allclose(part.forward(rows), outputs[part.name], rtol=1e-5, atol=1e-5)
        rows = outputs[part.name]


def test_shipped_weights_equal_those_of_the_litert_file(model: Model) -> None:
    """Kernels and biases are in the LiteRT file, to the bit."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    quiet = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    content = model.bundle.read_bytes(bundle.MODEL_LITERT)
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=quiet)
    interpreter.allocate_tensors()
    constants = {
        interpreter.get_tensor(detail["index"]).tobytes()
        for detail in interpreter.get_tensor_details()
        if detail["name"].endswith(("MatMul", "BiasAdd"))
    }
    for part in layers.read(model.bundle)[1:]:
        assert isinstance(part, DenseLayer)
        assert {part.weights.tobytes(), part.bias.tobytes()} <= constants


@pytest.mark.tensorflow
def test_shipped_weights_equal_those_of_the_keras_file(model: Model) -> None:
    """The file is what `models.network` extracts from the saved network."""
    network: Any = pytest.importorskip("models.network")
    saved = network.extract_weights(network.load(model.bundle.folder / MODEL_KERAS))
    assert saved == Weights.model_validate_json(model.bundle.read_bytes(WEIGHTS))


@pytest.mark.tensorflow
@pytest.mark.parametrize("features", [1, 2, 11])
def test_layers_of_any_keras_network_are_read(features: int) -> None:
    """One feature, standardized features, or a constant one, which the converter may treat differently."""
    network: Any = pytest.importorskip("models.network")
    network.set_random_seed(0)
    rows = np.array([[-1.0] * features, [1.0] * features], np.float32)
    rows[:, -1] = 7
    network_under_test = network.build(3, rows)
    outputs, inputs = network.compute_layers(network_under_test, rows), rows
    numbers = network.extract_weights(network_under_test).layers
    assert list(numbers) == [layer.name for layer in network_under_test.layers]
    for layer in network_under_test.layers:
        activation = layer.activation.__name__ if hasattr(layer, "activation") else "linear"
        layer_of_manifest = Layer(name=layer.name, units=layer.output.shape[-1], activation=activation)
        part = layers._layer(layer_of_manifest, numbers[layer.name])  # noqa: SLF001
        np.testing.assert_allclose(part.forward(inputs), outputs[layer.name], rtol=1e-5, atol=1e-5)
        inputs = outputs[layer.name]


def replace_weights(loaded: Bundle, content: bytes | None) -> Bundle:
    """The bundle with ``content`` as its weights file, or without one, and a manifest that agrees."""
    files = dict(loaded.manifest.files)
    del files[WEIGHTS]
    (loaded.folder / WEIGHTS).unlink()
    if content is not None:
        (loaded.folder / WEIGHTS).write_bytes(content)
        files[WEIGHTS] = FileEntry(size=len(content), sha256=sha256(content).hexdigest())
    return Bundle(loaded.folder, loaded.manifest.model_copy(update={"files": files}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: None, "trained without weights"),
        (lambda _: b"", "the shape of the network"),
        (lambda _: b"{}", "the shape of the network"),
        (lambda weights: weights.replace(b"hidden_1", b"hidden_9"), "the shape of the network"),
        (lambda weights: weights.replace(b"[[", b"[[0,"), "the shape of the network"),
        (lambda weights: weights.replace(b"[[", b"[[NaN,"), "the shape of the network"),
        (lambda weights: weights.replace(b"[[", b"[[9"), "weights of layer hidden_1 do not reproduce"),
        (lambda weights: weights.replace(b'ion":[', b'ion":[9'), "weights of layer normalization do not reproduce"),
    ],
)
def test_wrong_weights_are_refused(tmp_path: Path, change: Callable[[bytes], bytes | None], message: str) -> None:
    """Missing, of another shape, or not reproducing the golden rows."""
    loaded = publish(tmp_path, Network.random((4, 5, 3), seed=3))
    weights = loaded.read_bytes(WEIGHTS)
    changed = change(weights)
    assert changed != weights
    with pytest.raises(NotExplainableError, match=message):
        layers.read(replace_weights(loaded, changed))


def test_weights_must_reproduce_every_layer_of_the_golden_rows(store: Path) -> None:
    """The error names the layer."""

    def shift(golden: list[Any]) -> None:
        golden[2]["outputs"]["hidden_2"][3] += 0.01

    edit_manifest(store, "golden", shift)
    with pytest.raises(NotExplainableError, match="weights of layer hidden_2 do not reproduce"):
        layers.read(Bundle.read(store / "animals" / "1"))


def test_unknown_activation_is_refused(tmp_path: Path) -> None:
    """The error names the layer, the activation and those that are supported."""
    with pytest.raises(
        NotExplainableError, match="layer hidden_1 has the unsupported activation elu; supported are linear, relu"
    ):
        layers.read(publish(tmp_path, Network.random((4, 5, 3), hidden="elu")))


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("{}")])
def test_weights_changed_after_loading_are_refused(store: Path, change: Callable[[Path], None]) -> None:
    """They might not be the weights of the loaded network."""
    shipped = Bundle.read(store / "animals" / "1")
    change(shipped.folder / WEIGHTS)
    with pytest.raises(NotExplainableError, match="restart"):
        layers.read(shipped)


def test_activations_do_not_overflow() -> None:
    """Large sums give the limits, without a warning."""
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
