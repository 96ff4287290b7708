"""What is known of single features before any numbers: the units of a layer, the ways of features, their count."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_initkit.units.weights import Weights


class NotUnderstood(Exception):
    """An operation does something to its features that links cannot say."""


@dataclass(frozen=True, eq=False)
class UnitsAt:
    """The units of one call of a layer.

    Attributes:
        layer: the layer.
        spaces: numbers of the spaces whose features are the units, before the activation; more than one if a unit has
            gates.
        kind: what a unit is, `"unit"` or `"head"`.
        vectors: how the weights into the units are read as `(inputs, units)`, where that is not simply what the links
            into the spaces hold.
        comparable: whether the weights into different units belong to the same inputs.
        inputs: number of independent weights into a unit, where that is not the length of `vectors`.
        inside: whether the units are hidden inside the layer, so that they are so even in the last layer of a model.
        attribute: name of the attribute of the layer that holds the weights, where a layer of the user has them itself.
    """

    layer: Any
    spaces: tuple[int, ...]
    kind: str = "unit"
    vectors: Callable[[Weights], NDArray[Any]] | None = None
    comparable: bool = True
    inputs: int | None = None
    inside: bool = False
    attribute: str = ""


@dataclass(frozen=True, eq=False)
class Route:
    """What is known beforehand about a copy.

    Attributes:
        source: number of the space that is read.
        target: number of the space that is written.
        index: feature of the source for each feature of the target, -1 for none.
        activation: Keras name and callable of the activation on it, None if there is none.
        folded: whether `index` is the feature of the target for each feature of the source instead.
    """

    source: int
    target: int
    index: NDArray[np.intp]
    activation: tuple[str | None, Any] | None = None
    folded: bool = False


def feature_count(tensor: Any, axes: int = 1) -> int:
    """Return the number of features of a tensor.

    Raises:
        NotUnderstood: if it has none, or an unknown number.
    """
    sizes = tuple(tensor.shape)[-axes:]
    if len(tensor.shape) <= axes or any(size is None for size in sizes):
        raise NotUnderstood
    return int(np.prod(sizes))
