"""How alike the units of a layer are in many networks of one shape at once."""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.null import mean_square_z
from keras_initkit.symmetry.similarity import unit_similarity

# Wider layers are measured one by one: there the products take all the time, and tiles of half the matrix less of it.
_WIDEST = 256
_CACHED = 1 << 18  # so many cosines are worked on at once
# Between these squares of lengths neither squares nor products of two units leave the range of the type.
_PLAIN = {np.dtype(np.float32): (1e-20, 1e20), np.dtype(np.float64): (1e-180, 1e180)}


@dataclass(frozen=True, eq=False)
class StackedSimilarity:
    """`Similarity` of R stacked layers of n units, where no unit is zero.

    Attributes:
        plain: `(R,)`, whether all units of a layer have a direction, in a range where squares are exact enough. The
            other numbers say nothing where it is False.
        mean: `(R,)`, mean cosine.
        rms: `(R,)`, root mean square cosine.
        mean_abs: `(R,)`, mean of |cosine|.
        max_abs: `(R,)`, |cosine| of the closest pair.
        participation: `(R,)`, participation ratio.
        null_z: `(R,)`, score of the mean squared cosine above chance.
        nearest: `(R, units)`, |cosine| of each unit to the one closest to it.
        shortest: `(R,)`, square of the length of the shortest unit, in units of the largest entry of the layer.
    """

    plain: NDArray[np.bool_]
    mean: NDArray[np.float64]
    rms: NDArray[np.float64]
    mean_abs: NDArray[np.float64]
    max_abs: NDArray[np.float64]
    participation: NDArray[np.float64]
    null_z: NDArray[np.float64]
    nearest: NDArray[np.float64]
    shortest: NDArray[np.float64]

    def of(self, layers: NDArray[np.bool_]) -> "StackedSimilarity":
        """Return the numbers of some of the layers."""
        return StackedSimilarity(*[getattr(self, field.name)[layers] for field in fields(self)])


def stacked_similarity(kernels: NDArray[np.floating], inputs: int | None = None) -> StackedSimilarity:
    """Measure how alike the units are, for every layer of a stack.

    The numbers are those of `unit_similarity`, up to the rounding of sums in another order. Products of several layers
    of up to 256 units are made at once, in the memory of 2¹⁸ cosines.

    Example:

    >>> stacked_similarity(np.stack([np.eye(4), np.eye(4) + 1.0])).participation.round(3).tolist()
    [4.0, 1.434]

    Args:
        kernels: finite float32 or float64 array `(R, inputs, units)`.
        inputs: number of independent weights into a unit. Defaults to `None`: the number of rows.

    Returns:
        A `StackedSimilarity`. Statistics of pairs are NaN where there is one unit.
    """
    count, rows, units = kernels.shape
    inputs = rows if inputs is None else inputs
    if units == 1:
        return _alone(kernels)
    step = max(1, _CACHED // units**2)
    measure = _one_by_one if units > _WIDEST else _together
    parts = [measure(kernels[start : start + step], inputs) for start in range(0, count, step)]
    return parts[0] if len(parts) == 1 else _joined(parts, units)


def _together(kernels: NDArray[np.floating], inputs: int) -> StackedSimilarity:
    count, _, units = kernels.shape
    pairs = units * (units - 1) / 2
    with np.errstate(all="ignore"):  # what comes of it is not plain
        cosines = np.matmul(kernels.swapaxes(1, 2), kernels)
        # The squares of the lengths stand in the diagonal.
        diagonal = cosines.reshape(count, -1)[:, :: units + 1]
        squares = diagonal.astype(np.float64)
        plain = _is_plain(squares, kernels.dtype)
        inverse = (1 / np.sqrt(np.where(squares > 0, squares, 1.0))).astype(kernels.dtype)
        cosines *= inverse[:, None, :]
        cosines *= inverse[:, :, None]
        diagonal[:] = 0
        ones = np.ones(units, kernels.dtype)
        total = (cosines @ ones).sum(axis=1, dtype=np.float64) / 2
        np.abs(cosines, out=cosines)
        absolute = (cosines @ ones).sum(axis=1, dtype=np.float64) / 2
        nearest = np.minimum(cosines.max(axis=1), 1.0).astype(np.float64)  # the matrix is symmetric
        square = np.vecdot(cosines, cosines).sum(axis=1, dtype=np.float64) / 2
        largest = np.maximum(kernels.max(axis=(1, 2)), -kernels.min(axis=(1, 2))).astype(np.float64)
        shortest = squares.min(axis=1) / np.where(largest > 0, largest, 1.0) ** 2
        mean_square = np.minimum(square / pairs, 1.0)
        return StackedSimilarity(
            plain=plain,
            mean=np.clip(total / pairs, -1.0, 1.0),
            rms=np.sqrt(mean_square),
            mean_abs=np.minimum(absolute / pairs, 1.0),
            max_abs=nearest.max(axis=1),
            participation=units**2 / (units + 2 * pairs * mean_square),
            null_z=np.array([mean_square_z(value, units, inputs) for value in mean_square.tolist()]),
            nearest=nearest,
            shortest=shortest,
        )


def _one_by_one(kernels: NDArray[np.floating], inputs: int) -> StackedSimilarity:
    parts = []
    for kernel in kernels:
        found = unit_similarity(kernel)
        squares = np.einsum("ij,ij->j", kernel, kernel).astype(np.float64)
        largest = max(float(kernel.max()), -float(kernel.min()))
        numbers = {
            "plain": _is_plain(squares, kernel.dtype),
            "shortest": squares.min() / (largest or 1.0) ** 2,
            "null_z": mean_square_z(found.rms**2, found.units, inputs),
        }
        for name in ("mean", "rms", "mean_abs", "max_abs", "participation", "nearest"):
            numbers[name] = getattr(found, name)
        parts.append(StackedSimilarity(**{name: np.asarray(value)[None] for name, value in numbers.items()}))
    return _joined(parts, kernels.shape[2])


def _alone(kernels: NDArray[np.floating]) -> StackedSimilarity:
    count = len(kernels)
    squares = np.einsum("rij,rij->rj", kernels, kernels, dtype=np.float64)
    none = np.full(count, math.nan)
    one = np.ones(count)
    plain = _is_plain(squares, kernels.dtype)
    return StackedSimilarity(plain, none, none, none, none, one, none, np.zeros((count, 1)), one)


def _is_plain(squares: NDArray[np.float64], dtype: np.dtype) -> NDArray[np.bool_]:
    least, most = _PLAIN[dtype]
    return np.asarray(((squares >= least) & (squares <= most)).all(axis=-1))


def _joined(parts: list[StackedSimilarity], units: int) -> StackedSimilarity:
    if not parts:
        empty = np.zeros(0)
        return StackedSimilarity(*[empty.astype(bool), *[empty] * 6, np.zeros((0, units)), empty])
    names = [field.name for field in fields(StackedSimilarity)]
    return StackedSimilarity(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
