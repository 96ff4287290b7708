"""The activation of a layer: which one it is, and what it does at a point."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def layer_activation(layer: Any) -> tuple[str | None, Any]:
    """Return the Keras name and the callable of a layer's activation; (None, None) if it has none.

    A name is given only where the function is Keras' own with its default parameters, or a ReLU layer without ceiling.
    """
    if isinstance(layer, keras.layers.ReLU):
        plain = layer.max_value is None and not layer.threshold
        name = ("leaky_relu" if layer.negative_slope else "relu") if plain else None
        return name, layer.call
    if isinstance(layer, keras.layers.LeakyReLU):
        return "leaky_relu", layer.call
    if isinstance(layer, keras.layers.ELU):
        return "elu", layer.call
    if isinstance(layer, keras.layers.Softmax):
        return None, layer.call
    function = getattr(layer, "activation", None)
    if function is None or function is keras.activations.linear:
        return None, None
    name = getattr(function, "__name__", None)
    known = name is not None and getattr(keras.activations, name, None) is function
    return (name if known else None), function


def value_and_slope(function: Any, at: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return value and absolute slope of an activation at each point; NaN if it mixes its inputs.

    The slope is the one that training uses: at a kink the backend decides which side it takes.
    """
    unknown = np.full((2, len(at)), np.nan)
    # A function of single numbers does not care what stands beside them.
    together = np.stack([np.append(at, 1.0), np.full(len(at) + 1, 2.0)])
    alone = np.column_stack([at, np.full(len(at), 1.5)])
    try:
        values, slopes = _differentiate(function, together)
        values_alone, slopes_alone = _differentiate(function, alone)
    except Exception:  # a user's activation may need another shape; then nothing is claimed about rest
        return unknown[0], unknown[1]
    if values.shape != together.shape or values_alone.shape != alone.shape:
        return unknown[0], unknown[1]
    value, slope = values[0, :-1], np.abs(slopes[0, :-1])
    if not np.allclose(value, values_alone[:, 0], rtol=1e-4, atol=1e-7):
        return unknown[0], unknown[1]
    # Near saturation a slope is a small difference of large numbers.
    if not np.allclose(slope, np.abs(slopes_alone[:, 0]), rtol=1e-4, atol=1e-5):
        return unknown[0], unknown[1]
    return value, slope


def treats_features_alike(function: Any, size: int) -> bool:
    """Return whether a function of the user does the same with every feature: exchanged features come out exchanged."""
    x = np.random.default_rng(0).uniform(-2, 2, (2, size)).astype(np.float32)
    order = np.roll(np.arange(size), 1)
    try:
        values, exchanged = (
            keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(z))) for z in (x, x[:, order])
        )
    except Exception:  # it may need another shape; then nothing is known about it
        return False
    return bool(values.shape == x.shape and np.allclose(values[:, order], exchanged, rtol=1e-4, atol=1e-6))


def zero_or_unknown(constants: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the response of a function of which only is known that it is 0 at 0."""
    return np.where(constants == 0, 0.0, np.nan), np.ones_like(constants)


def _differentiate(function: Any, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values of a function, and the derivative of their sum by each point, in float32 as layers compute."""
    x = keras.ops.convert_to_tensor(points, dtype="float32")
    differentiate = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}.get(keras.backend.backend(), _differences)
    values, slopes = (np.asarray(keras.ops.convert_to_numpy(part)) for part in differentiate(function, x))
    return values.astype(np.float64), slopes.astype(np.float64)


def _tensorflow(function: Any, x: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        values = function(x)
    return values, tape.gradient(values, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _jax(function: Any, x: Any) -> tuple[Any, Any]:
    import jax

    values, pull_back = jax.vjp(function, x)
    return values, pull_back(keras.ops.ones_like(values))[0]


def _torch(function: Any, x: Any) -> tuple[Any, Any]:
    import torch

    with torch.enable_grad():
        x = x.detach().requires_grad_()
        values = function(x)
        if not values.requires_grad:
            return values, torch.zeros_like(x)
        [slopes] = torch.autograd.grad(values.sum(), [x], materialize_grads=True)
    return values.detach(), slopes


def _differences(function: Any, x: Any) -> tuple[Any, Any]:
    """Take the flatter side, over a short step and a long one: in float32 a saturated activation looks flat."""
    values = function(x)
    sides = []
    for sign in (-1.0, 1.0):
        short, long = (keras.ops.abs(function(x + sign * step) - values) / step for step in (1e-3, 0.5))
        sides.append(keras.ops.where(short == 0, long, short))
    return values, keras.ops.minimum(*sides)
