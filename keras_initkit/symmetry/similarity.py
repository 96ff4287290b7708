"""How alike the units of a layer are: exact statistics of all pairwise cosines, with the memory of one tile."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit.symmetry.activations import is_odd, is_positively_homogeneous
from keras_initkit.symmetry.classes import equivalence_classes, rounding_tolerance
from keras_initkit.symmetry.null import expected_mean_square, mean_square_z
from keras_initkit.symmetry.vectors import as_rows

_TILE = 512  # two tiles of 512 x 512 float32 fit a second-level cache


@dataclass(frozen=True, eq=False)
class Similarity:
    """Statistics of the cosines between all n(n - 1)/2 pairs of n units with d inputs.

    A zero vector has no direction: two zero units count as identical (cosine 1), a zero and a non-zero unit as having
    nothing in common (cosine 0), so a layer of zeros is maximally alike, never diverse.

    Attributes:
        units: number n of units.
        inputs: number d of inputs.
        mean: mean cosine, in [-1, 1]; 1 means one common direction. Blind to opposite units and clusters.
        rms: root mean square of the cosine, in [0, 1]; about 1/√d for random units.
        mean_abs: mean of |cosine|, in [0, 1]; about √(2/(πd)) for random units.
        max_abs: |cosine| of the closest pair, in [0, 1].
        nearest: array of shape `(units,)`: |cosine| of each unit to the one closest to it.
        participation: participation ratio n²/Σcᵢⱼ², the number of directions in use, in [1, n].
        distinct: number of units that are not equal to an earlier one, up to what the activation cannot see.
        zero_units: number of units whose weights are all zero.
        null_z: how far the mean squared cosine exceeds that of random units, as a standard normal score (see
            `keras_initkit.symmetry.null.mean_square_z`); pairs of a zero and a non-zero unit count as chance. NaN if
            n < 2 or d < 2.

    With fewer than two units there are no pairs: `mean`, `rms`, `mean_abs` and `max_abs` are then NaN.
    """

    units: int
    inputs: int
    mean: float
    rms: float
    mean_abs: float
    max_abs: float
    nearest: NDArray[np.float64]
    participation: float
    distinct: int
    zero_units: int
    null_z: float


def unit_similarity(vectors: ArrayLike, *, axis: int = -1, activation: str | None = None) -> Similarity:
    """Measure how alike the units of a layer are, from the weights into them.

    The cosine of units i and j is cᵢⱼ = ⟨wᵢ, wⱼ⟩/(|wᵢ||wⱼ|), where wᵢ is the vector of weights into unit i. All pairs
    are measured: products in float32 (float64 for float64 weights), sums over more than one row of a tile in float64;
    extra memory is one tile of 512 x 512 cosines besides the normalised copy of the weights.

    Example:

    >>> import numpy as np
    >>> unit_similarity(np.ones((3, 4))).distinct
    1
    >>> unit_similarity(np.eye(4)).participation
    4.0

    Args:
        vectors: float array of shape `(inputs, units)`, or a convolution kernel of shape `(height, width, channels,
            units)`, with the units on `axis`.
        axis: the axis of the units. Defaults to the last.
        activation: Keras name of the activation behind the units, e.g. `"tanh"`; `distinct` then counts units up to
            sign (odd activations) and positive scale (ReLU). Defaults to `None`: equal means equal.

    Returns:
        A `Similarity`.

    Raises:
        ValueError: if `vectors` is not a finite array of real numbers with at least one unit, or has no such `axis`.
    """
    rows = as_rows(vectors, axis)
    units, inputs = rows.shape
    if units == 0:
        raise ValueError("Expected `vectors` to hold at least one unit. Received: vectors with no units on `axis`.")
    unit_rows, zero = normalise_rows(rows)
    sums = _pair_sums(unit_rows)
    scale = is_positively_homogeneous(activation)
    labels = equivalence_classes(
        rows,
        axis=0,
        sign=is_odd(activation),
        scale=scale,
        tolerance=rounding_tolerance(np.asarray(vectors).dtype) if scale else 0.0,
    )
    return _similarity(unit_rows, zero, sums, inputs, int(labels.max()) + 1)


def cosine_matrix(vectors: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Return the cosines of all pairs of units as a matrix of shape `(units, units)`, for pictures of small layers.

    Zero units are treated as in `Similarity`: cosine 1 with each other and with themselves, 0 with all others.
    """
    unit_rows, zero = normalise_rows(as_rows(vectors, axis).astype(np.float64))
    cosines = np.clip(unit_rows @ unit_rows.T, -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    cosines[np.ix_(zero, zero)] = 1.0
    return cosines


def normalise_rows(rows: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return the rows divided by their lengths, and which rows are zero (they stay zero)."""
    # Dividing by the largest entry first keeps squares of tiny and huge weights within range.
    largest = np.abs(rows).max(axis=1, initial=0.0)
    zero = largest == 0
    scaled = rows / np.where(zero, 1, largest)[:, None]
    length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64))
    return (scaled / np.where(zero, 1, length)[:, None]).astype(rows.dtype, copy=False), zero


@dataclass
class _PairSums:
    absolute: float
    square: float
    nearest: NDArray[np.float64]


def _pair_sums(unit_rows: NDArray[np.floating]) -> _PairSums:
    """Sum |c| and c² over all pairs i < j, and find the closest neighbour of each unit, tile by tile."""
    units = len(unit_rows)
    absolute = square = 0.0
    nearest = np.zeros(units)
    for top in range(0, units, _TILE):
        rows = slice(top, min(top + _TILE, units))
        for left in range(top, units, _TILE):
            columns = slice(left, min(left + _TILE, units))
            tile = unit_rows[rows] @ unit_rows[columns].T
            np.abs(tile, out=tile)
            weight = 1.0
            if left == top:
                np.fill_diagonal(tile, 0.0)
                weight = 0.5  # the diagonal tile holds every pair twice
            absolute += weight * float(tile.sum(axis=1).sum(dtype=np.float64))
            square += weight * float(np.vecdot(tile, tile).sum(dtype=np.float64))
            np.maximum(nearest[rows], tile.max(axis=1, initial=0.0), out=nearest[rows])
            np.maximum(nearest[columns], tile.max(axis=0, initial=0.0), out=nearest[columns])
    return _PairSums(absolute, square, np.minimum(nearest, 1.0))


def _similarity(
    unit_rows: NDArray[np.floating], zero: NDArray[np.bool_], sums: _PairSums, inputs: int, distinct: int
) -> Similarity:
    units = len(unit_rows)
    zeros = int(zero.sum())
    zero_pairs = zeros * (zeros - 1) / 2
    pairs = units * (units - 1) / 2
    if pairs == 0:
        nan = math.nan
        return Similarity(units, inputs, nan, nan, nan, nan, np.zeros(units), 1.0, distinct, zeros, nan)
    # Σ_{i<j} cᵢⱼ = (|Σu|² - Σ|u|²)/2: one pass in float64 instead of a sum of cancelling terms.
    resultant = unit_rows.sum(axis=0, dtype=np.float64)
    lengths = float(np.einsum("ij,ij->", unit_rows, unit_rows, dtype=np.float64))
    signed = (float(resultant @ resultant) - lengths) / 2
    nearest = sums.nearest
    if zeros >= 2:
        nearest = np.where(zero, 1.0, nearest)
    mean_square = min((sums.square + zero_pairs) / pairs, 1.0)
    # A zero unit must not make a layer look more random than the others do: its pairs with them count as chance.
    mixed = zeros * (units - zeros) / pairs * expected_mean_square(inputs) if 0 < zeros < units else 0.0
    return Similarity(
        units=units,
        inputs=inputs,
        mean=float(np.clip((signed + zero_pairs) / pairs, -1.0, 1.0)),
        rms=math.sqrt(mean_square),
        mean_abs=min((sums.absolute + zero_pairs) / pairs, 1.0),
        max_abs=float(nearest.max()),
        nearest=nearest,
        participation=units**2 / (units + 2 * pairs * mean_square),
        distinct=distinct,
        zero_units=zeros,
        null_z=mean_square_z(mean_square + mixed, units, inputs),
    )
