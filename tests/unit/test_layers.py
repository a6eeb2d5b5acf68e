"""The weights of a network as layers, read from a bundle and checked against its golden rows."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import headed_bundles
from support.branched_networks import BranchedNetwork, dense, source, wide_and_deep
from support.handmade_bundles import Network, publish
from support.manifest_edits import edit_manifest

from models import bundle
from models.bundle import MODEL_KERAS, WEIGHTS, Bundle
from models.manifest import FileEntry
from models.signature import Layer
from models.weights import ActivationWeights, NormalizationWeights, Weights
from service.http.errors import NotExplainableError
from service.inference import engine, layers, sandbox
from service.inference.layers import ActivationLayer, DenseLayer, NormalizationLayer, RescalingLayer
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


@pytest.mark.parametrize(
    "fields",
    [
        {"sources": [{"start": 0, "stop": 4}]},
        {"parameters": {"negative_slope": 0.5}},
        {"scale": [1.0] * 5, "offset": [0.0] * 5, "weights": None, "bias": None},
        {"weights": None, "bias": None},
    ],
)
def test_models_that_were_trained_here_have_no_other_layers(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Sources, parameters, rescalings and activations are of adopted models."""
    loaded = publish(tmp_path, Network.random((4, 5, 3)))
    document = json.loads(loaded.read_bytes(WEIGHTS))
    changed = document["layers"]["hidden_1"] | fields
    document["layers"]["hidden_1"] = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(NotExplainableError, match="layer hidden_1 is of a kind that cannot be explained"):
        layers.read(replace_weights(loaded, json.dumps(document).encode()))


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


def test_layers_of_a_network_with_branches_are_read(tmp_path: Path) -> None:
    """Each kind, with the parts of other layers that it takes; the engine's outputs follow from its inputs."""
    published = headed_bundles.publish(tmp_path, headed_bundles.REGRESSION, network=wide_and_deep())
    network = layers.read(published)
    assert [type(layer) for layer in network] == [
        *(RescalingLayer, NormalizationLayer, DenseLayer),
        *(RescalingLayer, ActivationLayer, DenseLayer),
    ]
    assert [len(layer.sources) for layer in network] == [1, 1, 2, 0, 0, 3]
    rows = np.random.default_rng(0).uniform(-3, 3, (1_000, 5)).astype(np.float32)
    outputs = Model.open(published.folder, "litert").layer_outputs(rows)
    for layer, inputs in layers.with_inputs(network, rows, outputs):
        np.testing.assert_allclose(layer.forward(inputs), outputs[layer.name], rtol=1e-5, atol=1e-5)


def test_sources_that_are_the_whole_layer_before_are_left_out(tmp_path: Path) -> None:
    """Also in adjacent parts, as a model with an input for each feature has them."""
    each = [source(None, index, index + 1) for index in range(3)]
    network = BranchedNetwork(
        3,
        {
            "first": dense(2, 3, 0, each),
            "probabilities": dense(2, 2, 1, [source("first", 0, 1), source("first", 1, 2)]),
        },
    )
    published = headed_bundles.publish(tmp_path, headed_bundles.REGRESSION, network=network)
    assert [layer.sources for layer in layers.read(published)] == [(), ()]


@pytest.mark.parametrize("name", headed_bundles.HEADS)
def test_derived_last_layers_need_no_weights(tmp_path: Path, name: str) -> None:
    """The layer with both labels of a binary head, or with the probabilities of logits, is not shown."""
    published = headed_bundles.publish(tmp_path, headed_bundles.HEADS[name])
    shown = [layer.name for layer in layers.read(published)]
    described = [layer.name for layer in published.manifest.layers]
    assert shown == (described[:-1] if name in {"binary", "logits"} else described)
    assert Model.open(published.folder, "litert").layer_weights


SECOND = "probabilities"
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({SECOND: {"sources": [{"layer": "nothing", "start": 0, "stop": 2}]}}, "the shape of the network: adopt"),
    ({SECOND: {"sources": [{"layer": SECOND, "start": 0, "stop": 2}]}}, "the shape of the network"),
    ({SECOND: {"sources": [{"layer": "first", "start": 0, "stop": 3}]}}, "the shape of the network"),
    ({SECOND: {"sources": [{"layer": "first", "start": 1, "stop": 1}]}}, "the shape of the network"),
    ({SECOND: {"sources": [{"layer": "first", "start": 0, "stop": 1}]}}, "the shape of the network"),
    ({"first": {"sources": [{"start": 0, "stop": 4}]}}, "the shape of the network"),
    ({"first": {"bias": [1.0]}}, "the shape of the network"),
    ({"first": {"bias": [1.0, 2.0, 3.0]}}, "the shape of the network"),
    ({"first": {"weights": []}}, "the shape of the network"),
    ({"first": {"bias": [1.0, 2.0]}}, "weights of layer first do not reproduce the network's output: adopt"),
    ({"other": {"bias": [1.0], "weights": [[1.0]]}}, "the shape of the network"),
    (
        {SECOND: {"parameters": {"alpha": 0.3}}},
        "the activation linear of layer probabilities .* in Keras: alpha; adopt",
    ),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_wrong_weights_of_adopted_models_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Sources that are no part of an earlier layer, other shapes, other numbers, unknown parameters."""
    network = BranchedNetwork(3, {"first": dense(2, 3), SECOND: dense(2, 2, 1)}, {"first": "tanh"})
    published = headed_bundles.publish(tmp_path, headed_bundles.REGRESSION, network=network)
    document = json.loads(published.read_bytes(WEIGHTS))
    for name, fields in change.items():
        document["layers"].setdefault(name, {}).update(fields)
    with pytest.raises(NotExplainableError, match=message):
        layers.read(replace_weights(published, json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("mean", "deviation"), [([1.0], [1.0]), ([1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0]), ([1.0] * 3, [1.0] * 3)]
)
def test_normalizations_have_a_number_for_each_unit(tmp_path: Path, mean: list[float], deviation: list[float]) -> None:
    """NumPy would repeat a single one."""
    ones = NormalizationWeights(mean=(1.0, 1.0), standard_deviation=(1.0, 1.0))
    network = BranchedNetwork(2, {"first": ones, SECOND: dense(2, 2, 1)})
    published = headed_bundles.publish(tmp_path, headed_bundles.REGRESSION, network=network)
    document = json.loads(published.read_bytes(WEIGHTS))
    document["layers"]["first"] |= {"mean": mean, "standard_deviation": deviation}
    with pytest.raises(NotExplainableError, match="the shape of the network"):
        layers.read(replace_weights(published, json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("my_own", "the activation my_own of layer first is not one of Keras' own: use one that is, and adopt"),
        ("glu", r"one output of two weighted sums: make it a layer of its own"),
    ],
)
def test_activations_that_cannot_be_shown_are_named(tmp_path: Path, activation: str, message: str) -> None:
    network = BranchedNetwork(3, {"first": dense(2, 3), SECOND: dense(2, 2, 1)}, {"first": "tanh"})
    published = headed_bundles.publish(tmp_path, headed_bundles.REGRESSION, network=network)
    first, *rest = published.manifest.layers
    described = (first.model_copy(update={"activation": activation}), *rest)
    with pytest.raises(NotExplainableError, match=message):
        layers.read(Bundle(published.folder, published.manifest.model_copy(update={"layers": described})))


def publish_with_hidden_mismatch(store: Path) -> Bundle:
    """A network whose weights agree with it for the golden rows, which are positive, but not for negative values."""
    sources = (source(None, 0, 2),)
    network = BranchedNetwork(
        2, {"first": ActivationWeights(sources=sources), SECOND: dense(2, 2, 1)}, {"first": "relu"}
    )
    golden = np.array([[0.5, 1.0], [2.0, 3.0]])
    published = headed_bundles.publish(store, headed_bundles.REGRESSION, network=network, golden=golden)
    document = json.loads(published.read_bytes(WEIGHTS))
    document["layers"]["first"]["parameters"] = {"negative_slope": 0.5}
    return replace_weights(published, json.dumps(document).encode())


def test_weights_that_differ_on_other_rows_than_the_golden_ones_are_not_shown(tmp_path: Path) -> None:
    """The model is served all the same."""
    published = publish_with_hidden_mismatch(tmp_path)
    assert layers.read(published)
    sandbox.require_sound(published, "litert")
    with pytest.raises(NotExplainableError, match="the output of layer first is not what its weights give"):
        _ = Model(published, engine.load("litert", published)).layer_weights


def test_weights_are_compared_near_the_golden_rows_where_there_are_no_bounds(tmp_path: Path) -> None:
    """Not at 1e38, where no network is finite."""
    published = headed_bundles.publish(tmp_path, headed_bundles.REGRESSION, network=wide_and_deep(), sample=False)
    sandbox.require_sound(published, "litert")
    assert Model.open(published.folder, "litert").layer_weights
