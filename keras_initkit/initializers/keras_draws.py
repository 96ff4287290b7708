"""Keras' own random initializers with numbers that do not depend on the backend."""

import math
from typing import Any

import keras
import numpy as np
from keras import initializers, ops

from keras_initkit._checks import describe
from keras_initkit.initializers.drawing import PortableDraws, PortableSeed, unit_draws
from keras_initkit.initializers.haar import haar
from keras_initkit.theory.fans import fans

_DETERMINISTIC = tuple(
    getattr(initializers, name).__call__ for name in ("Zeros", "Ones", "Constant", "Identity", "STFT")
)


def portable_values(initializer: Any, shape: tuple[int, ...], dtype: str, seed: PortableSeed) -> Any:
    """Return values distributed as those of an initializer of Keras.

    Args:
        initializer: an initializer that is not the kit's.
        shape: sizes of the axes.
        dtype: float32 or float64.
        seed: the seed; the initializer's own is not used.

    Raises:
        ValueError: if it is not known how the initializer draws.
    """
    method = type(initializer).__call__
    if method in _DETERMINISTIC or (method is initializers.Orthogonal.__call__ and len(shape) < 2):
        return initializer(shape, dtype=dtype)
    values = _drawn(initializer, shape, PortableDraws(seed))
    return ops.cast(values.astype("float32") if dtype == "float32" else values, dtype)


def _drawn(initializer: Any, shape: tuple[int, ...], draws: PortableDraws) -> Any:
    method = type(initializer).__call__
    if method is initializers.RandomNormal.__call__:
        return initializer.mean + initializer.stddev * draws.normal(shape)
    if method is initializers.TruncatedNormal.__call__:
        return initializer.mean + initializer.stddev * draws.truncated_normal(shape)
    if method is initializers.RandomUniform.__call__:
        return draws.uniform(shape, initializer.minval, initializer.maxval)
    if method is initializers.VarianceScaling.__call__:
        return _variance_scaled(initializer, shape, draws)
    if method is initializers.Orthogonal.__call__:
        return initializer.gain * np.reshape(haar(1, math.prod(shape[:-1]), shape[-1], draws), shape)
    raise ValueError(
        "Expected an initializer of the kit or of Keras, whose draws are known. "
        f"Received: {describe(initializer)}, which may draw from a backend's own generator."
    )


def _variance_scaled(initializer: Any, shape: tuple[int, ...], draws: PortableDraws) -> Any:
    std = math.sqrt(keras_variance(initializer, *keras_fans(initializer, shape)))
    return std * unit_draws(draws, initializer.distribution, shape)


def keras_variance(initializer: keras.initializers.VarianceScaling, fan_in: float, fan_out: float) -> float:
    """Return the variance that a `VarianceScaling` of Keras gives to weights with these fans."""
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[initializer.mode]
    variance: float = initializer.scale / max(1.0, fan)
    return variance


def keras_fans(initializer: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the fans as Keras counts them: the axes it is given may overlap."""
    inputs, outputs = getattr(initializer, "input_axes", None), getattr(initializer, "output_axes", None)
    if inputs is None or outputs is None:
        return fans(shape)
    return math.prod(shape[axis] for axis in inputs), math.prod(shape[axis] for axis in outputs)
