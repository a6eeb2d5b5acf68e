"""Keras' activations in double precision, with Keras' names, parameters and defaults (keras.io/api/layers/activations).

Each takes the weighted sums of a layer, [rows, units], and gives the outputs of the same shape; `glu` gives half of it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from math import erfc, pi, sqrt

import numpy as np

from service.arrays import Doubles

Activation = Callable[[Doubles], Doubles]

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, "Self-Normalizing Networks"
_erfc = np.vectorize(erfc, otypes=[np.float64])


def bind(name: str, parameters: Mapping[str, float]) -> Activation:
    """The activation of this name with these parameters; the others have their defaults.

    Raises:
        KeyError: no activation has this name.
        TypeError: it does not have these parameters.
    """
    function = ACTIVATIONS[name]
    signature(function).bind(None, **parameters)
    return partial(function, **parameters)


def _linear(x: Doubles) -> Doubles:
    return x


def _relu(x: Doubles, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Doubles:
    above = x if max_value is None else np.clip(x, 0, max_value)
    return np.where(x > threshold, above, negative_slope * np.minimum(x - threshold, 0))


def _relu6(x: Doubles) -> Doubles:
    return np.clip(x, 0, 6)


def _leaky_relu(x: Doubles, negative_slope: float = 0.2) -> Doubles:
    return np.where(x > 0, x, negative_slope * x)


def _elu(x: Doubles, alpha: float = 1.0) -> Doubles:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(x: Doubles, alpha: float = 1.0) -> Doubles:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _selu(x: Doubles) -> Doubles:
    return _SELU_SCALE * _elu(x, _SELU_ALPHA)


def _gelu(x: Doubles, approximate: float = 0) -> Doubles:
    doubled: Doubles = 1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)) if approximate else _erfc(-x / sqrt(2))
    return 0.5 * x * doubled


def _sigmoid(x: Doubles) -> Doubles:
    return 0.5 * (1 + np.tanh(0.5 * x))  # exp would overflow


def _silu(x: Doubles) -> Doubles:
    return x * _sigmoid(x)


def _log_sigmoid(x: Doubles) -> Doubles:
    return -_softplus(-x)


def _softplus(x: Doubles) -> Doubles:
    logarithms: Doubles = np.logaddexp(0, x)
    return logarithms


def _mish(x: Doubles) -> Doubles:
    return x * np.tanh(_softplus(x))


def _softsign(x: Doubles) -> Doubles:
    shrunk: Doubles = x / (np.abs(x) + 1)
    return shrunk


def _tanh(x: Doubles) -> Doubles:
    return np.tanh(x)


def _tanh_shrink(x: Doubles) -> Doubles:
    return x - np.tanh(x)


def _hard_tanh(x: Doubles) -> Doubles:
    return np.clip(x, -1, 1)


def _hard_sigmoid(x: Doubles) -> Doubles:
    return _relu6(x + 3) / 6


def _hard_silu(x: Doubles) -> Doubles:
    return x * _hard_sigmoid(x)


def _hard_shrink(x: Doubles, threshold: float = 0.5) -> Doubles:
    return np.where(np.abs(x) > threshold, x, 0)


def _soft_shrink(x: Doubles, threshold: float = 0.5) -> Doubles:
    return np.where(x > threshold, x - threshold, np.where(x < -threshold, x + threshold, 0))


def _threshold(x: Doubles, threshold: float, default_value: float) -> Doubles:
    return np.where(x > threshold, x, default_value)


def _exponential(x: Doubles) -> Doubles:
    with np.errstate(over="ignore"):  # infinite in single precision long before
        return np.exp(x)


def _squareplus(x: Doubles, b: float = 4) -> Doubles:
    root = np.hypot(x, sqrt(b))
    less = np.minimum(x, 0)
    falling = b / np.maximum(root - less, np.finfo(np.float64).tiny)  # no difference of nearly equal numbers
    return np.where(x > 0, x + root, falling) / 2


def _sparse_plus(x: Doubles) -> Doubles:
    return np.where(x < 1, (np.clip(x, -1, 1) + 1) ** 2 / 4, x)


def _sparse_sigmoid(x: Doubles) -> Doubles:
    return np.clip(0.5 * (x + 1), 0, 1)


def _softmax(x: Doubles) -> Doubles:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Doubles = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _log_softmax(x: Doubles) -> Doubles:
    shifted = x - x.max(axis=-1, keepdims=True)
    logarithms: Doubles = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logarithms


def _sparsemax(x: Doubles) -> Doubles:
    """As Keras computes it: it adds all partial sums of the support, where the paper takes the last one.

    The paper is Martins and Astudillo 2016, "From Softmax to Sparsemax", algorithm 1.
    """
    falling = -np.sort(-x, axis=-1)
    sums, counts = falling.cumsum(axis=-1), np.arange(1, x.shape[-1] + 1)
    support = falling - (sums - 1) / counts > 0
    total = np.where(support, sums, 0).sum(axis=-1, keepdims=True)
    excess = (total - 1) / support.sum(axis=-1, keepdims=True)
    shares: Doubles = np.maximum(x - excess, 0)
    return shares


def _glu(x: Doubles) -> Doubles:
    values, gates = np.split(x, 2, axis=-1)
    return values * _sigmoid(gates)


ACTIVATIONS: Mapping[str, Callable[..., Doubles]] = {
    "linear": _linear,
    "relu": _relu,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "tanh": _tanh,
    "celu": _celu,
    "elu": _elu,
    "exponential": _exponential,
    "gelu": _gelu,
    "glu": _glu,
    "hard_shrink": _hard_shrink,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_tanh": _hard_tanh,
    "leaky_relu": _leaky_relu,
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _log_softmax,
    "mish": _mish,
    "relu6": _relu6,
    "selu": _selu,
    "silu": _silu,
    "soft_shrink": _soft_shrink,
    "softplus": _softplus,
    "softsign": _softsign,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "sparsemax": _sparsemax,
    "squareplus": _squareplus,
    "swish": _silu,
    "tanh_shrink": _tanh_shrink,
    "threshold": _threshold,
}
