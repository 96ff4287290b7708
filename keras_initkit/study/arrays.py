"""Arrays that a user gave: converted once, checked, or refused with what to do."""

from typing import Any

import keras
import numpy as np

from keras_initkit._checks import check_finite, describe


def checked_arrays(name: str, data: Any) -> Any:
    """Return a nest of arrays as NumPy arrays, without a copy where they are some already; None stays None.

    Args:
        name: how the data are called in errors.
        data: an array, or a nested dict, list or tuple of arrays, with the samples on axis 0.

    Raises:
        ValueError: for what is no array of numbers or text, or holds NaN or infinite values.
    """

    def convert(part: Any) -> Any:
        array = np.asarray(part)
        if array.dtype == object or array.ndim == 0:
            raise ValueError(
                f"Expected `{name}` to be an array, or a dict or list of arrays, with the samples on the first axis. "
                f"Received: {name}={describe(part)}."
            )
        check_finite(name, array, "Remove these samples, or fill the gaps before the study.")
        return array

    return None if data is None else keras.tree.map_structure(convert, data)


def same_length(**data: Any) -> int:
    """Return the number of samples, which must be the same in all nests of arrays that are not None.

    Raises:
        ValueError: for lengths that differ, or no samples at all.
    """
    lengths = {
        name: sorted({len(a) for a in keras.tree.flatten(part)}) for name, part in data.items() if part is not None
    }
    found = sorted({length for each in lengths.values() for length in each})
    if len(found) != 1 or found[0] == 0:
        raise ValueError(f"Expected the same number of samples, at least one, everywhere. Received: lengths {lengths}.")
    return found[0]


def packed(x: Any, y: Any = None, sample_weight: Any = None) -> tuple[Any, ...]:
    """Return `(x,)`, `(x, y)` or `(x, y, sample_weight)`: what is not None."""
    return tuple(part for part in (x, y, sample_weight) if part is not None)


def taken(data: Any, chosen: Any) -> Any:
    """Return the chosen samples of a nest of arrays: views for a slice, copies for indices; None stays None."""
    return None if data is None else keras.tree.map_structure(lambda array: array[chosen], data)


def no_batches(source: Any) -> ValueError:
    """Return the error for data that give no batches at all."""
    return ValueError(f"Expected at least one batch. Received: none from {describe(source)}.")
