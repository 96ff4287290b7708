"""Units as rows: one conversion that every statistic shares."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit._checks import describe


def as_rows(vectors: ArrayLike, axis: int = -1) -> NDArray[Any]:
    """Return `vectors` as a `(units, inputs)` float array.

    Args:
        vectors: float array with at least one axis; integers are converted, half precision is kept.
        axis: the axis of the units; all others are flattened into the inputs.

    Raises:
        ValueError: if the array has no axes, has no such axis, or does not hold real numbers.
    """
    array = np.asarray(vectors)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind not in "fV" or array.dtype.names:  # bfloat16 from ml_dtypes has kind "V"
        raise ValueError(f"Expected `vectors` to be an array of real numbers. Received: vectors={describe(array)}.")
    if array.dtype.kind == "V":
        array = array.astype(np.float32)
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(
            f"Expected `axis` to be the axis of the units of an array with {array.ndim} axes. Received: axis={axis}."
        )
    units_first = np.moveaxis(array, axis, 0)
    return units_first.reshape(units_first.shape[0], int(np.prod(units_first.shape[1:])))
