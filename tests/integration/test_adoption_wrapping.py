"""A user's model as one network: one matrix in, every layer out, the heads' columns last."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.adopted_models import regression_heads
from support.keras_models import MadeModel, classification, draw_weights, multi_label, regression

from models.adoption.errors import AdoptionError
from models.signature import Head

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras 3.15 under NumPy 2.4
]
Made = Callable[[str], MadeModel]


def load(model: MadeModel) -> Any:
    """Imported here, because TensorFlow would slow down the collection of the tests."""
    return pytest.importorskip("models.adoption.loader").load(model.path, model.custom)


def wrap(loaded: Any, heads: Sequence[Head], **options: Any) -> Any:
    """Imported here, as above."""
    from models.adoption.wrapping import wrap

    return wrap(loaded, heads, **options)


def serve(wrapped: Any, rows: Any) -> dict[str, Any]:
    """All outputs of the network."""
    return {name: values.numpy().astype(np.float64) for name, values in wrapped.network(rows, training=False).items()}


def softmax(values: Any) -> Any:
    powers = np.exp(values.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values.astype(np.float64)))


def test_a_plain_head_appends_nothing(made: Made) -> None:
    """Softmax, regression and independent labels are served as the model gives them."""
    for name in ("wine_quality", "auto_mpg", "multiple_labels", "subclassed"):
        wrapped = wrap(load(made(name)), made(name).heads)
        assert wrapped.heads[0].layer == wrapped.layers[-1].name
        (expected,) = made(name).expected.values()
        assert serve(wrapped, made(name).rows)[wrapped.layers[-1].name] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "head", "convert"),
    [
        ("fraud", classification("fraud", ("no", "yes")), lambda p: np.concatenate([1 - p, p], axis=1)),
        ("logits", classification("species", "abc"), softmax),
        ("logits", multi_label("species", "abc"), sigmoid),
        (
            "auto_mpg",
            classification("mpg", ("low", "high")),
            lambda z: np.concatenate([sigmoid(-z), sigmoid(z)], axis=1),
        ),
    ],
)
def test_logits_and_single_units_become_probabilities(
    name: str, head: Head, convert: Callable[[Any], Any], made: Made
) -> None:
    """The last layer has them, and the head's layer what the model gives."""
    wrapped = wrap(load(made(name)), (head,))
    (own,) = made(name).expected.values()
    outputs = serve(wrapped, made(name).rows)
    assert wrapped.layers[-1].name == "probabilities"
    assert outputs["probabilities"] == pytest.approx(convert(own), rel=1e-5, abs=1e-5)
    assert wrapped.heads[0].layer != "probabilities"
    assert outputs[wrapped.heads[0].layer] == pytest.approx(own, rel=1e-5, abs=1e-5)
    assert wrapped.layers[-1].name not in wrapped.weights.layers


def test_an_unknown_activation_has_logits_only_if_that_is_said(made: Made) -> None:
    """A SavedModel does not tell what its output is."""
    model = made("saved_model")
    plain = wrap(load(model), model.heads)
    assert len(plain.layers) == 1
    (own,) = model.expected.values()
    wrapped = wrap(load(model), model.heads, from_logits=True)
    assert serve(wrapped, model.rows)["probabilities"] == pytest.approx(softmax(own), rel=1e-5, abs=1e-5)


def test_a_known_activation_is_believed(made: Made) -> None:
    """A softmax gives no logits, whatever is said."""
    wrapped = wrap(load(made("wine_quality")), made("wine_quality").heads, from_logits=True)
    assert wrapped.layers[-1].activation == "softmax"


def test_several_outputs_stand_side_by_side(made: Made) -> None:
    """In the order of the heads, each converted on its own; the raw outputs are layers."""
    model = made("several_outputs")
    wrapped = wrap(load(model), model.heads)
    outputs = serve(wrapped, model.rows)
    columns = np.concatenate([model.expected[head.name] for head in model.heads], axis=1)
    assert wrapped.layers[-1].units == columns.shape[1] == 6
    assert outputs[wrapped.layers[-1].name] == pytest.approx(columns, rel=1e-5, abs=1e-5)
    for head in wrapped.heads:
        assert outputs[head.layer] == pytest.approx(model.expected[head.name], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "heads", "sentence"),
    [
        ("logits", [classification("species", "ab")], "output species has 3 units, but 2 labels are given"),
        ("logits", [regression("species", a="")], "output species has 3 units, but 1 targets are given"),
        ("fraud", [classification("fraud", "abc")], "has 1 units, but 3 labels are given: .* or two for a single unit"),
        ("logits", [], "the model has the outputs species, but there are heads for : name one for each"),
        ("logits", [classification("kind", "abc")], "the outputs species, but there are heads for kind"),
        ("several_outputs", [regression("price", price="")], "the outputs price, kind, tags, but .* for price"),
    ],
)
def test_heads_that_do_not_fit_are_refused(name: str, heads: Sequence[Head], sentence: str, made: Made) -> None:
    """The message has the counts and the remedy."""
    with pytest.raises(AdoptionError, match=sentence):
        wrap(load(made(name)), heads)


def test_names_are_safe_for_exporters_and_the_authors_names_are_kept(made: Made) -> None:
    """Layers get ASCII names, none twice; inputs and heads keep theirs."""
    loaded = load(made("odd_names"))
    wrapped = wrap(loaded, made("odd_names").heads)
    assert [layer.name for layer in wrapped.layers] == [
        "verdeckte_Schicht_1",
        "verdeckte_Schicht_1_2",
        "features_2",
        "Uberlebt",
    ]
    assert wrapped.heads[0].name == "Überlebt"
    assert loaded.inputs[0].name == "Größe (cm)"


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("fraud", ()),
        ("float64", ("the model computes in float64; it is adopted in float32",)),
        ("lstm", ("layer memory (LSTM) is unrolled for LiteRT",)),
        ("saved_model", ()),
    ],
)
def test_notes_say_what_was_changed(name: str, notes: tuple[str, ...], made: Made) -> None:
    """Nothing else is changed."""
    assert wrap(load(made(name)), made(name).heads).notes == notes


POLICIES = ["float64", "mixed_float16", "mixed_bfloat16", "float16"]


@pytest.mark.parametrize("is_chain", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_other_precisions_are_adopted_in_float32(policy: str, is_chain: bool, tmp_path: Path) -> None:
    """Those of 16 bits are compared as far as these go, and the files with the model in float32."""
    from models.adoption.agreement import require_agreement
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.tensorflow_setup import keras

    middle = [] if is_chain else [keras.layers.LayerNormalization(dtype=policy)]
    layers = [keras.layers.Dense(8, "tanh", dtype=policy), *middle, keras.layers.Dense(2, dtype=policy)]
    draw_weights(keras.Sequential([keras.Input((4,)), *layers])).save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    wrapped = wrap(loaded, regression_heads(loaded))
    assert (wrapped.weights is not None) == is_chain
    assert policy in wrapped.notes[0]
    export(wrapped, tmp_path)
    require_agreement(loaded, wrapped, tmp_path, np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32))


RECURRENT: list[Callable[[Any], list[Any]]] = [
    lambda k: [k.GRU(3)],
    lambda k: [k.SimpleRNN(3)],
    lambda k: [k.LSTM(3, return_sequences=True), k.LSTM(2)],
    lambda k: [k.Bidirectional(k.LSTM(3))],
]


@pytest.mark.parametrize("make", RECURRENT, ids=["GRU", "SimpleRNN", "two LSTMs", "Bidirectional"])
def test_recurrent_layers_are_unrolled(make: Callable[[Any], list[Any]], tmp_path: Path) -> None:
    """LiteRT has no loops over tensors."""
    from models.adoption.agreement import require_agreement
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.tensorflow_setup import keras

    model = keras.Sequential([keras.Input((3, 1)), *make(keras.layers), keras.layers.Dense(1)])
    draw_weights(model).save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    wrapped = wrap(loaded, regression_heads(loaded))
    assert all(note.endswith("is unrolled for LiteRT") for note in wrapped.notes)
    export(wrapped, tmp_path)
    require_agreement(loaded, wrapped, tmp_path, np.zeros((0, 3), np.float32))


def encoded(k: Any) -> list[Any]:
    return [k.Discretization([0.0, 1.0]), k.CategoryEncoding(3, output_mode="multi_hot", name="encoding")]


def sorted_rows(k: Any) -> list[Any]:
    from models.tensorflow_setup import keras

    return [k.Reshape((4, 1)), k.RNN(keras.layers.GRUCell(2), name="own_loop")]


@pytest.mark.parametrize(
    ("make", "layer"),
    [(encoded, r"layer encoding \(CategoryEncoding: DenseBincount\)"), (sorted_rows, r"layer own_loop \(RNN: \w+\)")],
)
def test_what_litert_cannot_run_is_named(make: Callable[[Any], list[Any]], layer: str, tmp_path: Path) -> None:
    """With the remedy, which works."""
    from models.adoption.agreement import require_agreement
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.tensorflow_setup import keras

    model = keras.Sequential([keras.Input((4,)), *make(keras.layers), keras.layers.Dense(1, name="dense")])
    draw_weights(model).save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    wrapped = wrap(loaded, regression_heads(loaded))
    with pytest.raises(AdoptionError, match=rf"LiteRT cannot run {layer}: adopt .* --engine keras, or replace"):
        export(wrapped, tmp_path / "litert")
    export(wrapped, tmp_path / "keras", "keras")
    rows = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    require_agreement(loaded, wrapped, tmp_path / "keras", rows, "keras")


def test_a_model_that_draws_random_numbers_is_refused(tmp_path: Path) -> None:
    """As one does whose class calls a Dropout with training=True."""
    from support.custom_layers import Uncertain

    from models.adoption.agreement import require_agreement
    from models.adoption.exporting import export
    from models.adoption.loader import load

    model = Uncertain()
    model(np.ones((1, 3), np.float32))
    draw_weights(model).save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras", ["support.custom_layers:Uncertain"])
    wrapped = wrap(loaded, regression_heads(loaded))
    export(wrapped, tmp_path, "keras")
    with pytest.raises(AdoptionError, match="output output_0 of the model differs from one run to the next"):
        require_agreement(loaded, wrapped, tmp_path, np.ones((3, 3), np.float32), "keras")


def test_a_sample_that_the_model_cannot_take_is_refused(tmp_path: Path) -> None:
    """An index beyond an Embedding; without a sample, small indices are tried."""
    from models.adoption.agreement import require_agreement
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.tensorflow_setup import keras

    layers = keras.layers.Embedding(5, 2), keras.layers.Flatten(), keras.layers.Dense(1)
    draw_weights(keras.Sequential([keras.Input((2,), dtype="int32"), *layers])).save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    wrapped = wrap(loaded, regression_heads(loaded))
    export(wrapped, tmp_path)
    require_agreement(loaded, wrapped, tmp_path, np.zeros((0, 2), np.float32))
    require_agreement(loaded, wrapped, tmp_path, np.array([[0, 4], [3, 1]], np.float32))
    with pytest.raises(AdoptionError, match=r"the model fails on 2 rows \(.*\): check the columns' order"):
        require_agreement(loaded, wrapped, tmp_path, np.array([[0, 4], [3, 7]], np.float32))


def test_a_sample_whose_outputs_overflow_is_refused(tmp_path: Path) -> None:
    """The message has the row's number."""
    from models.adoption.agreement import require_agreement
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.tensorflow_setup import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "exponential", name="rate")])
    model.layers[0].set_weights([np.ones((2, 1)), np.ones(1)])
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    wrapped = wrap(loaded, regression_heads(loaded))
    export(wrapped, tmp_path)
    with pytest.raises(AdoptionError, match="no finite number for row 2 of the sample in rate"):
        require_agreement(loaded, wrapped, tmp_path, np.array([[0, 1], [300, 7]], np.float32))


def test_wrapping_and_exporting_print_nothing(made: Made, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither Keras nor TensorFlow's and LiteRT's C++ code writes to the terminal."""
    from models.adoption.agreement import require_agreement
    from models.adoption.exporting import export

    for name in ("logits", "multiple_labels"):
        loaded = load(made(name))
        wrapped = wrap(loaded, made(name).heads)
        export(wrapped, tmp_path / name)
        require_agreement(loaded, wrapped, tmp_path / name, made(name).rows)
    assert capfd.readouterr() == ("", "")
