"""Keras' activations in NumPy: against Keras, and where numbers are large."""

from typing import Any

import numpy as np
import pytest

from service.inference.activations import ACTIVATIONS, bind

VALUES = np.concatenate(([-80, -6, -3, -1, -0.5, 0, 0.25, 0.5, 1, 3, 6, 80], np.linspace(-8, 8, 84))).reshape(12, 8)
PARAMETERS: dict[str, list[dict[str, float]]] = {
    "celu": [{"alpha": 0.5}],
    "elu": [{"alpha": 0.3}],
    "gelu": [{"approximate": 1}, {"approximate": 0}],
    "hard_shrink": [{"threshold": 1.5}],
    "leaky_relu": [{"negative_slope": 0.3}, {"negative_slope": 1.5}],
    "relu": [
        {"negative_slope": 0.3},
        {"max_value": 6},
        {"max_value": 2.5},
        {"threshold": 1.5},
        {"negative_slope": 0.3, "max_value": 2.5},
        {"negative_slope": 0.3, "max_value": 2.5, "threshold": 1.5},
    ],
    "soft_shrink": [{"threshold": 1.5}],
    "squareplus": [{"b": 0.25}, {"b": 0}],
    "threshold": [{"threshold": 0.3, "default_value": -2}],
}
CASES: list[tuple[str, dict[str, float]]] = [(name, {}) for name in ACTIVATIONS if name != "threshold"] + [
    (name, parameters) for name, variants in PARAMETERS.items() for parameters in variants
]


@pytest.mark.tensorflow
@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_activations_agree_with_keras(name: str, parameters: dict[str, float]) -> None:
    """With Keras' own defaults, and with every parameter, in double and in single precision."""
    import keras

    function = keras.activations.get(name)
    given: dict[str, Any] = dict(parameters)
    if name == "gelu" and parameters:
        given["approximate"] = bool(parameters["approximate"])
    for dtype in ("float64", "float32"):
        expected = np.asarray(function(keras.ops.convert_to_tensor(VALUES.astype(dtype)), **given))
        np.testing.assert_allclose(bind(name, parameters)(VALUES), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.tensorflow
def test_every_activation_of_keras_is_known() -> None:
    """Also under its second name; a new release of Keras may bring more."""
    from keras.src.activations import ALL_OBJECTS_DICT

    assert set(ACTIVATIONS) == set(ALL_OBJECTS_DICT)


LIMITS: dict[str, list[float]] = {
    "celu": [-1, 0, 1e5],
    "elu": [-1, 0, 1e5],
    "gelu": [0, 0, 1e5],
    "hard_sigmoid": [0, 0.5, 1],
    "hard_swish": [0, 0, 1e5],
    "hard_tanh": [-1, 0, 1],
    "leaky_relu": [-2e4, 0, 1e5],
    "linear": [-1e5, 0, 1e5],
    "log_sigmoid": [-1e5, np.log(0.5), 0],
    "log_softmax": [-2e5, -1e5, 0],
    "mish": [0, 0, 1e5],
    "relu": [0, 0, 1e5],
    "selu": [-1.0507009873554805 * 1.6732632423543772, 0, 1.0507009873554805e5],
    "sigmoid": [0, 0.5, 1],
    "silu": [0, 0, 1e5],
    "softmax": [0, 0, 1],
    "softplus": [0, np.log(2), 1e5],
    "softsign": [-1e5 / 100_001, 0, 1e5 / 100_001],
    "sparsemax": [0, 0, 1],
    "squareplus": [1e-5, 1, 1e5],
    "tanh": [-1, 0, 1],
}


@pytest.mark.parametrize("name", LIMITS)
def test_large_sums_give_the_limits(name: str) -> None:
    """Without overflow and without a difference of nearly equal numbers."""
    sums = np.array([[-1e5, 0, 1e5]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        activated = bind(name, {})(sums)
    np.testing.assert_allclose(activated[0], LIMITS[name], rtol=1e-9, atol=1e-12)


def test_outputs_have_the_shape_of_the_sums() -> None:
    """Those of glu have half of the units."""
    for name, parameters in CASES:
        assert bind(name, parameters)(VALUES).shape == ((12, 4) if name == "glu" else (12, 8)), name


@pytest.mark.parametrize(
    ("name", "parameters", "error"),
    [
        ("tahn", {}, KeyError),
        ("relu", {"slope": 0.3}, TypeError),
        ("softmax", {"axis": -1}, TypeError),
        ("threshold", {}, TypeError),
        ("threshold", {"threshold": 1}, TypeError),
    ],
)
def test_unknown_names_and_parameters_are_errors(
    name: str, parameters: dict[str, float], error: type[Exception]
) -> None:
    """They are found before anything is computed."""
    with pytest.raises(error):
        bind(name, parameters)
