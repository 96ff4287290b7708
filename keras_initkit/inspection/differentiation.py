"""The gradient of a number by variables of a model, on every backend that has gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.arrays import to_numpy


def differentiate(value: Callable[[], Any], variables: Sequence[Any]) -> tuple[float, list[NDArray[Any]]]:
    """Return a scalar and its derivative by each variable.

    Args:
        value: computes the scalar from the present values of the variables.
        variables: Keras variables of a float type.

    Returns:
        The scalar, and one array per variable in float32 or better, zeros where the scalar does not depend on it.

    Raises:
        ValueError: if the backend has no gradients.
    """
    backends = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    backend = keras.backend.backend()
    if backend not in backends:
        raise ValueError(f"Expected a backend that can differentiate: {sorted(backends)}. Received: {backend!r}.")
    loss, tensors = backends[backend](value, variables)
    arrays = [to_numpy(tensor) for tensor in tensors]
    wide = [array if array.dtype in (np.float32, np.float64) else array.astype(np.float32) for array in arrays]
    return float(to_numpy(loss)), wide


def _tensorflow(value: Callable[[], Any], variables: Sequence[Any]) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = value()
    found = tape.gradient(loss, list(variables))
    # The gradient of an embedding is sparse; a variable that plays no part has none.
    return loss, [
        tf.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient)
        for variable, gradient in zip(variables, found, strict=True)
    ]


def _jax(value: Callable[[], Any], variables: Sequence[Any]) -> tuple[Any, list[Any]]:
    import jax

    def stateless(values: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)), collect_losses=True):
            return value()

    loss, found = jax.value_and_grad(stateless)([variable.value for variable in variables])
    return loss, list(found)


def _torch(value: Callable[[], Any], variables: Sequence[Any]) -> tuple[Any, list[Any]]:
    import torch

    with torch.enable_grad():
        loss = value()
        parameters = [variable.value for variable in variables]
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return loss.detach(), list(found)
