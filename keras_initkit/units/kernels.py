"""Which axis of a kernel holds the units, layer type by layer type."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)


def has_units(layer: Any) -> bool:
    """Return whether the layer is of a type whose units are known: Dense or a (transposed) convolution."""
    return isinstance(layer, (keras.layers.Dense, *_CONVOLUTIONS, *_TRANSPOSED))


def unit_count(layer: Any) -> int:
    """Return the number of units of the layer: columns of a Dense kernel, filters of a convolution."""
    return int(layer.units if isinstance(layer, keras.layers.Dense) else layer.filters)


def incoming_matrix(layer: Any, kernel: NDArray[Any]) -> NDArray[Any]:
    """Return the weights into the units as a matrix of shape `(inputs, units)`.

    Kernels are `(inputs, units)` in Dense, `(*window, channels, units)` in convolutions and `(*window, units,
    channels)` in transposed ones. In a grouped convolution a unit sees the channels of its group only; the matrix then
    has a row for every channel, zero outside the group, since equal numbers on different inputs are not equal weights.
    """
    if isinstance(layer, _TRANSPOSED):
        kernel = np.moveaxis(kernel, -2, -1)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    groups = getattr(layer, "groups", 1)
    if groups == 1:
        return matrix
    rows, units = matrix.shape
    spread = np.zeros((groups, rows, units), dtype=matrix.dtype)
    per_group = units // groups
    for g in range(groups):
        columns = slice(g * per_group, (g + 1) * per_group)
        spread[g, :, columns] = matrix[:, columns]
    return spread.reshape(groups * rows, units)


def reads_features(layer: Any) -> bool:
    """Return whether each feature of the layer's input meets its own rows of the kernel, all units alike."""
    return has_units(layer) and getattr(layer, "groups", 1) == 1


def outgoing_rows(layer: Any, kernel: NDArray[Any]) -> NDArray[Any]:
    """Return what a consumer does with its input features, as a matrix of shape `(features, weights)`."""
    features_first = np.moveaxis(kernel, -1 if isinstance(layer, _TRANSPOSED) else -2, 0)
    return features_first.reshape(features_first.shape[0], -1)
