"""Models as people make them, each saved to a file, with a table of rows as the model takes them.

`make` builds one by its name. Most weights are drawn, not trained, so that all together take seconds; the architectures
are those of the tutorials on structured data of Keras and TensorFlow and of models that users have.
"""

import csv
import itertools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.signature import Head, Target

Floats = NDArray[np.float32]
ROWS = 200


@dataclass(frozen=True)
class MadeModel:
    """A saved model.

    ``rows`` [n, features] are a sample in the order of the model's inputs, ``columns`` are its names. ``labels`` has
    the label or target column by its name, if there is one; ``heads`` is what the model's outputs mean. ``expected``
    are the model's own outputs for the rows, computed before it was saved. ``custom`` are the values of ``--custom``.
    """

    name: str
    path: Path
    rows: Floats
    columns: tuple[str, ...]
    heads: tuple[Head, ...]
    expected: Mapping[str, Floats]
    labels: Mapping[str, Sequence[str | float]] = field(default_factory=dict)
    custom: tuple[str, ...] = ()
    from_logits: bool = False

    def write_csv(self, path: Path) -> Path:
        """Write the sample as a table, the label columns last."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*self.columns, *self.labels])
            writer.writerows(
                [*row, *(values[i] for values in self.labels.values())] for i, row in enumerate(self.rows.tolist())
            )
        return path


def make(name: str, folder: Path) -> MadeModel:
    """Build a model of `BUILDERS` and save it in ``folder``; the same name gives the same weights."""
    from models.tensorflow_setup import keras

    keras.utils.set_random_seed(0)
    return BUILDERS[name](folder)


def classification(name: str, labels: Sequence[str], threshold: float | None = None) -> Head:
    """A head as the command line makes it: its layer is not known yet."""
    return Head(name=name, kind="classification", layer="", labels=tuple(labels), threshold=threshold)


def regression(name: str, **targets: str) -> Head:
    """A regression head; ``targets`` are the units by name."""
    named = tuple(Target(name=target, unit=unit) for target, unit in targets.items())
    return Head(name=name, kind="regression", layer="", targets=named)


def multi_label(name: str, labels: Sequence[str]) -> Head:
    """A head of independent labels."""
    return Head(name=name, kind="multi_label", layer="", labels=tuple(labels))


def draw_weights(model: Any, seed: int = 1) -> Any:
    """Give the model weights as training leaves them: no bias is zero and no moving statistic is initial."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():  # noqa: SLF001 (there is no public way into nested models)
        for weight in layer.weights:
            name, shape = weight.name, weight.shape
            if "kernel" in name or "embeddings" in name:
                weight.assign(rng.normal(0, 1.2 / np.sqrt(shape[0]), shape))
            elif name in ("moving_variance", "gamma", "variance"):
                weight.assign(rng.uniform(0.5, 2, shape))
            elif name in ("bias", "beta", "moving_mean", "mean", "share", "alpha"):
                weight.assign(rng.normal(0, 0.3, shape))
    return model


def _save(  # noqa: PLR0913 (what a made model has)
    model: Any,
    path: Path,
    rows: Floats,
    columns: Sequence[str],
    heads: Sequence[Head],
    *,
    arguments: Any = None,
    **other: Any,
) -> MadeModel:
    outputs = model(rows if arguments is None else arguments, training=False)
    by_name = (
        outputs
        if isinstance(outputs, dict)
        else dict(zip([head.name for head in heads], _listed(outputs), strict=True))
    )
    expected = {name: np.asarray(values) for name, values in by_name.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras 3.15 under NumPy 2.4; it also calls .h5 legacy
        if path.suffix:
            model.save(path)
        else:
            model.export(path, verbose=False)
    return MadeModel(path.stem, path, rows, tuple(columns), tuple(heads), expected, **other)


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _keras() -> Any:
    from models.tensorflow_setup import keras

    return keras


def _normal(features: int, seed: int = 0, rows: int = ROWS) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, features)).astype(np.float32)


def _pick(labels: Sequence[str], scores: Any) -> list[str]:
    """A label for each row, by the quantile of its score."""
    order = np.argsort(np.argsort(np.asarray(scores)))
    return [labels[int(i * len(labels) / len(order))] for i in order]


def fraud(folder: Path) -> MadeModel:
    """Keras' tutorial on imbalanced classification (credit-card fraud): 29 columns, wide layers, one sigmoid unit."""
    keras = _keras()
    layers = keras.layers
    rows = _normal(29)
    model = keras.Sequential(
        [
            keras.Input((29,)),
            layers.Dense(256, "relu"),
            layers.Dense(256, "relu"),
            layers.Dropout(0.3),
            layers.Dense(256, "relu"),
            layers.Dropout(0.3),
            layers.Dense(1, "sigmoid", name="fraud"),
        ],
        name="fraud_model",
    )
    is_fraud = (rows[:, 0] + rows[:, 3] > 2).astype(int)
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", jit_compile=False)
    model.fit(rows, is_fraud, batch_size=100, epochs=2, verbose=0)
    columns = [*(f"V{i}" for i in range(1, 29)), "Amount"]
    labels = {"Class": ["fraud" if one else "genuine" for one in is_fraud]}
    heads = [classification("fraud", ("genuine", "fraud"), 0.3)]
    return _save(model, folder / "fraud.keras", rows, columns, heads, labels=labels)


def auto_mpg(folder: Path) -> MadeModel:
    """TensorFlow's tutorial on regression (auto MPG): an adapted Normalization, one linear unit."""
    keras = _keras()
    rng = np.random.default_rng(3)
    columns = (
        "Cylinders",
        "Displacement",
        "Horsepower",
        "Weight",
        "Acceleration",
        "Model Year",
        "Europe",
        "Japan",
        "USA",
    )
    origin = np.eye(3)[rng.integers(0, 3, ROWS)]
    numbers = rng.normal((5.5, 194, 104, 2978, 15.6, 76), (1.7, 104, 38, 849, 2.8, 3.7), (ROWS, 6))
    rows = np.column_stack([numbers, origin]).astype(np.float32)
    normalizer = keras.layers.Normalization(axis=-1)
    normalizer.adapt(rows)
    model = keras.Sequential(
        [
            keras.Input((9,)),
            normalizer,
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(1, name="mpg"),
        ]
    )
    mpg = (46 - 0.0077 * rows[:, 3] + rng.normal(0, 2, ROWS)).astype(np.float32)
    model.compile(keras.optimizers.Adam(1e-2), "mean_absolute_error", jit_compile=False)
    model.fit(rows, mpg, batch_size=50, epochs=5, verbose=0)
    heads = [regression("mpg", MPG="mpg")]
    return _save(model, folder / "auto_mpg.keras", rows, columns, heads, labels={"MPG": mpg.tolist()})


def wine_quality(folder: Path) -> MadeModel:
    """Wine quality: eleven measurements of different sizes, a softmax over three grades."""
    keras = _keras()
    rng = np.random.default_rng(4)
    columns = [
        "fixed acidity",
        "volatile acidity",
        "citric acid",
        "residual sugar",
        "chlorides",
        "free sulfur dioxide",
        "total sulfur dioxide",
        "density",
        "pH",
        "sulphates",
        "alcohol",
    ]
    means = (6.9, 0.28, 0.33, 6.4, 0.046, 35, 138, 0.994, 3.19, 0.49, 10.5)
    rows = rng.normal(means, np.array(means) * 0.15, (ROWS, 11)).astype(np.float32)
    model = keras.Sequential(
        [
            keras.Input((11,)),
            keras.layers.Normalization(mean=means, variance=np.square(np.array(means) * 0.15)),
            keras.layers.Dense(16, "gelu"),
            keras.layers.Dense(3, "softmax", name="quality"),
        ]
    )
    labels = {"quality": _pick(("low", "medium", "high"), rows[:, 10])}
    heads = [classification("quality", ("low", "medium", "high"))]
    return _save(draw_weights(model), folder / "wine_quality.keras", rows, columns, heads, labels=labels)


def churn(folder: Path) -> MadeModel:
    """Customer churn: BatchNormalization and Dropout between the layers, activations as layers of their own."""
    keras = _keras()
    layers = keras.layers
    columns = ("age", "tenure", "balance", "products", "active", "salary", "calls", "visits", "complaints", "score")
    rng = np.random.default_rng(5)
    rows: Any = rng.normal(
        (40, 5, 70, 1.5, 0.5, 100, 2, 10, 0.2, 650), (10, 3, 60, 0.6, 0.5, 50, 2, 5, 0.4, 90), (ROWS, 10)
    )
    rows = rows.astype(np.float32)
    model = keras.Sequential(
        [
            keras.Input((10,), name="customer"),
            layers.BatchNormalization(),
            layers.Dense(32, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Dropout(0.4),
            layers.Dense(16),
            layers.ReLU(max_value=6),
            layers.Dense(1),
            layers.Activation("sigmoid", name="churned"),
        ]
    )
    draw_weights(model)
    model.layers[0].set_weights([np.ones(10), np.zeros(10), rows.mean(axis=0), rows.var(axis=0)])
    labels = {"churned": _pick(("no", "yes"), rows[:, 0])}
    heads = [classification("churned", ("no", "yes"), 0.4)]
    return _save(model, folder / "churn.keras", rows, columns, heads, labels=labels)


def deep_and_cross(folder: Path) -> MadeModel:
    """Keras' example of deep and cross networks: products of the inputs beside dense layers."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((7,), name="measurements")
    cross = inputs
    for _ in range(2):
        cross = inputs * layers.Dense(7)(cross) + cross
    cross = layers.BatchNormalization()(cross)
    deep = layers.Dense(32, "relu")(inputs)
    deep = layers.Dropout(0.1)(layers.BatchNormalization()(deep))
    merged = layers.Concatenate()([cross, deep])
    outputs = layers.Dense(4, "softmax", name="cover")(merged)
    model = draw_weights(keras.Model(inputs, outputs, name="deep & cross"))
    rows = 0.5 * _normal(7, 6)
    labels = {"cover": _pick(("fir", "pine", "aspen", "willow"), rows[:, 1])}
    columns = [f"m{i}" for i in range(7)]
    heads = [classification("cover", ("fir", "pine", "aspen", "willow"))]
    return _save(model, folder / "deep_and_cross.keras", rows, columns, heads, labels=labels)


def several_outputs(folder: Path) -> MadeModel:
    """A price, a kind and tags from one trunk: a regression, a softmax and independent sigmoids as a dict."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((5,), name="house")
    trunk = layers.Dense(16, "tanh", name="trunk")(layers.Rescaling(0.5, offset=-0.1)(inputs))
    outputs = {
        "price": layers.Dense(1, name="price")(trunk),
        "kind": layers.Dense(3, "softmax", name="kind")(layers.Dense(8, "elu")(trunk)),
        "tags": layers.Dense(2, "sigmoid", name="tags")(trunk),
    }
    model = draw_weights(keras.Model(inputs, outputs))
    rows = _normal(5, 7)
    heads = [
        regression("price", price="USD"),
        classification("kind", ("flat", "house", "villa")),
        multi_label("tags", ("garden", "garage")),
    ]
    ordered = sorted(heads, key=lambda head: list(outputs).index(head.name))
    labels = {"price": (rows[:, 0] * 3).tolist(), "kind": _pick(("flat", "house", "villa"), rows[:, 2])}
    return _save(model, folder / "several_outputs.keras", rows, [f"h{i}" for i in range(5)], ordered, labels=labels)


def one_input_per_feature(folder: Path) -> MadeModel:
    """A functional model with an input for each column, as a dict; not in the order of the alphabet."""
    keras = _keras()
    layers = keras.layers
    columns = ("tenure", "age", "income", "visits")
    inputs = {name: keras.Input((1,), name=name, dtype="int32" if name == "visits" else "float32") for name in columns}
    scaled = [
        layers.Rescaling(scale, name=f"{name}_scaled")(inputs[name])
        for name, scale in zip(columns, (0.1, 0.02, 1e-4, 0.2), strict=True)
    ]
    hidden = layers.Dense(8, "relu")(layers.concatenate(scaled))
    model = draw_weights(keras.Model(inputs, layers.Dense(3, "softmax", name="segment")(hidden)))
    rng = np.random.default_rng(8)
    own = {
        "tenure": rng.uniform(0, 20, ROWS),
        "age": rng.uniform(18, 90, ROWS),
        "income": rng.uniform(1e3, 1e5, ROWS),
        "visits": rng.integers(0, 9, ROWS),
    }
    order = [tensor.name for tensor in model.inputs] if not isinstance(model.input, dict) else list(model.input)
    rows = np.column_stack([own[name] for name in order]).astype(np.float32)
    arguments = {
        name: values.astype("int32" if name == "visits" else "float32")[:, None] for name, values in own.items()
    }
    heads = [classification("segment", ("a", "b", "c"))]
    labels = {"segment": _pick(("a", "b", "c"), rows[:, 0])}
    return _save(model, folder / "one_input_per_feature.keras", rows, order, heads, arguments=arguments, labels=labels)


def list_of_inputs(folder: Path) -> MadeModel:
    """Two matrices as a list, which must not be swapped: 2 and 3 columns."""
    keras = _keras()
    layers = keras.layers
    person, house = keras.Input((2,), name="person"), keras.Input((3,), name="house")
    hidden = layers.Concatenate()([layers.Dense(4, "softplus")(house), layers.Dense(4, "selu")(person)])
    model = draw_weights(keras.Model([person, house], layers.Dense(2, name="costs")(hidden)))
    rows = _normal(5, 9)
    columns = ("age", "income", "rooms", "area", "floor")
    heads = [regression("costs", rent="EUR", heating="EUR")]
    return _save(
        model,
        folder / "list_of_inputs.keras",
        rows,
        columns,
        heads,
        arguments=[rows[:, :2], rows[:, 2:]],
        labels={"rent": rows[:, 0].tolist(), "heating": rows[:, 1].tolist()},
    )


def subclassed(folder: Path) -> MadeModel:
    """A class of the user's own, which only ``--custom`` can load."""
    from support.custom_layers import Residual

    rows = _normal(6, 10)
    model = Residual(units=10)
    model(rows)
    draw_weights(model)
    heads = [classification("output_0", ("x", "y", "z"))]
    return _save(
        model,
        folder / "subclassed.keras",
        rows,
        [f"c{i}" for i in range(6)],
        heads,
        custom=("support.custom_layers:Residual",),
        labels={"kind": _pick(("x", "y", "z"), rows[:, 0])},
    )


def custom_layer(folder: Path) -> MadeModel:
    """A functional model with a registered layer of the user's own between Keras' layers."""
    from support.custom_layers import Gate

    keras = _keras()
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(1, name="level")(keras.layers.Dense(6, "swish")(Gate(name="gate")(inputs)))
    rows = _normal(4, 11)
    heads = [regression("level", level="m")]
    return _save(
        draw_weights(keras.Model(inputs, outputs)),
        folder / "custom_layer.keras",
        rows,
        list("abcd"),
        heads,
        custom=("support.custom_layers:Gate",),
        labels={"level": rows[:, 0].tolist()},
    )


def nested(folder: Path) -> MadeModel:
    """A trained encoder as one layer of another model, twice the same."""
    keras = _keras()
    layers = keras.layers
    encoder = keras.Sequential(
        [keras.Input((3,)), layers.Dense(5, "relu"), layers.BatchNormalization()], name="encoder"
    )
    inputs = keras.Input((6,), name="pair")
    left = layers.Dense(3, name="left")(inputs)
    right = layers.Dense(3, name="right")(inputs)
    merged = layers.Concatenate()([encoder(left), encoder(right)])
    model = draw_weights(keras.Model(inputs, layers.Dense(2, "softmax", name="match")(merged)))
    rows = _normal(6, 12)
    heads = [classification("match", ("no", "yes"), 0.5)]
    labels = {"match": _pick(("no", "yes"), rows[:, 0])}
    return _save(model, folder / "nested.keras", rows, [f"p{i}" for i in range(6)], heads, labels=labels)


def float64(folder: Path) -> MadeModel:
    """A model in double precision."""
    keras = _keras()
    options: dict[str, Any] = {"dtype": "float64"}
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="float64"),
            keras.layers.Dense(8, "tanh", **options),
            keras.layers.Dense(1, name="yield", **options),
        ]
    )
    rows = _normal(4, 13)
    heads = [regression("yield", tons="t")]
    labels = {"tons": rows[:, 0].tolist()}
    return _save(draw_weights(model), folder / "float64.keras", rows, list("wxyz"), heads, labels=labels)


def logits(folder: Path) -> MadeModel:
    """A classifier without softmax, trained with ``from_logits=True``, saved as Keras 3's ``.h5``."""
    keras = _keras()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10, "relu"), keras.layers.Dense(3, name="species")])
    rows = _normal(4, 14) + 4
    columns = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    heads = [classification("species", ("setosa", "versicolor", "virginica"))]
    labels = {"species": _pick(("setosa", "versicolor", "virginica"), rows[:, 2])}
    return _save(draw_weights(model), folder / "logits.h5", rows, columns, heads, labels=labels)


def multiple_labels(folder: Path) -> MadeModel:
    """Independent labels: several sigmoid units."""
    keras = _keras()
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Dense(12, "mish"),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(3, "sigmoid", name="tags"),
        ]
    )
    rows = _normal(5, 15)
    heads = [multi_label("tags", ("warm", "wet", "windy"))]
    return _save(draw_weights(model), folder / "multiple_labels.keras", rows, [f"s{i}" for i in range(5)], heads)


def keras_2(folder: Path) -> MadeModel:
    """A model that tf_keras 2.21 saved as ``.h5``; the configuration and the layout of the file are its own."""
    import h5py

    rng = np.random.default_rng(16)
    sizes = (8, 12, 8, 1)
    kernels = [rng.normal(0, 1.2 / np.sqrt(a), (a, b)).astype(np.float32) for a, b in itertools.pairwise(sizes)]
    biases = [rng.normal(0, 0.3, size).astype(np.float32) for size in sizes[1:]]
    names, activations = ("dense", "dense_1", "diabetes"), ("relu", "relu", "sigmoid")
    layers: list[Any] = [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {
                "batch_input_shape": [None, 8],
                "dtype": "float32",
                "sparse": False,
                "ragged": False,
                "name": "dense_input",
            },
            "registered_name": None,
        }
    ]
    for name, units, activation, inputs in zip(names, sizes[1:], activations, sizes, strict=False):
        config = {
            "name": name,
            "trainable": True,
            "dtype": "float32",
            "units": units,
            "activation": activation,
            "use_bias": True,
            "kernel_regularizer": None,
            "bias_regularizer": None,
            "activity_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
            "kernel_initializer": {
                "module": "keras.initializers",
                "class_name": "GlorotUniform",
                "config": {"seed": None},
                "registered_name": None,
            },
            "bias_initializer": {
                "module": "keras.initializers",
                "class_name": "Zeros",
                "config": {},
                "registered_name": None,
            },
        }
        layers.append(
            {
                "module": "keras.layers",
                "class_name": "Dense",
                "config": config,
                "registered_name": None,
                "build_config": {"input_shape": [None, inputs]},
            }
        )
    path = folder / "keras_2.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.21.0", "tensorflow"
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
        )
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in names]
        group.attrs["keras_version"], group.attrs["backend"] = "2.21.0", "tensorflow"
        for name, kernel, bias in zip(names, kernels, biases, strict=True):
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            layer.create_dataset(f"{name}/kernel:0", data=kernel)
            layer.create_dataset(f"{name}/bias:0", data=bias)
    rows = _normal(8, 16)
    values = rows.astype(np.float64)
    for kernel, bias, activation in zip(kernels, biases, activations, strict=True):
        values = values @ kernel + bias
        values = np.maximum(values, 0) if activation == "relu" else 1 / (1 + np.exp(-values))
    columns = ("Pregnancies", "Glucose", "BloodPressure", "SkinThickness", "Insulin", "BMI", "Pedigree", "Age")
    heads = (classification("diabetes", ("healthy", "diabetes")),)
    labels = {"Outcome": _pick(("healthy", "diabetes"), values[:, 0])}
    return MadeModel("keras_2", path, rows, columns, heads, {"diabetes": values.astype(np.float32)}, labels)


def saved_model(folder: Path) -> MadeModel:
    """What Keras 3's ``model.export`` writes: a graph in a folder, without layers."""
    keras = _keras()
    model = keras.Sequential(
        [keras.Input((3,), name="flower"), keras.layers.Dense(7, "relu"), keras.layers.Dense(3, "softmax")]
    )
    rows = _normal(3, 17)
    heads = [classification("output_0", ("r", "g", "b"))]
    labels = {"color": _pick(("r", "g", "b"), rows[:, 0])}
    return _save(draw_weights(model), folder / "saved_model", rows, ("length", "width", "height"), heads, labels=labels)


def lstm(folder: Path) -> MadeModel:
    """The last six months as a sequence of columns through an LSTM."""
    keras = _keras()
    model = keras.Sequential(
        [
            keras.Input((6, 1), name="months"),
            keras.layers.LSTM(6, name="memory"),
            keras.layers.Dense(1, name="next_month"),
        ]
    )
    rows = _normal(6, 18)
    heads = [regression("next_month", sales="EUR")]
    labels = {"sales": rows[:, 5].tolist()}
    columns = [f"month_{i + 1}" for i in range(6)]
    return _save(
        draw_weights(model), folder / "lstm.keras", rows, columns, heads, arguments=rows[:, :, None], labels=labels
    )


def odd_names(folder: Path) -> MadeModel:
    """Names that exporters refuse: spaces, umlauts, keywords, signs."""
    keras = _keras()
    layers = keras.layers
    columns = ("Größe (cm)", "class", "self", "Gewicht %", "_id", "Alter des Kunden")
    inputs = [keras.Input((1,), name=name) for name in columns]
    merged = layers.Concatenate(name="alles zusammen")(inputs)
    hidden = layers.Dense(6, "relu", name="verdeckte Schicht 1")(merged)
    hidden = layers.Dense(6, "relu", name="verdeckte_Schicht 1")(hidden)
    hidden = layers.Dense(5, "relu", name="features")(hidden)
    outputs = layers.Dense(2, "softmax", name="Überlebt")(hidden)
    model = draw_weights(keras.Model(inputs, outputs, name="Modell für Kunden"))
    rows = _normal(6, 19)
    heads = [classification("Überlebt", ("nein", "ja"))]
    return _save(
        model,
        folder / "odd_names.keras",
        rows,
        columns,
        heads,
        arguments=[rows[:, i : i + 1] for i in range(6)],
        labels={"Überlebt": _pick(("nein", "ja"), rows[:, 1])},
    )


BUILDERS: dict[str, Callable[[Path], MadeModel]] = {
    builder.__name__: builder
    for builder in (
        fraud,
        auto_mpg,
        wine_quality,
        churn,
        deep_and_cross,
        several_outputs,
        one_input_per_feature,
        list_of_inputs,
        subclassed,
        custom_layer,
        nested,
        float64,
        logits,
        multiple_labels,
        keras_2,
        saved_model,
        lstm,
        odd_names,
    )
}
