"""Units as rows: one conversion, and the lengths of the rows, that every statistic shares."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit._checks import check_finite, describe, is_custom_float

# Between these lengths neither squares nor products of two rows leave the range of the type, whatever the entries.
_SAFE = {np.dtype(np.float32): (1e-12, 1e12), np.dtype(np.float64): (1e-100, 1e100)}
_CHUNK = 64  # so many squares are summed in the type of the rows, the sums of chunks in float64


@dataclass(frozen=True, eq=False)
class Directions:
    """Rows whose squares stay in range, and their lengths; row i divided by its length is the direction of unit i.

    Attributes:
        rows: array of shape `(units, inputs)`, float32 or float64; never to be written to, it may be the user's.
        lengths: float64 array of shape `(units,)`; 0 exactly for zero rows.
    """

    rows: NDArray[np.floating]
    lengths: NDArray[np.float64]

    @property
    def zero(self) -> NDArray[np.bool_]:
        """Which units are zero vectors, and so have no direction."""
        return self.lengths == 0

    def inverse_lengths(self) -> NDArray[np.floating]:
        """Return 1/length in the type of the rows, 0 for zero rows, which then have cosine 0 with all others."""
        inverse = np.divide(1.0, self.lengths, out=np.zeros_like(self.lengths), where=self.lengths > 0)
        return inverse.astype(self.rows.dtype)


def as_rows(vectors: ArrayLike, axis: int = -1) -> NDArray[Any]:
    """Return `vectors` as a finite `(units, inputs)` array of float32, or of float64 if it is wider than float32.

    Args:
        vectors: array of real numbers with at least one axis; half precision becomes float32, integers float64.
        axis: the axis of the units; all others are flattened into the inputs.

    Raises:
        ValueError: if the array has no such axis, or does not hold finite real numbers.
    """
    rows = as_unchecked_rows(vectors, axis)
    check_weights(vectors)
    return rows


def as_unchecked_rows(vectors: ArrayLike, axis: int = -1) -> NDArray[Any]:
    """Return what `as_rows` returns, without looking for NaN and infinite values."""
    array = np.asarray(vectors)
    custom = is_custom_float(array.dtype)
    if array.dtype.kind not in "fiub" and not custom:
        raise ValueError(f"Expected `vectors` to be an array of real numbers. Received: vectors={describe(array)}.")
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(
            f"Expected `axis` to be the axis of the units of an array with {array.ndim} axes. Received: axis={axis}."
        )
    narrow = custom or (array.dtype.kind == "f" and array.dtype.itemsize <= 4)
    array = array.astype(np.float32 if narrow else np.float64, copy=False)
    units_first = np.moveaxis(array, axis, 0)
    return units_first.reshape(units_first.shape[0], math.prod(units_first.shape[1:]))


def check_weights(vectors: ArrayLike) -> None:
    """Raise if there are NaN or infinite values among the weights, saying where."""
    check_finite("vectors", np.asarray(vectors), "The weights have diverged, or were never set.")


def directions(vectors: ArrayLike, rows: NDArray[np.floating]) -> Directions:
    """Return the directions of `rows`, which are `as_unchecked_rows(vectors, axis)`.

    One pass over the matrix finds the lengths, and NaN and infinite values too, because they make a length so.

    Raises:
        ValueError: if `vectors` has NaN or infinite values.
    """
    if not (rows.flags.c_contiguous or rows.flags.f_contiguous):
        rows = np.ascontiguousarray(rows)  # BLAS wants one of the two
    lengths = np.sqrt(_square_lengths(rows))
    shortest, longest = _SAFE[rows.dtype]
    odd = np.flatnonzero(~((lengths >= shortest) & (lengths <= longest)))
    if odd.size:
        check_weights(vectors)
        largest = np.abs(rows[odd]).max(axis=1, initial=0.0)
        lengths[odd[largest == 0]] = 0.0
        odd, largest = odd[largest > 0], largest[largest > 0]
    if odd.size:
        # A power of two changes lengths, which do not matter, and not the directions.
        rescaled = np.ldexp(rows[odd], -np.frexp(largest)[1][:, None])
        rows = rows.copy()
        rows[odd] = rescaled
        lengths[odd] = np.sqrt(_square_lengths(rescaled))
    return Directions(rows, lengths)


def _square_lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    squares = np.zeros(len(rows))
    if rows.flags.c_contiguous:
        chunk = 32 * _CHUNK  # BLAS sums a contiguous row in many parts at once
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for start in range(0, rows.shape[1], chunk):
                part = rows[:, start : start + chunk]
                squares += np.vecdot(part, part)
        return squares
    for start in range(0, rows.shape[1], _CHUNK):
        part = rows[:, start : start + _CHUNK].T
        squares += np.einsum("ij,ij->j", part, part)
    return squares
