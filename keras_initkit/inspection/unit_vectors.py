"""The vectors of a layer's units as they are compared: blocks of weights on one scale, and who has company."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.classes import rounding_tolerance
from keras_initkit.units.reading import LayerUnits


def incoming(units: LayerUnits) -> NDArray[Any]:
    """Return weights, biases and scales of each unit, `(inputs, units)`."""
    return balanced(units.kernel, units.bias, units.scales)


def balanced(*blocks: NDArray[Any]) -> NDArray[Any]:
    """Stack blocks of weights, each in units of its own largest entry, so that none hides another."""
    largest = [float(np.abs(block).max(initial=0.0)) for block in blocks]
    return np.concatenate([block / (size or 1.0) for block, size in zip(blocks, largest, strict=True)])


def rounding(units: LayerUnits) -> float:
    """Return how far two weights may differ by rounding."""
    return rounding_tolerance(units.kernel.dtype)


def shared(labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which units have company in their class."""
    return np.bincount(labels)[labels] > 1
