"""Which activation function a Keras layer applies, by Keras' name and with the parameters that are not its defaults."""

import inspect
from typing import Any, NamedTuple

from models.tensorflow_setup import keras


class Activation(NamedTuple):
    """Keras' name of an activation function, and its parameters that differ from the defaults."""

    name: str
    parameters: dict[str, float]

    def __call__(self, values: Any) -> Any:
        """Compute it with Keras."""
        return keras.activations.get(self.name)(values, **self.parameters)


LINEAR = Activation("linear", {})


def name_function(function: Any) -> Activation | None:
    """Keras' name of an activation function; None for one that is not Keras' own."""
    name = getattr(function, "__name__", "")
    try:
        return Activation(name, {}) if keras.activations.get(name) is function else None
    except ValueError:
        return None


def describe_layer(layer: Any) -> Activation | None:
    """The activation that a layer applies to each number of its input; None for a layer that does anything else."""
    layers = keras.layers
    if isinstance(layer, layers.Activation):
        return name_function(layer.activation)
    if isinstance(layer, layers.ReLU):
        values = {"negative_slope": layer.negative_slope, "max_value": layer.max_value, "threshold": layer.threshold}
        return _activation("relu", values)
    if isinstance(layer, layers.LeakyReLU):
        return _activation("leaky_relu", {"negative_slope": layer.negative_slope})
    if isinstance(layer, layers.ELU):
        return _activation("elu", {"alpha": layer.alpha})
    if isinstance(layer, layers.Softmax) and layer.axis in (-1, 1):
        return Activation("softmax", {})
    return None


def _activation(name: str, values: dict[str, Any]) -> Activation:
    defaults = inspect.signature(keras.activations.get(name)).parameters
    given = {key: float(value) for key, value in values.items() if value is not None}
    return Activation(name, {key: value for key, value in given.items() if value != defaults[key].default})
