"""The network: raw measurements in, a probability for each label out, 124 trainable parameters for the animals."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# TensorFlow reads these when it is imported. oneDNN may sum in another order from run to run.
os.environ.update(
    TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="-1", KERAS_BACKEND="tensorflow"
)

import keras
import numpy as np
import tensorflow as tf

from models.bundle import MODEL_KERAS, MODEL_LITERT, WEIGHTS
from models.dataset import Floats, Sample
from models.manifest import DenseWeights, NormalizationWeights, Weights

HIDDEN_UNITS = 6
BATCH = 512
RATE = 0.02
WEIGHT_DECAY = 0.02  # keeps the network calm where no animal is: better under stress, and engines agree to 1e-5


def build(labels: int, rows: Floats) -> keras.Sequential:
    """An untrained network for ``rows`` [n, features] in raw units, whose mean and variance it takes over."""
    normalization = keras.layers.Normalization(name="normalization")
    network = keras.Sequential(
        [
            keras.Input((rows.shape[1],), name="features"),
            normalization,
            keras.layers.Dense(HIDDEN_UNITS, "relu", name="hidden_1"),
            keras.layers.Dense(HIDDEN_UNITS, "relu", name="hidden_2"),
            keras.layers.Dense(labels, "softmax", name="probabilities"),
        ]
    )
    normalization.adapt(rows)
    return network


def fit(
    network: keras.Sequential,
    sample: Sample,
    epochs: int,
    weights: Sequence[float],
    advance: Callable[[], None],
) -> list[float]:
    """Train on a sample in its given, random order and return the loss of each epoch.

    AdamW (Loshchilov and Hutter 2019) with a learning rate that falls from 0.02 to 0 as a cosine (the same, 2017,
    without restarts).
    ``weights`` is how much an individual of each label counts in the loss; ``advance`` is called after every epoch.
    """
    steps = max(1, len(sample.rows) // BATCH)
    batch = min(BATCH, len(sample.rows))
    weighed = np.asarray(weights, np.float32)[sample.labels]
    arrays = [
        array[: steps * batch].reshape(steps, batch, *array.shape[1:])
        for array in (sample.rows, sample.labels, weighed)
    ]
    batches = tf.data.Dataset.from_tensor_slices(tuple(arrays)).cache().shuffle(steps, seed=0).repeat()
    schedule = keras.optimizers.schedules.CosineDecay(RATE, epochs * steps)
    network.compile(
        keras.optimizers.AdamW(schedule, WEIGHT_DECAY),
        "sparse_categorical_crossentropy",
        steps_per_execution=steps,
        jit_compile=False,  # compiling takes longer than it saves on a network of this size
    )
    hear = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: advance())
    history = network.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[hear], shuffle=False, verbose=0)
    return [float(loss) for loss in history.history["loss"]]


def layers(network: keras.Sequential) -> keras.Model:
    """The same network with every layer's output by the layer's name."""
    return keras.Model(network.inputs, {layer.name: layer.output for layer in network.layers})


def outputs(network: keras.Sequential, rows: Floats) -> dict[str, Floats]:
    """What every layer answers to rows [n, features]: [n, units] by the layer's name."""
    return {name: np.asarray(values) for name, values in layers(network)([rows], training=False).items()}


def probabilities(network: keras.Sequential, rows: Floats) -> Floats:
    """The labels' probabilities, [n, labels]."""
    return np.asarray(network(rows, training=False))


def export(network: keras.Sequential, folder: Path) -> None:
    """Save the network into a folder, for Keras and, with every layer's output, for LiteRT; and its bare numbers."""
    network.save(folder / MODEL_KERAS)
    layers(network).export(folder / MODEL_LITERT, format="litert", verbose=False)
    (folder / WEIGHTS).write_text(weights(network).model_dump_json(indent=1) + "\n", encoding="utf-8")


def weights(network: keras.Sequential) -> Weights:
    """What each layer computes with, as Keras has it."""
    return Weights(layers={layer.name: _weights(layer) for layer in network.layers})


def _weights(layer: Any) -> NormalizationWeights | DenseWeights:
    if isinstance(layer, keras.layers.Normalization):
        deviation = np.maximum(np.sqrt(np.asarray(layer.variance)), keras.backend.epsilon())  # Keras divides by it so
        return NormalizationWeights(mean=np.ravel(layer.mean).tolist(), standard_deviation=deviation.ravel().tolist())
    kernel = np.asarray(layer.kernel)
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(layer.units)
    return DenseWeights(weights=kernel.T.tolist(), bias=bias.tolist())


def load(path: Path) -> Any:
    """The network as Keras saved it; nothing but Keras' own layers is deserialised."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def start(seed: int) -> None:
    """Make what follows depend on the seed alone."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
