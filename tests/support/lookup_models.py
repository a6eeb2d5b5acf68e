"""Keras models that begin with lookups, as the tutorials on structured data build them, with tables as they take them.

`make` builds one by its name, trains it for two steps, and saves it. The tables are those of `mixed_tables`.
"""

import csv
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from support import mixed_tables
from support.mixed_tables import Table

ROWS = 160
Cell = str | int | float | None


@dataclass(frozen=True)
class LookupModel:
    """A saved model and its sample, a CSV file.

    ``columns`` are the model's columns, ``rows`` the sample's values of them as the model takes them, None where one is
    missing. ``options`` are those of the command line. ``more`` are rows with values that the sample does not have.
    """

    name: str
    path: Path
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    sample: Path
    options: tuple[str, ...]
    more: tuple[tuple[Cell, ...], ...] = ()

    def predict(self, rows: Sequence[Sequence[Cell]]) -> Any:
        """What the saved model gives for raw rows: Keras alone computes it."""
        model = keras().saving.load_model(self.path, compile=False)
        return np.asarray(run(model, self.columns, rows))


def keras() -> Any:
    """Imported here, because TensorFlow would slow down the collection of the tests."""
    from models.tensorflow_setup import keras

    return keras


def run(model: Any, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
    """Run a model on raw rows; a missing text is the empty one, a missing number NaN."""
    inputs = {tensor.name: tensor for tensor in model.inputs}
    tensors = {}
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        if name in inputs:
            tensors[name] = _to_tensor(inputs[name], values)
    if not tensors:  # one matrix
        return model(_to_tensor(model.inputs[0], rows), training=False)
    return model(tensors if isinstance(model.input, Mapping) else [tensors[each.name] for each in model.inputs])


def _to_tensor(symbolic: Any, values: Sequence[Any]) -> Any:
    from models.tensorflow_setup import tf

    if symbolic.dtype == "string":
        texts = np.array([["" if each is None else each for each in np.atleast_1d(row)] for row in values], object)
        return tf.constant(texts if len(symbolic.shape) > 1 else texts[:, 0], tf.string)
    numbers = np.array([[np.nan if each is None else each for each in np.atleast_1d(row)] for row in values])
    return tf.cast(tf.constant(numbers), symbolic.dtype)


def make(name: str, folder: Path) -> LookupModel:
    """Build a model of `BUILDERS` and save it in ``folder``; the same name gives the same weights."""
    keras().utils.set_random_seed(0)
    return BUILDERS[name](folder)


def heart_disease(folder: Path) -> LookupModel:
    """Keras' "Structured data classification from scratch": lookups to one-hot, normalized numbers, a dict."""
    layers = keras().layers
    table = mixed_tables.heart(rows=ROWS)
    integers = ("sex", "cp", "fbs", "restecg", "exang", "ca")
    numbers = ("age", "trestbps", "chol", "thalach", "oldpeak", "slope")
    inputs: dict[str, Any] = {}
    encoded = []
    for name in (*integers, "thal", *numbers):
        dtype = "int64" if name in integers else "string" if name == "thal" else "float32"
        inputs[name] = keras().Input((1,), name=name, dtype=dtype)
        encoded.append(_encode(layers, inputs[name], table.column(name), dtype))
    hidden = layers.Dropout(0.5)(layers.Dense(16, "relu")(layers.concatenate(encoded)))
    model = keras().Model(inputs, layers.Dense(1, "sigmoid", name="target")(hidden))
    unknown = (1, 9, 0, 7, 1, 3, "a new word", 55.5, 130.0, 250.0, 150.0, 1.5, 2.0)
    return _finish("heart_disease", folder, model, [*inputs], table, more=(unknown,), labels="0,1")


def _encode(layers: Any, tensor: Any, cells: Sequence[str], dtype: str) -> Any:
    if dtype == "float32":
        layer = layers.Normalization()
        layer.adapt(np.array([float(cell) for cell in cells if cell], np.float32)[:, np.newaxis])
        return layer(tensor)
    if dtype == "string":
        layer = layers.StringLookup(output_mode="one_hot")
        layer.adapt(np.array([cell for cell in cells if cell])[:, np.newaxis])
        return layer(tensor)
    layer = layers.IntegerLookup(output_mode="one_hot")
    layer.adapt(np.array([int(cell) for cell in cells if cell])[:, np.newaxis])
    return layer(tensor)


def feature_space(folder: Path) -> LookupModel:
    """Keras' "Structured data classification with FeatureSpace": an inference model on raw values."""
    utils = keras().utils
    table = mixed_tables.heart(rows=ROWS)
    space = utils.FeatureSpace(
        features={
            "sex": "integer_categorical",
            "cp": utils.FeatureSpace.integer_categorical(num_oov_indices=0),
            "thal": "string_categorical",
            "restecg": utils.FeatureSpace.integer_hashed(num_bins=8),
            "chol": utils.FeatureSpace.float_normalized(),
            "trestbps": utils.FeatureSpace.float_rescaled(scale=0.01),
            "age": utils.FeatureSpace.float_discretized(num_bins=6),
            "oldpeak": "float",
        },
        output_mode="concat",
    )
    columns = [*space.features]
    data = {name: np.array([_convert(cell, text=name == "thal") for cell in table.column(name)]) for name in columns}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        space.adapt({name: values.astype("int64") if _is_code(name) else values for name, values in data.items()})
    inputs = dict(space.get_inputs())
    hidden = keras().layers.Dense(8, "relu")(space.get_encoded_features())
    model = keras().Model(inputs, keras().layers.Dense(1, "sigmoid", name="target")(hidden))
    more = ((0, 4, "never seen", 77, 233.0, 140.0, 60.0, 2.5), (1, 1, "normal", -3, 1.0, 2.0, 1000.0, 0.0))
    return _finish("feature_space", folder, model, columns, table, more=more, labels="0,1")


def _is_code(name: str) -> bool:
    return name in ("sex", "cp", "restecg")


def _convert(cell: str, *, text: bool) -> Any:
    return cell if text else float(cell or 0)


def pet_adoption(folder: Path) -> LookupModel:
    """TensorFlow's "Classify structured data using Keras preprocessing layers": multi-hot categories, buckets."""
    layers = keras().layers
    table = mixed_tables.pets(rows=ROWS)
    inputs: dict[str, Any] = {}
    encoded = []
    for name in ("PhotoAmt", "Fee"):
        inputs[name] = keras().Input((1,), name=name)
        encoded.append(_encode(layers, inputs[name], table.column(name), "float32"))
    inputs["Age"] = keras().Input((1,), name="Age", dtype="int64")
    index = layers.IntegerLookup(max_tokens=5)
    index.adapt(np.array([int(cell) for cell in table.column("Age")])[:, np.newaxis])
    encoded.append(layers.CategoryEncoding(num_tokens=index.vocabulary_size())(index(inputs["Age"])))
    for name in ("Type", "Color1", "Color2", "Gender", "MaturitySize", "FurLength", "Vaccinated", "Health", "Breed1"):
        inputs[name] = keras().Input((1,), name=name, dtype="string")
        index = layers.StringLookup(max_tokens=40 if name == "Breed1" else 5)
        index.adapt(np.array(table.column(name))[:, np.newaxis])
        if name == "Breed1":
            encoded.append(layers.Flatten()(layers.Embedding(index.vocabulary_size(), 4)(index(inputs[name]))))
        else:
            encoded.append(layers.CategoryEncoding(num_tokens=index.vocabulary_size())(index(inputs[name])))
    hidden = layers.Dropout(0.5)(layers.Dense(32, "relu")(layers.concatenate(encoded)))
    model = keras().Model(inputs, layers.Dense(1, name="adopted")(hidden))
    more = ((1.0, 50.0, 999, "Parrot", "Red", "Blue", "?", "Tiny", "Long", "Maybe", "", "A breed"),)
    return _finish("pet_adoption", folder, model, [*inputs], table, more=more, labels="0,1")


def wide_and_deep(folder: Path) -> LookupModel:
    """Adult income, wide and deep: each category is one-hot in the wide part and embedded in the deep one."""
    layers = keras().layers
    table = mixed_tables.adult(rows=ROWS)
    texts = ("workclass", "education", "occupation", "gender")
    inputs: dict[str, Any] = {}
    wide, deep = [], []
    for name in texts:
        inputs[name] = keras().Input((1,), name=name, dtype="string")
        words = sorted(set(table.column(name)) - {table.gap})
        index = layers.StringLookup(vocabulary=words, mask_token=None if name == "gender" else "")(inputs[name])
        size = len(words) + (1 if name == "gender" else 2)
        wide.append(layers.CategoryEncoding(num_tokens=size, output_mode="one_hot")(index))
        deep.append(layers.Reshape((3,))(layers.Embedding(size, 3)(index)))
    for name in ("age", "hours_per_week"):
        inputs[name] = keras().Input((1,), name=name)
        deep.append(_encode(layers, inputs[name], table.column(name), "float32"))
        wide.append(layers.Discretization([20.0, 30.5, 45.0, 65.0], output_mode="one_hot")(inputs[name]))
    hidden = layers.BatchNormalization()(layers.Dense(8, "relu")(layers.concatenate(deep)))
    outputs = layers.Dense(2, "softmax", name="income")(layers.concatenate([layers.concatenate(wide), hidden]))
    model = keras().Model(inputs, outputs)
    more = (("Moon", "Bachelors", None, "Other", 30.5, 45.0), (None, None, None, "Male", 65.0, 19.999999))
    return _finish("wide_and_deep", folder, model, [*inputs], table, more=more, labels="<=50K,>50K")


def hashed(folder: Path) -> LookupModel:
    """Texts and integers without a vocabulary: FarmHash, SipHash, and a mask."""
    layers = keras().layers
    table = mixed_tables.pets(rows=ROWS)
    breed = keras().Input((1,), name="Breed1", dtype="string")
    color = keras().Input((1,), name="Color1", dtype="string")
    kind = keras().Input((1,), name="Type", dtype="string")
    age = keras().Input((1,), name="Age", dtype="int64")
    encoded = [
        layers.Flatten()(layers.Embedding(16, 3)(layers.Hashing(16)(breed))),
        layers.Hashing(5, salt=[133, 137], output_mode="one_hot")(color),
        layers.Hashing(4, mask_value="", output_mode="one_hot")(kind),
        layers.Hashing(6, salt=7, output_mode="multi_hot")(age),
    ]
    model = keras().Model([breed, color, kind, age], layers.Dense(2, "softmax")(layers.concatenate(encoded)))
    more = (("ä" * 40, "€uro", None, -12345), ("x", "", "Cat", 2**40))
    return _finish("hashed", folder, model, ["Breed1", "Color1", "Type", "Age"], table, more=more, labels="0,1")


def one_text_matrix(folder: Path) -> LookupModel:
    """Penguins: one input of three texts through one lookup, in a Sequential model."""
    layers = keras().layers
    table = mixed_tables.penguins(rows=ROWS)
    words = ["Biscoe", "Dream", "Torgersen", "female", "male", "2007", "2008", "2009"]
    model = keras().Sequential(
        [
            keras().Input((3,), dtype="string", name="texts"),
            layers.StringLookup(vocabulary=words, output_mode="int", mask_token=""),
            layers.Embedding(len(words) + 2, 2),
            layers.Flatten(),
            layers.Dense(3, "softmax", name="species"),
        ]
    )
    more = (("Dream", None, "2010"), ("somewhere", "male", None))
    columns = ["island", "sex", "year"]
    options = ("--columns", "island,sex,year")
    return _finish("one_text_matrix", folder, model, columns, table, more, "Adelie,Chinstrap,Gentoo", options)


def nested(folder: Path) -> LookupModel:
    """A preprocessing model inside the model, as TensorFlow's "Load CSV data" builds it; gaps have a meaning."""
    layers, ops = keras().layers, keras().ops
    table = mixed_tables.titanic(rows=ROWS)
    inputs = {
        name: keras().Input((1,), name=name, dtype="string" if name in ("sex", "class", "deck") else "float32")
        for name in ("sex", "age", "fare", "class", "deck")
    }
    encoded = []
    for name in ("sex", "class", "deck"):
        words = sorted({cell for cell in table.column(name) if cell})
        encoded.append(layers.StringLookup(vocabulary=words, output_mode="one_hot")(inputs[name]))
    filled = ops.where(ops.isnan(inputs["age"]), 28.0, inputs["age"])
    encoded += [layers.Rescaling(1 / 80)(filled), layers.Rescaling(0.01)(inputs["fare"])]
    preprocessing = keras().Model(inputs, layers.concatenate(encoded), name="preprocessing")
    outer = {name: keras().Input((1,), name=name, dtype=each.dtype) for name, each in inputs.items()}
    body = keras().Sequential([keras().Input((preprocessing.output.shape[1],)), layers.Dense(8, "relu")])
    model = keras().Model(outer, layers.Dense(1, "sigmoid", name="survived")(body(preprocessing(outer))))
    more = (("robot", None, 3.5, "Fourth", None),)
    return _finish(
        "nested", folder, model, [*inputs], table, more, "no,yes", schema="[features.deck]\nmissing = true\n"
    )


def indexed(folder: Path) -> LookupModel:
    """Integers straight into layers: an Embedding of 3,000 rows, a CategoryEncoding, and a column used twice."""
    layers = keras().layers
    table = mixed_tables.heart(rows=ROWS)
    inputs = {name: keras().Input((1,), name=name, dtype="int32") for name in ("chol", "slope", "restecg", "age")}
    encoded = [
        layers.Flatten()(layers.Embedding(3000, 2)(inputs["chol"])),
        layers.CategoryEncoding(4, output_mode="one_hot")(inputs["slope"]),
        layers.IntegerLookup(vocabulary=[0, 1, 2], output_mode="one_hot")(inputs["restecg"]),
        layers.Rescaling(0.5)(inputs["restecg"]),
        layers.Discretization([40.5, 50.0, 60.0], output_mode="one_hot")(inputs["age"]),
        layers.Rescaling(0.02)(inputs["age"]),
    ]
    model = keras().Model([*inputs.values()], layers.Dense(1, "sigmoid", name="target")(layers.concatenate(encoded)))
    return _finish("indexed", folder, model, [*inputs], table, ((2999, 0, 2, 50), (0, 3, 0, 40)), "0,1")


def output_modes(folder: Path) -> LookupModel:
    """Each output mode of each lookup with no, one and several indices for unknown values, and a truth value."""
    layers, ops = keras().layers, keras().ops
    inputs: dict[str, Any] = {}
    encoded = []
    for oov in (0, 1, 3):
        for mode in ("int", "one_hot", "multi_hot", "count"):
            mask = "" if mode in ("int", "one_hot") else None
            text = inputs[f"text_{mode}_{oov}"] = keras().Input((1,), name=f"text_{mode}_{oov}", dtype="string")
            code = inputs[f"code_{mode}_{oov}"] = keras().Input((1,), name=f"code_{mode}_{oov}", dtype="int64")
            chosen = {"output_mode": mode, "num_oov_indices": oov}
            lookups = (
                layers.StringLookup(vocabulary=["a", "ö", "c"], mask_token=mask, **chosen),
                layers.IntegerLookup(vocabulary=[-5, 7, 1900], mask_token=None if mask is None else 0, **chosen),
            )
            for tensor, lookup in zip((text, code), lookups, strict=True):
                values = lookup(tensor)
                is_index = mode == "int"
                size = lookup.vocabulary_size()
                encoded.append(layers.Flatten()(layers.Embedding(size, 2)(values)) if is_index else values)
    for mode in ("int", "one_hot", "multi_hot", "count"):
        inputs[f"size_{mode}"] = keras().Input((1,), name=f"size_{mode}")
        bins = layers.Discretization([0.1, 1.5, 2.7], output_mode=mode)(inputs[f"size_{mode}"])
        encoded.append(ops.cast(bins, "float32") / 3)
    inputs["flag"] = keras().Input((1,), name="flag", dtype="bool")
    encoded.append(ops.cast(inputs["flag"], "float32"))
    model = keras().Model(inputs, layers.Dense(2, "softmax")(layers.concatenate(encoded)))
    cells = [
        ["aöc"[i % 3] if "text" in name else str((-5, 7, 1900)[i % 3]) if "code" in name else str(i % 5 / 1.5)]
        if name != "flag"
        else ["true" if i % 2 else "false"]
        for i in range(30)
        for name in inputs
    ]
    width = len(inputs)
    rows = [[*(cell for (cell,) in cells[i * width : (i + 1) * width]), "yes" if i % 4 else "no"] for i in range(30)]
    more = tuple(tuple(map(choose, inputs)) for choose in (_unknown, _masked))
    return _finish("output_modes", folder, model, [*inputs], Table([*inputs, "answer"], rows, "answer"), more, "no,yes")


def _unknown(name: str) -> Cell:
    """A value in no vocabulary where there is one index for it, or on a boundary."""
    if name.startswith("text"):
        return "a new word" if name.endswith("1") else "c"
    if name.startswith("code"):
        return 12 if name.endswith("1") else 7
    return False if name == "flag" else 1.5


def _masked(name: str) -> Cell:
    """A missing value where a mask stands for it, or just below a boundary."""
    if name.startswith("text"):
        return None if "int" in name or "one_hot" in name else "ö"
    if name.startswith("code"):
        return 0 if "int" in name or "one_hot" in name else -5
    return True if name == "flag" else float(np.nextafter(np.float32(2.7), np.float32(0)))


def _finish(  # noqa: PLR0913, PLR0917 (what a made model has)
    name: str,
    folder: Path,
    model: Any,
    columns: Sequence[str],
    table: Table,
    more: tuple[tuple[Cell, ...], ...] = (),
    labels: str = "",
    options: tuple[str, ...] = (),
    schema: str = "",
) -> LookupModel:
    """Train the model for two steps on the table, save it and its sample."""
    texts = _find_texts(model, columns)
    gap = (table.gap, "")
    truth = {"true": True, "false": False}
    parsed = [
        [
            None if cell in gap else cell if text else truth.get(cell, cell) if cell in truth else float(cell)
            for text, cell in zip(texts, row, strict=True)
        ]
        for row in zip(*(table.column(each) for each in columns), strict=True)
    ]
    can_miss = {"wide_and_deep": texts, "one_text_matrix": texts, "nested": [True] * len(texts)}.get(name)
    kept = [i for i, row in enumerate(parsed) if None not in row or can_miss]
    rows: list[list[Cell]] = [[*parsed[i]] for i in kept]
    units = model.outputs[0].shape[1]
    names = sorted(set(table.column(table.label)))
    answers = np.array([names.index(table.column(table.label)[i]) for i in kept])
    _train(model, columns, rows, answers)
    path = folder / f"{name}.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    sample = folder / "sample.csv"
    with sample.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table.header)
        writer.writerows(table.rows[i] for i in kept)
    given = ["--sample", str(sample), "--label", table.label, "--labels", labels, *options]
    if units == 1 and name == "pet_adoption":
        given.append("--from-logits")
    if schema:
        (folder / "schema.toml").write_text(schema)
        given += ["--schema", str(folder / "schema.toml")]
    return LookupModel(name, path, tuple(columns), rows, sample, tuple(given), more)


def _find_texts(model: Any, columns: Sequence[str]) -> list[bool]:
    dtypes = {tensor.name: tensor.dtype for tensor in model.inputs}
    return [dtypes.get(name, model.inputs[0].dtype) == "string" for name in columns]


def _train(model: Any, columns: Sequence[str], rows: Any, answers: Any) -> None:
    from models.tensorflow_setup import tf

    optimizer, units = keras().optimizers.Adam(0.02), model.outputs[0].shape[1]
    for _ in range(3):
        with tf.GradientTape() as tape:
            outputs = run(model, columns, rows)
            wanted = tf.cast(tf.one_hot(answers, units) if units > 1 else answers[:, np.newaxis], tf.float32)
            loss = tf.reduce_mean(tf.square(outputs - wanted))
        optimizer.apply(tape.gradient(loss, model.trainable_weights), model.trainable_weights)


BUILDERS: dict[str, Callable[[Path], LookupModel]] = {
    builder.__name__: builder
    for builder in (
        heart_disease,
        feature_space,
        pet_adoption,
        wide_and_deep,
        hashed,
        one_text_matrix,
        nested,
        indexed,
        output_modes,
    )
}
