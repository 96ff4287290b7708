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
    """Return value and the smaller one-sided slope of an activation at each point; NaN if it mixes its inputs."""
    step, stride = 1e-3, 0.5
    points = np.stack([at - step, at, at + step, at - stride, at + stride])
    unknown = np.full((2, len(at)), np.nan)
    # A function of single numbers does not care what stands beside them.
    company = np.column_stack([points, np.ones(5)]), np.column_stack([points[2], np.full(len(at), 1.5)])
    try:
        together, alone = (np.asarray(keras.ops.convert_to_numpy(function(x)), dtype=np.float64) for x in company)
    except Exception:  # a user's activation may need another shape; then nothing is claimed about rest
        return unknown[0], unknown[1]
    if together.shape != company[0].shape or alone.shape != company[1].shape:
        return unknown[0], unknown[1]
    values = together[:, :-1]
    if not np.allclose(values[2], alone[:, 0], rtol=1e-4, atol=1e-7):
        return unknown[0], unknown[1]
    # At a kink the frameworks take the flat side: relu'(0) = 0.
    left, right = np.abs(np.diff(values[:3], axis=0)) / step
    # In float32 a saturated activation looks flat over a short step; a flat side is flat over a long one too.
    left = np.where(left == 0, np.abs(values[1] - values[3]) / stride, left)
    right = np.where(right == 0, np.abs(values[4] - values[1]) / stride, right)
    return values[1], np.minimum(left, right)
