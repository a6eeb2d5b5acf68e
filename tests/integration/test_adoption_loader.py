"""Reading a user's model from its file: what loads, what is refused and why, and that no code of it runs."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.keras_models import BUILDERS, MadeModel, draw_weights

from models.adoption.errors import AdoptionError
from models.signature import Input

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras 3.15 under NumPy 2.4
    pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built"),
]
Made = Callable[[str], MadeModel]


def load(path: Path, custom: Sequence[str] = ()) -> Any:
    """Imported here, because TensorFlow would slow down the collection of the tests."""
    return pytest.importorskip("models.adoption.loader").load(path, custom)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_loaded_model_predicts_what_the_saved_one_did(name: str, made: Made) -> None:
    """From one matrix of the inputs' columns, in the order that `inputs` names."""
    model = made(name)
    loaded = load(model.path, model.custom)
    assert sum(each.width for each in loaded.inputs) == model.rows.shape[1]
    assert [output.name for output in loaded.outputs] == [head.name for head in model.heads]
    predicted = loaded.predict(model.rows)
    for output, (key, expected) in zip(loaded.outputs, model.expected.items(), strict=True):
        assert output.name == key
        assert predicted[key] == pytest.approx(expected, rel=1e-5, abs=1e-5 * max(1.0, float(abs(expected).max())))
        assert output.width == expected.shape[1]
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("name", "activations"),
    [
        ("fraud", ["sigmoid"]),
        ("auto_mpg", ["linear"]),
        ("churn", ["sigmoid"]),  # an Activation of its own
        ("several_outputs", ["linear", "softmax", "sigmoid"]),
        ("logits", ["linear"]),
        ("saved_model", [None]),
        ("subclassed", [None]),
    ],
)
def test_the_activation_of_an_output_is_told_if_it_can_be(name: str, activations: list[str | None], made: Made) -> None:
    """It decides whether an output gives logits."""
    loaded = load(made(name).path, made(name).custom)
    assert [output.activation for output in loaded.outputs] == activations


def test_inputs_keep_the_models_own_names_and_order(made: Made) -> None:
    """A dict is not sorted, and names that no exporter takes are kept."""
    inputs = load(made("one_input_per_feature").path).inputs
    assert inputs == tuple(Input(name=name, width=1) for name in ("tenure", "age", "income", "visits"))
    names = [each.name for each in load(made("odd_names").path).inputs]
    assert names == ["Größe (cm)", "class", "self", "Gewicht %", "_id", "Alter des Kunden"]


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("fraud", r"fraud\.keras, saved by Keras 3\.\d+\.\d+"),
        ("logits", r"logits\.h5, saved by Keras 3\.\d+\.\d+"),
        ("keras_2", r"keras_2\.h5, saved by Keras 2\.21\.0"),
        ("saved_model", "saved_model, a SavedModel"),
    ],
)
def test_the_description_says_what_saved_the_file(name: str, description: str, made: Made) -> None:
    """It becomes part of the manifest."""
    assert re.fullmatch(description, load(made(name).path).description)


def test_the_ending_of_a_files_name_does_not_matter(made: Made, tmp_path: Path) -> None:
    """Its content tells what it is."""
    for name in ("fraud", "logits", "keras_2"):
        copy = shutil.copy(made(name).path, tmp_path / f"{name}.model")
        assert load(Path(copy)).outputs == load(made(name).path).outputs


# Refusals: a name, what makes the path, and what the sentence says. Each is made in an empty folder.


def sequential(*layers: Any, shape: tuple[int | None, ...] = (4,), dtype: str | None = None) -> Any:
    from models.tensorflow_setup import keras

    return draw_weights(keras.Sequential([keras.Input(shape, dtype=dtype), *layers]))


def save(model: Any, folder: Path, suffix: str = ".keras") -> Path:
    path = folder / f"model{suffix}"
    model.save(path)
    return path


def dense(folder: Path, suffix: str = ".keras") -> Path:
    from models.tensorflow_setup import keras

    return save(sequential(keras.layers.Dense(1)), folder, suffix)


def edit(path: Path, name: str, change: Callable[[bytes], bytes | None]) -> Path:
    """Change one file inside a .keras file, or leave it out."""
    copy = path.with_name(f"edited_{path.name}")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for each in source.namelist():
            content = change(source.read(each)) if each == name else source.read(each)
            if content is not None:
                target.writestr(each, content)
    return copy


def of_version(path: Path, version: str) -> Path:
    metadata = json.dumps({"keras_version": version}).encode()
    edited = edit(path, "metadata.json", lambda _: metadata)
    return edited.rename(path)


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def cut(path: Path, missing: int) -> Path:
    return write(path.parent, f"cut{path.suffix}", path.read_bytes()[:-missing])


def weights_file(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    sequential(keras.layers.Dense(1)).save_weights(folder / "my.weights.h5")
    return folder / "my.weights.h5"


def weights_of_keras_2(folder: Path) -> Path:
    import h5py

    with h5py.File(folder / "old.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
    return folder / "old.h5"


def zip_file(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("rows.csv", "a,b\n")
    return folder / "data.zip"


def pytorch_file(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", "")
    return folder / "net.pt"


def from_a_newer_keras(folder: Path, old: bytes, new: bytes) -> Path:
    return of_version(edit(dense(folder), "config.json", lambda config: config.replace(old, new)), "4.1.0")


def custom_class(folder: Path) -> Path:
    from support.custom_layers import Residual

    model = Residual()
    model(np.zeros((1, 4), np.float32))
    return save(model, folder)


def custom_activation(folder: Path, suffix: str = ".keras") -> Path:
    from models.tensorflow_setup import keras

    def spread(values: Any) -> Any:
        return 2.0 * values

    return save(sequential(keras.layers.Dense(2, activation=spread)), folder, suffix)


def lambda_layer(folder: Path, suffix: str = ".keras") -> Path:
    from models.tensorflow_setup import keras

    return save(sequential(keras.layers.Lambda(lambda values: values * 2), keras.layers.Dense(1)), folder, suffix)


def image(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    return save(sequential(keras.layers.Flatten(), keras.layers.Dense(1), shape=(8, 8, 3)), folder)


def unknown_length(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    return save(sequential(keras.layers.LSTM(2), keras.layers.Dense(1), shape=(None, 1)), folder)


def never_built(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    return save(keras.Sequential([keras.layers.Dense(1)]), folder)


def sequence_output(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    layers = keras.layers.Reshape((4, 1)), keras.layers.GRU(3, return_sequences=True, name="steps")
    return save(sequential(*layers), folder)


def diverged(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    model = sequential(keras.layers.Dense(1, name="price"))
    model.layers[0].set_weights([np.full((4, 1), np.nan), np.zeros(1)])
    return save(model, folder)


def tensorflow_1(folder: Path) -> Path:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = SavedModel()
    content.meta_graphs.add().meta_info_def.tensorflow_version = "1.15.0"
    return write(folder, "saved_model.pb", content.SerializeToString()).parent


def graph(folder: Path, body: Callable[[Any], Any], signature: str | None = "serving_default") -> Path:
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(body, input_signature=[tf.TensorSpec((None, 4), tf.float32)] if signature else None)
    tf.saved_model.save(module, str(folder / "graph"), signatures={signature: module.run} if signature else None)
    return folder / "graph"


def writing_graph(folder: Path) -> Path:
    import tensorflow as tf

    def body(rows: Any) -> Any:
        tf.io.write_file(str(folder / "written"), "x")
        return {"y": 2 * rows}

    return graph(folder, body)


def printing_graph(folder: Path) -> Path:
    import tensorflow as tf

    def body(rows: Any) -> Any:
        tf.print("x", output_stream=f"file://{folder / 'written'}")
        return {"y": 2 * rows}

    return graph(folder, body)


def saving_graph(folder: Path) -> Path:
    import tensorflow as tf

    def body(rows: Any) -> Any:
        tf.raw_ops.SaveV2(
            prefix=str(folder / "written"), tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1)]
        )
        return {"y": 2 * rows}

    return graph(folder, body)


def reading_graph(folder: Path) -> Path:
    import tensorflow as tf

    def body(rows: Any) -> Any:
        return {"y": rows * tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)}

    return graph(folder, body)


def fixed_batch(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    return save(draw_weights(keras.Sequential([keras.Input(batch_shape=(8, 4)), keras.layers.Dense(1)])), folder)


def tfsm_layer(folder: Path) -> Path:
    from models.tensorflow_setup import keras

    sequential(keras.layers.Dense(1)).export(folder / "exported", verbose=False)
    inputs = keras.Input((4,))
    outputs = keras.layers.TFSMLayer(str(folder / "exported"), call_endpoint="serve")(inputs)
    return save(keras.Model(inputs, outputs), folder)


def unpacked(folder: Path) -> Path:
    shutil.unpack_archive(dense(folder), folder, "zip")
    return folder


def other_weights(folder: Path) -> Path:
    return edit(dense(folder), "config.json", lambda config: config.replace(b'"units": 1', b'"units": 3'))


REFUSALS: list[tuple[str, Callable[[Path], Path], str]] = [
    ("no file", lambda folder: folder / "no.keras", "does not exist: name the file"),
    ("an empty file", lambda folder: write(folder, "e.keras", b""), "is empty: copy it again"),
    ("text as .keras", lambda folder: write(folder, "t.keras", b"hello"), "is damaged, .* copy it again"),
    ("text as .h5", lambda folder: write(folder, "t.h5", b"hello"), "is damaged, .* copy it again"),
    (
        "text",
        lambda folder: write(folder, "t.txt", b"hello"),
        r"is no Keras model: save the whole model with model.save",
    ),
    (
        "Git LFS",
        lambda folder: write(folder, "m.keras", b"version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    ("pickle", lambda folder: write(folder, "m.pkl", b"\x80\x04"), "is a pickle, which runs code"),
    ("LiteRT", lambda folder: write(folder, "m.tflite", b"\x1c\0\0\0TFL3"), "is a LiteRT network"),
    ("ONNX", lambda folder: write(folder, "m.onnx", b"\x08\x07"), "is an ONNX network"),
    ("a configuration", lambda folder: write(folder, "m.json", b"{}"), "configuration without its weights"),
    ("a file of a SavedModel", lambda folder: write(folder, "m.pb", b"\x08\x01"), "name the folder"),
    ("a zip file", zip_file, "is a zip file without a Keras model"),
    ("PyTorch", pytorch_file, "is a PyTorch file"),
    ("a cut zip file", lambda folder: cut(dense(folder), 300), r"is damaged or cut off \(.*\): copy it again"),
    ("a cut .h5", lambda folder: cut(dense(folder, ".h5"), 3000), r"is damaged or cut off \(.*\): copy it again"),
    ("the start of a zip file", lambda folder: write(folder, "m.keras", b"PK\x03\x04"), "is damaged or cut off"),
    ("weights", weights_file, "has weights without a model: save the whole model"),
    ("weights of Keras 2", weights_of_keras_2, "has weights without a model: save the whole model"),
    ("no weights", lambda folder: edit(dense(folder), "model.weights.h5", lambda _: None), "has no weights"),
    ("other weights", other_weights, r"Keras 3\S+ cannot read .*shape"),
    (
        ".keras of Keras 2",
        lambda folder: of_version(dense(folder), "2.15.0"),
        r"was saved by Keras 2\.15\.0, .* in Keras 2, save it with model\.save\('model\.h5'\)",
    ),
    (
        "an argument of a newer Keras",
        lambda folder: from_a_newer_keras(folder, b'"units": 1', b'"units": 1, "sparkle": true'),
        r"saved by Keras 4\.1\.0, which is newer than Keras 3\S+ here .*sparkle.*model\.export",
    ),
    (
        "a layer of a newer Keras",
        lambda folder: from_a_newer_keras(folder, b'"class_name": "Dense"', b'"class_name": "Denser"'),
        r"saved by Keras 4\.1\.0, which is newer than Keras 3\S+ here .*Denser.*model\.export",
    ),
    ("damaged JSON", lambda folder: edit(dense(folder), "config.json", lambda _: b"{"), r"Keras 3\S+ cannot read"),
    ("no configuration", lambda folder: edit(dense(folder), "config.json", lambda _: b"{}"), r"Keras 3\S+ cannot read"),
    ("damaged metadata", lambda folder: edit(dense(folder), "metadata.json", lambda _: b"["), "is damaged or cut off"),
    ("other metadata", lambda folder: edit(dense(folder), "metadata.json", lambda _: b"[]"), "is damaged or cut off"),
    ("a class of the user's", custom_class, "uses Residual, .* pass --custom module:Residual"),
    ("a function of the user's", custom_activation, "uses spread, .* pass --custom module:spread"),
    ("a function in .h5", lambda folder: custom_activation(folder, ".h5"), "uses spread, .* --custom module:spread"),
    ("Lambda", lambda_layer, r"has a Lambda layer, .* is not loaded: export the model with model\.export\('folder'\)"),
    ("Lambda in .h5", lambda folder: lambda_layer(folder, ".h5"), "has a Lambda layer, .* is not loaded"),
    ("TFSMLayer", tfsm_layer, r"Keras 3\S+ cannot read .*TFSMLayer"),
    ("an image", image, r"takes a block of 8 x 8 x 3 values \(an image or a sequence\)"),
    ("a sequence of any length", unknown_length, r"takes \? x 1 values, an unknown number"),
    ("a model never built", never_built, r"has no input shape, .* keras\.Input"),
    ("a sequence as output", sequence_output, r"output steps is not one row of numbers .* \(2, 4, 3\)"),
    ("a diverged model", diverged, "layer price has weights that are not finite"),
    ("an empty folder", lambda folder: folder, "is a folder without a saved_model.pb"),
    (
        "an unpacked file",
        unpacked,
        "is an unpacked .keras file",
    ),
    ("a damaged SavedModel", lambda folder: write(folder, "saved_model.pb", b"\xff\xff").parent, "is damaged"),
    ("an empty SavedModel", lambda folder: write(folder, "saved_model.pb", b"").parent, "of TensorFlow 1"),
    ("TensorFlow 1", tensorflow_1, r"is a SavedModel of TensorFlow 1: export the Keras model with model\.export"),
    ("no signature", lambda folder: graph(folder, lambda rows: rows, None), "has no signature to call"),
    ("a fixed number of rows", fixed_batch, "takes exactly 8 rows at once: build the model without a batch size"),
    ("a graph that prints to a file", printing_graph, "has the operation PrintV2, which no network needs"),
    ("a graph that saves", saving_graph, "has the operation SaveV2, which no network needs"),
    ("a graph that reads", reading_graph, "has the operation ReadFile, which no network needs"),
    ("a graph that writes", writing_graph, "has the operation WriteFile, which no network needs"),
]


@pytest.mark.parametrize(("make_path", "sentence"), [pytest.param(*case, id=name) for name, *case in REFUSALS])
def test_what_cannot_be_adopted_is_refused(make_path: Callable[[Path], Path], sentence: str, tmp_path: Path) -> None:
    """In one line that says what is wrong and what to do."""
    path = make_path(tmp_path)
    with pytest.raises(AdoptionError, match=sentence) as refusal:
        load(path)
    message = str(refusal.value)
    assert "\n" not in message
    assert "\x1b" not in message
    assert ": " in message
    assert len(message.replace(str(path), "")) < 500
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("custom", "sentence"),
    [
        ("Residual", "must have the form module:name"),
        ("support.custom_layers", "must have the form module:name"),
        (":Residual", "must have the form module:name"),
        ("no_such_module:Residual", r"no_such_module cannot be imported .*PYTHONPATH"),
        ("support.custom_layers:Nothing", "has no Nothing: correct the name"),
        ("support.custom_layers:Gate", "uses Residual, .* --custom module:Residual"),  # another one than the file needs
    ],
)
def test_custom_names_what_is_there(custom: str, sentence: str, made: Made) -> None:
    """Mistakes in --custom are told apart."""
    with pytest.raises(AdoptionError, match=sentence):
        load(made("subclassed").path, [custom])


def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Made) -> None:
    """Its own error is quoted."""
    (tmp_path / "broken_layers.py").write_text("raise RuntimeError('no GPU')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(AdoptionError, match=r"broken_layers cannot be imported \(no GPU\)"):
        load(made("subclassed").path, ["broken_layers:Residual"])


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    """Neither that of a Lambda layer, in both formats, nor that of a class whose module the file names."""
    from models.tensorflow_setup import keras

    marker = tmp_path / "ran"
    name = str(marker)
    harmful = keras.layers.Lambda(lambda values: values * (1 + subprocess.call(["mkdir", name])), output_shape=(4,))
    for suffix in (".keras", ".h5"):
        path = save(sequential(harmful, keras.layers.Dense(1)), tmp_path, suffix)
        if marker.exists():  # building the model may call it
            marker.rmdir()
        with pytest.raises(AdoptionError, match="Lambda"):
            load(path)
        assert not marker.exists()
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    sys.path.insert(0, str(tmp_path))
    try:
        path = edit(
            dense(tmp_path),
            "config.json",
            lambda config: config.replace(
                b'"module": "keras.layers", "class_name": "Dense"', b'"module": "evil_module", "class_name": "Evil"'
            ),
        )
        with pytest.raises(AdoptionError):
            load(path)
    finally:
        sys.path.remove(str(tmp_path))
    assert not marker.exists()


def untrained(folder: Path, *, compiled: bool = False, steps: int = 0, suffix: str = ".keras") -> Path:
    from models.tensorflow_setup import keras

    layers = keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((4,)), *layers])
    if compiled:
        model.compile("adam", "mse", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    if steps:
        model.fit(np.ones((4, 4)), np.ones(4), epochs=steps, verbose=0)
    return save(model, folder, suffix)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("compiled", [False, True])
def test_an_untrained_model_is_loaded_with_a_warning(compiled: bool, suffix: str, tmp_path: Path) -> None:
    """Whether or not it was compiled."""
    (warning,) = load(untrained(tmp_path, compiled=compiled, suffix=suffix)).warnings
    assert re.fullmatch(r"the model seems never to have been trained \(.*\): train it, save it again .*", warning)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_trained_for_one_step_has_no_warning(suffix: str, tmp_path: Path) -> None:
    """However little it learned."""
    assert load(untrained(tmp_path, compiled=True, steps=1, suffix=suffix)).warnings == ()


def test_a_normalization_that_was_never_adapted_is_told(tmp_path: Path) -> None:
    """Its name is in the warning."""
    from models.tensorflow_setup import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Normalization(name="scaler"), keras.layers.Dense(1)])
    model.layers[-1].set_weights([np.ones((4, 1)), np.ones(1)])
    (warning,) = load(save(model, tmp_path)).warnings
    assert warning.startswith("layer scaler normalizes nothing")


def test_inputs_of_a_nested_structure_are_named_by_their_tensors(tmp_path: Path) -> None:
    """A dict of lists; all its columns are taken apart and none is swapped."""
    from support.adopted_models import regression_heads

    from models.adoption.wrapping import wrap
    from models.tensorflow_setup import keras

    inputs = {"b": [keras.Input((1,), name="x"), keras.Input((2,), name="y")], "a": keras.Input((1,), name="a")}
    merged = keras.layers.Concatenate()([inputs["a"], *inputs["b"]])
    model = draw_weights(keras.Model(inputs, keras.layers.Dense(2)(merged)))
    loaded = load(save(model, tmp_path))
    widths = {"x": 1, "y": 2, "a": 1}
    assert {each.name: each.width for each in loaded.inputs} == widths
    rows = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    columns, start = {}, 0
    for each in loaded.inputs:
        columns[each.name] = rows[:, start : start + each.width]
        start += each.width
    expected = model({"b": [columns["x"], columns["y"]], "a": columns["a"]}).numpy()
    assert loaded.predict(rows)[loaded.outputs[0].name] == pytest.approx(expected, abs=1e-6)
    wrapped = wrap(loaded, regression_heads(loaded))
    assert wrapped.network(rows)[wrapped.layers[-1].name].numpy() == pytest.approx(expected, abs=1e-6)


def test_an_input_of_unknown_width_takes_as_many_columns_as_a_normalization(tmp_path: Path) -> None:
    """Keras 2 saves the tutorial's auto MPG model, which is built on its first rows, without a width."""
    import tensorflow as tf

    class Scaled(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.kernel = tf.Variable(tf.ones((1, 9))), tf.Variable(tf.ones((9, 2)))

        @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32, name="rows")])  # type: ignore[untyped-decorator]
        def run(self, rows: Any) -> Any:
            return {"mpg": tf.matmul(rows - self.mean, self.kernel)}

    module = Scaled()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.run})
    assert load(tmp_path / "model").inputs == (Input(name="rows", width=9),)


@pytest.mark.parametrize("axis", [[-1], []], ids=["by column", "one mean for all"])
def test_a_file_of_keras_2_with_a_normalization_first_loads(axis: list[int], made: Made, tmp_path: Path) -> None:
    """Its width stands in the weights only; Keras 3 wants a mean for each column."""
    import h5py

    path = Path(shutil.copy(made("keras_2").path, tmp_path / "mpg.h5"))
    shape = [None, None] if axis else [None, 8]
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layers = config["config"]["layers"]
        layers[0]["config"]["batch_input_shape"] = shape
        own = {"name": "normalization", "dtype": "float32", "batch_input_shape": shape, "axis": axis}
        layers.insert(1, {"class_name": "Normalization", "config": {**own, "mean": None, "variance": None}})
        file.attrs["model_config"] = json.dumps(config)
        weights = file["model_weights"]
        weights.attrs["layer_names"] = [name.encode() for name in ("normalization", "dense", "dense_1", "diabetes")]
        group = weights.create_group("normalization")
        group.attrs["weight_names"] = [b"mean:0", b"variance:0", b"count:0"]
        group["mean:0"], group["variance:0"] = (np.full(8, 2.0), np.full(8, 4.0)) if axis else (2.0, 4.0)
        group["count:0"] = 7
    loaded = load(path)
    rows = made("keras_2").rows
    assert loaded.predict(2 * rows + 2)["diabetes"] == pytest.approx(made("keras_2").expected["diabetes"], abs=1e-5)


def test_an_lstm_of_keras_2_loads(made: Made, tmp_path: Path) -> None:
    """It has an argument that Keras 3 does not know."""
    import h5py

    path = Path(shutil.copy(made("keras_2").path, tmp_path / "lstm.h5"))
    cell: dict[str, Any] = {"name": "lstm", "units": 2, "time_major": False, "unroll": False, "dtype": "float32"}
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layers = config["config"]["layers"]
        layers[1:] = [
            {"class_name": "Reshape", "config": {"name": "reshape", "target_shape": [8, 1]}},
            {"class_name": "LSTM", "config": cell},
        ]
        file.attrs["model_config"] = json.dumps(config)
        weights = file["model_weights"]
        weights.attrs["layer_names"] = [b"reshape", b"lstm"]
        weights.create_group("reshape").attrs["weight_names"] = np.array([], "S1")
        group = weights.create_group("lstm")
        group.attrs["weight_names"] = [b"kernel:0", b"recurrent_kernel:0", b"bias:0"]
        group["kernel:0"], group["recurrent_kernel:0"] = np.full((1, 8), 0.3), np.full((2, 8), 0.2)
        group["bias:0"] = np.full(8, 0.1)
    assert load(path).predict(made("keras_2").rows)["lstm"].shape == (200, 2)


def test_loading_prints_nothing(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither Keras nor TensorFlow's C++ code writes to the terminal."""
    for name in ("logits", "saved_model", "keras_2"):
        load(made(name).path)
    assert capfd.readouterr() == ("", "")
