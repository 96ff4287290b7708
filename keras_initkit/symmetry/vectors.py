"""Units as rows: one conversion that every statistic shares."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit._checks import check_finite, describe, is_custom_float


def as_rows(vectors: ArrayLike, axis: int = -1) -> NDArray[Any]:
    """Return `vectors` as a finite `(units, inputs)` array of float32, or of float64 if it is wider than float32.

    Args:
        vectors: array of real numbers with at least one axis; half precision becomes float32, integers float64.
        axis: the axis of the units; all others are flattened into the inputs.

    Raises:
        ValueError: if the array has no such axis, or does not hold finite real numbers.
    """
    array = np.asarray(vectors)
    custom = is_custom_float(array.dtype)
    if array.dtype.kind not in "fiub" and not custom:
        raise ValueError(f"Expected `vectors` to be an array of real numbers. Received: vectors={describe(array)}.")
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(
            f"Expected `axis` to be the axis of the units of an array with {array.ndim} axes. Received: axis={axis}."
        )
    check_finite("vectors", array, "The weights have diverged, or were never set.")
    narrow = custom or (array.dtype.kind == "f" and array.dtype.itemsize <= 4)
    array = array.astype(np.float32 if narrow else np.float64, copy=False)
    units_first = np.moveaxis(array, axis, 0)
    return units_first.reshape(units_first.shape[0], int(np.prod(units_first.shape[1:])))
