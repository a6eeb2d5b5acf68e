"""The Keras network: raw measurements in, a probability for each label out. For the animals it has 124 parameters."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import MODEL_KERAS, MODEL_LITERT, WEIGHTS
from models.dataset import Floats, Normalization, Sample
from models.replicas import DenseLayer, Layers
from models.tensorflow_setup import keras, tf
from models.weights import DenseWeights, NormalizationWeights, Weights

BATCH_SIZE = 512
LEARNING_RATE = 0.02
DEVIATIONS = (1e-6, 1e18)  # Keras replaces smaller ones by 1e-7, and larger ones have a square beyond float32
WEIGHT_DECAY = 0.02  # less extreme far from the training rows: better under stress, and engines agree to 1e-5


def build(labels: int, rows: Floats, hidden: Sequence[int] = (6, 6)) -> keras.Sequential:
    """Build an untrained network whose normalization is adapted to ``rows`` [n, features] in raw units."""
    normalization = keras.layers.Normalization(name="normalization")
    network = _stack(normalization, rows.shape[1], hidden, labels)
    normalization.adapt(rows)
    return network


def assemble(
    normalization: Normalization, layers: Layers, temperature: float, name: str | None = None
) -> keras.Sequential:
    """Build the network that has these dense layers, the logits divided by ``temperature``, after a normalization.

    A standard deviation whose square float32 cannot hold is limited, and the first kernel makes up for that.
    """
    deviation = np.clip(normalization.standard_deviation, *DEVIATIONS)
    first, last = layers[0], layers[-1]
    first = DenseLayer(first.kernel * (deviation / normalization.standard_deviation)[:, None], first.bias)
    last = DenseLayer(last.kernel / temperature, last.bias / temperature)
    stages = [first, *layers[1:-1], last]
    network = _stack(
        keras.layers.Normalization(name="normalization", mean=normalization.mean, variance=deviation**2),
        len(first.kernel),
        [len(layer.bias) for layer in stages[:-1]],
        len(last.bias),
        name,
    )
    for layer, stage in zip(network.layers[1:], stages, strict=True):
        layer.set_weights([stage.kernel, stage.bias])
    return network


def _stack(
    normalization: Any, features: int, hidden: Sequence[int], labels: int, name: str | None = None
) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((features,), name="features"),
            normalization,
            *(keras.layers.Dense(units, "relu", name=f"hidden_{i}") for i, units in enumerate(hidden, start=1)),
            keras.layers.Dense(labels, "softmax", name="probabilities"),
        ],
        name=name,
    )


def fit(
    network: keras.Sequential,
    sample: Sample,
    epochs: int,
    label_weights: Sequence[float],
    on_epoch_end: Callable[[], None],
) -> list[float]:
    """Train on a sample, whose order is already random, and return the loss of each epoch.

    The optimizer is AdamW (Loshchilov and Hutter 2019) with cosine decay of the learning rate to 0 (the same, 2017,
    without restarts). ``label_weights`` are the weights in the loss of the individuals of each label.
    """
    steps = max(1, len(sample.rows) // BATCH_SIZE)
    batch_size = min(BATCH_SIZE, len(sample.rows))
    sample_weights = np.asarray(label_weights, np.float32)[sample.labels]
    arrays = [
        array[: steps * batch_size].reshape(steps, batch_size, *array.shape[1:])
        for array in (sample.rows, sample.labels, sample_weights)
    ]
    batches = tf.data.Dataset.from_tensor_slices(tuple(arrays)).cache().shuffle(steps, seed=0).repeat()
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * steps)
    network.compile(
        keras.optimizers.AdamW(schedule, WEIGHT_DECAY),
        "sparse_categorical_crossentropy",
        steps_per_execution=steps,
        jit_compile=False,  # compiling takes longer than it saves on a network of this size
    )
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: on_epoch_end())
    history = network.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[callback], shuffle=False, verbose=0)
    return [float(loss) for loss in history.history["loss"]]


def expose_layers(network: keras.Sequential) -> keras.Model:
    """Build a model that shares the network's weights and outputs every layer by its name."""
    return keras.Model(network.inputs, {layer.name: layer.output for layer in network.layers})


def compute_layers(network: keras.Sequential, rows: Floats) -> dict[str, Floats]:
    """Compute every layer's output [n, units] for ``rows`` [n, features], by layer name."""
    return {name: np.asarray(values) for name, values in expose_layers(network)([rows], training=False).items()}


def export(network: keras.Sequential, folder: Path, whole: keras.Model | None = None) -> None:
    """Save the network for Keras and, with every layer's output, for LiteRT, and its weights as JSON.

    For Keras, the ``whole`` model is saved, if there is one that takes raw values.
    """
    (whole or network).save(folder / MODEL_KERAS)
    expose_layers(network).export(folder / MODEL_LITERT, format="litert", verbose=False)
    (folder / WEIGHTS).write_text(extract_weights(network).model_dump_json(indent=1) + "\n", encoding="utf-8")


def extract_weights(network: keras.Sequential) -> Weights:
    """Read each layer's weights."""
    return Weights(layers={layer.name: _extract_layer_weights(layer) for layer in network.layers})


def _extract_layer_weights(layer: Any) -> NormalizationWeights | DenseWeights:
    if isinstance(layer, keras.layers.Normalization):
        deviation = np.maximum(np.sqrt(np.asarray(layer.variance)), keras.backend.epsilon())  # as Keras does
        return NormalizationWeights(mean=np.ravel(layer.mean).tolist(), standard_deviation=deviation.ravel().tolist())
    kernel = np.asarray(layer.kernel)
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(layer.units)
    return DenseWeights(weights=kernel.T.tolist(), bias=bias.tolist())


def load(path: Path) -> Any:
    """Load a saved network; safe mode deserializes nothing but Keras' own layers."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def set_random_seed(seed: int) -> None:
    """Make Keras and TensorFlow deterministic, dependent on the seed alone."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
