"""Signs in a model's weights that it was never trained."""

import math
from typing import Any

import numpy as np

from models.adoption.errors import AdoptionError
from models.adoption.keras_model import read_values, walk_layers
from models.tensorflow_setup import keras

_WARNING = "the model seems never to have been trained ({}): train it, save it again and adopt that file"


def require_finite_weights(model: Any) -> None:
    """Refuse a model whose training diverged.

    Raises:
        AdoptionError: a weight is infinite or not a number.
    """
    for layer in walk_layers(model):
        for weight in layer.weights:
            values = read_values(weight)
            if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values.astype(np.float64)).all():
                raise AdoptionError(
                    f"layer {layer.name} has weights that are not finite numbers, so its training diverged: "
                    "train it again, with a smaller learning rate or without missing values in the rows"
                )


def find_warnings(model: Any, steps: int | None) -> tuple[str, ...]:
    """Sentences about a Keras model that is as its initializers left it; ``steps`` counts the optimizer's, if known."""
    layers = walk_layers(model)
    warnings = []
    if _is_initial(layers, steps):
        evidence = "its optimizer has counted no step" if steps == 0 else "all biases are 0 and all kernels small"
        warnings.append(_WARNING.format(evidence))
    warnings += [
        f"layer {layer.name} normalizes nothing, its mean is 0 and its variance 1: if that is not meant, call "
        "its adapt() on the training rows, train the model and save it again"
        for layer in layers
        if isinstance(layer, keras.layers.Normalization) and _is_unadapted(layer)
    ]
    return tuple(warnings)


def _is_initial(layers: list[Any], steps: int | None) -> bool:
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    if not dense or steps:
        return False
    biases = [read_values(layer.bias) for layer in dense if layer.use_bias]
    if not biases and steps is None:
        return False
    moving = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    return (
        not any(bias.any() for bias in biases)
        and all(_is_within_initializer(read_values(layer.kernel)) for layer in dense)
        and not any(np.any(read_values(layer.moving_mean)) for layer in moving)
        and all(np.all(read_values(layer.moving_variance) == 1) for layer in moving)
    )


def _is_within_initializer(kernel: Any) -> bool:
    """Whether the weights can be those of Keras' default, Glorot's uniform distribution (or He's, which is wider)."""
    limit = math.sqrt(6 / kernel.shape[0])
    return bool(np.abs(kernel).max(initial=0) <= limit)


def _is_unadapted(layer: Any) -> bool:
    if layer.input_mean is not None:
        return False
    return not np.any(read_values(layer.mean)) and bool(np.all(read_values(layer.variance) == 1))
