"""Sums over all pairs of units: by tiles of the matrix of cosines, or by the Gram matrix of the smaller side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_initkit.symmetry.vectors import Directions

# The fewest units, and the side of the tiles for them. Measured on two cores: in wide layers 512 and 1024 are equally
# fast on a quiet machine; on a busy one 1024 wins, because the threads of BLAS wait for each other in every product. In
# narrow layers large tiles do too many pairs on the diagonal twice.
_TILES = ((4096, 1024), (1025, 512), (0, 256))
_BLOCK = 256  # units whose directions are summed in the type of the rows before float64 takes over


@dataclass
class PairSums:
    """Sums over the pairs i < j of units that are not zero.

    Attributes:
        absolute: Σ|cᵢⱼ|.
        square: Σcᵢⱼ².
        nearest: array of shape `(units,)`, the largest |cᵢⱼ| of each unit.
    """

    absolute: float
    square: float
    nearest: NDArray[np.float64]


def sums_over_pairs(units: Directions) -> PairSums:
    """Sum |c| and c² over all pairs and find the closest neighbour of each unit, in the memory of one tile."""
    rows, inverse = units.rows, units.inverse_lengths()
    count = len(rows)
    absolute = square = 0.0
    nearest = np.zeros(count, rows.dtype)
    side = min(next(side for units, side in _TILES if count >= units), count)
    memory, ones = np.empty(side * side, rows.dtype), np.ones(side, rows.dtype)
    for top in range(0, count, side):
        a = slice(top, min(top + side, count))
        for left in range(top, count, side):
            b = slice(left, min(left + side, count))
            shape = (a.stop - a.start, b.stop - b.start)
            tile = memory[: shape[0] * shape[1]].reshape(shape)
            np.matmul(rows[a], rows[b].T, out=tile)
            # Scaling the products while they are in the cache is cheaper than a normalised copy of the rows.
            tile *= inverse[b]
            tile *= inverse[a, None]
            np.abs(tile, out=tile)
            weight = 1.0
            if left == top:
                np.fill_diagonal(tile, 0.0)
                weight = 0.5  # the diagonal tile holds every pair twice
            else:
                np.maximum(nearest[b], tile.max(axis=0), out=nearest[b])
            np.maximum(nearest[a], tile.max(axis=1), out=nearest[a])
            absolute += weight * float((tile @ ones[: shape[1]]).sum(dtype=np.float64))
            square += weight * float(np.vecdot(tile, tile).sum(dtype=np.float64))
    return PairSums(absolute, square, np.minimum(nearest, 1.0).astype(np.float64))


def sum_of_cosines(units: Directions) -> float:
    """Return Σcᵢⱼ over the pairs of units that are not zero, from the length of the sum of all directions.

    Σ_{i<j} cᵢⱼ = (|Σu|² - Σ|u|²)/2, where Σ|u|² is the number of units that are not zero.
    """
    rows, inverse = units.rows, units.inverse_lengths()
    resultant = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _BLOCK):
        resultant += inverse[start : start + _BLOCK] @ rows[start : start + _BLOCK]
    return (float(resultant @ resultant) - float(np.count_nonzero(inverse))) / 2


def sum_of_squares(units: Directions) -> float:
    """Return Σcᵢⱼ² over the pairs of units that are not zero.

    With the directions as rows of U, ‖UUᵀ‖² = ‖UᵀU‖² (Frobenius), so many units with few inputs need the small matrix
    of the inputs alone. With fewer than twice as many units as inputs, Σc² may be what little the squares of the
    diagonal leave over; then the tiles are summed, where the diagonal is left out.
    """
    rows = units.rows
    count, inputs = rows.shape
    if count < 2 * inputs:
        return sums_over_pairs(units).square
    inverse = units.inverse_lengths()
    directions = rows * inverse[:, None]
    gram = directions.T @ directions
    total = float(np.vecdot(gram, gram).sum(dtype=np.float64))
    return max((total - float(np.count_nonzero(inverse))) / 2, 0.0)
