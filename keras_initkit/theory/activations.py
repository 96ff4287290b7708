"""NumPy definitions of elementwise activations, with Keras' default parameters."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Activation = Callable[[Array], Array]

_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805


def relu(z: Array) -> Array:
    """Return max(z, 0)."""
    return np.maximum(z, 0.0)


def leaky_relu(z: Array) -> Array:
    """Return z above 0 and 0.2 z below: the slope of the function, the layer `LeakyReLU` has 0.3."""
    return np.where(z > 0, z, 0.2 * z)


def relu6(z: Array) -> Array:
    """Return z clipped to [0, 6]."""
    return np.clip(z, 0.0, 6.0)


def elu(z: Array) -> Array:
    """Return z above 0 and exp(z) - 1 below."""
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0.0)))


def selu(z: Array) -> Array:
    """Return the scaled elu whose outputs keep mean 0 and variance 1 for standard normal z."""
    return _SELU_SCALE * np.where(z > 0, z, _SELU_ALPHA * np.expm1(np.minimum(z, 0.0)))


def gelu(z: Array) -> Array:
    """Return z Φ(z) with Φ the standard normal distribution function (not the tanh approximation)."""
    return np.asarray(z * special.ndtr(z))


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z))."""
    return np.asarray(special.expit(z))


def silu(z: Array) -> Array:
    """Return z sigmoid(z)."""
    return z * sigmoid(z)


def softplus(z: Array) -> Array:
    """Return log(1 + exp(z))."""
    return np.logaddexp(0.0, z)


def mish(z: Array) -> Array:
    """Return z tanh(softplus(z))."""
    return z * np.tanh(softplus(z))


def softsign(z: Array) -> Array:
    """Return z / (1 + |z|)."""
    return z / (1.0 + np.abs(z))


def hard_sigmoid(z: Array) -> Array:
    """Return relu6(z + 3) / 6."""
    return relu6(z + 3.0) / 6.0


def hard_silu(z: Array) -> Array:
    """Return z hard_sigmoid(z)."""
    return z * hard_sigmoid(z)


def hard_tanh(z: Array) -> Array:
    """Return z clipped to [-1, 1]."""
    return np.clip(z, -1.0, 1.0)


def log_sigmoid(z: Array) -> Array:
    """Return log(sigmoid(z))."""
    return -softplus(-z)


def hard_shrink(z: Array) -> Array:
    """Return z where |z| is above 0.5, else 0."""
    return np.where(np.abs(z) > 0.5, z, 0.0)


def soft_shrink(z: Array) -> Array:
    """Return z moved by 0.5 towards 0, and 0 where |z| is at most 0.5."""
    return np.sign(z) * np.maximum(np.abs(z) - 0.5, 0.0)


def tanh_shrink(z: Array) -> Array:
    """Return z - tanh(z)."""
    return z - np.tanh(z)


def squareplus(z: Array) -> Array:
    """Return (z + sqrt(z² + 4)) / 2."""
    return 0.5 * (z + np.sqrt(z * z + 4.0))


def sparse_plus(z: Array) -> Array:
    """Return 0 below -1, (z + 1)² / 4 up to 1, and z above."""
    return np.where(z >= 1.0, z, 0.25 * np.square(np.maximum(z, -1.0) + 1.0))


def sparse_sigmoid(z: Array) -> Array:
    """Return (z + 1) / 2 clipped to [0, 1]."""
    return np.clip(0.5 * (z + 1.0), 0.0, 1.0)


def linear(z: Array) -> Array:
    """Return z."""
    return z


def erf(z: Array) -> Array:
    """Return the error function of z."""
    return np.asarray(special.erf(z))


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "linear": linear,
        "relu": relu,
        "leaky_relu": leaky_relu,
        "relu6": relu6,
        "elu": elu,
        "celu": elu,
        "selu": selu,
        "gelu": gelu,
        "silu": silu,
        "swish": silu,
        "mish": mish,
        "tanh": np.tanh,
        "sigmoid": sigmoid,
        "softplus": softplus,
        "softsign": softsign,
        "exponential": np.exp,
        "hard_sigmoid": hard_sigmoid,
        "hard_silu": hard_silu,
        "hard_swish": hard_silu,
        "hard_tanh": hard_tanh,
        "hard_shrink": hard_shrink,
        "soft_shrink": soft_shrink,
        "tanh_shrink": tanh_shrink,
        "log_sigmoid": log_sigmoid,
        "squareplus": squareplus,
        "sparse_plus": sparse_plus,
        "sparse_sigmoid": sparse_sigmoid,
        "sin": np.sin,
        "erf": erf,
    }
)
"""Name -> function. `celu` is Keras' default (alpha 1), which is elu; softmax is not elementwise and has no gain."""
