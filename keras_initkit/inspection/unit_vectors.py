"""The vectors of a layer's units as they are compared: blocks of weights on one scale, and who has company."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.classes import rounding_tolerance
from keras_initkit.units.reading import LayerUnits


def incoming(units: LayerUnits, columns: NDArray[np.intp] | None = None) -> NDArray[Any]:
    """Return weights, biases and scales of each unit, or of the units `columns`, as `(inputs, units)`."""
    return balanced(units.kernel, units.bias, units.scales, columns=columns)


def balanced(*blocks: NDArray[Any], columns: NDArray[np.intp] | None = None) -> NDArray[Any]:
    """Stack blocks of weights, or columns of them, each in units of its largest entry, so that none hides another."""
    largest = [max(float(block.max(initial=0.0)), -float(block.min(initial=0.0))) for block in blocks]
    chosen = blocks if columns is None else [block[:, columns] for block in blocks]
    return np.concatenate([block / (size or 1.0) for block, size in zip(chosen, largest, strict=True)])


def first_of_class(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each unit the index of the first one in its class."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]


def rounding(units: LayerUnits) -> float:
    """Return how far two weights may differ by rounding."""
    return rounding_tolerance(units.kernel.dtype)


def shared(labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which units have company in their class."""
    return np.bincount(labels)[labels] > 1
