"""How alike the units of a layer are: exact statistics of all pairwise cosines, with the memory of one tile."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit.symmetry.activations import is_odd, is_positively_homogeneous
from keras_initkit.symmetry.classes import classes_of_rows, rounding_tolerance
from keras_initkit.symmetry.null import expected_mean_square, mean_square_z
from keras_initkit.symmetry.pair_sums import sum_of_cosines, sum_of_squares, sums_over_pairs
from keras_initkit.symmetry.vectors import Directions, as_rows, as_unchecked_rows, directions


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
    extra memory is one tile of at most 1024 x 1024 cosines, whatever the number of units.

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
    vectors = np.asarray(vectors)
    rows, units = _directions(vectors, axis)
    count, inputs = rows.shape
    scale = is_positively_homogeneous(activation)
    tolerance = rounding_tolerance(vectors.dtype) if scale else 0.0
    labels = classes_of_rows(rows, sign=is_odd(activation), scale=scale, tolerance=tolerance)
    distinct = int(labels.max()) + 1
    zero = units.zero
    zeros = int(np.count_nonzero(zero))
    if count == 1:
        nan = math.nan
        return Similarity(count, inputs, nan, nan, nan, nan, np.zeros(count), 1.0, distinct, zeros, nan)
    pairs, zero_pairs = _pairs(count), _pairs(zeros)
    sums = sums_over_pairs(units)
    nearest = np.where(zero, 1.0, sums.nearest) if zeros >= 2 else sums.nearest
    mean_square = min((sums.square + zero_pairs) / pairs, 1.0)
    # A zero unit must not make a layer look more random than the others do: its pairs with them count as chance.
    mixed = zeros * (count - zeros) / pairs * expected_mean_square(inputs) if 0 < zeros < count else 0.0
    return Similarity(
        units=count,
        inputs=inputs,
        mean=_mean(units),
        rms=math.sqrt(mean_square),
        mean_abs=min((sums.absolute + zero_pairs) / pairs, 1.0),
        max_abs=float(nearest.max()),
        nearest=nearest,
        participation=_participation(count, mean_square),
        distinct=distinct,
        zero_units=zeros,
        null_z=mean_square_z(mean_square + mixed, count, inputs),
    )


def mean_cosine(vectors: ArrayLike, *, axis: int = -1) -> float:
    """Return the mean cosine of all pairs of units alone, in one pass over the weights.

    (|Σuᵢ|² - n)/(n(n - 1)), where uᵢ = wᵢ/|wᵢ| is the direction of unit i of n: as `Similarity.mean`, at the cost of
    O(nd) operations for d inputs.

    Example:

    >>> mean_cosine([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
    0.3333333333333333

    Args:
        vectors: float array with the units on `axis`; the other axes together are the inputs.
        axis: the axis of the units. Defaults to the last.

    Returns:
        The mean, in [-1, 1]; NaN for one unit, which has no pairs.

    Raises:
        ValueError: if `vectors` is not a finite array of real numbers with at least one unit, or has no such `axis`.
    """
    _, units = _directions(vectors, axis)
    return _mean(units)


def rms_cosine(vectors: ArrayLike, *, axis: int = -1) -> float:
    """Return the root mean square cosine of all pairs of units alone.

    √(Σ_{i<j} cᵢⱼ²/(n(n - 1)/2)) for n units, as `Similarity.rms`. Where the inputs are fewer than half the units, d of
    them, it comes from the d x d matrix UᵀU of the directions U at the cost of O(nd²) operations; otherwise from all
    pairs.

    Example:

    >>> rms_cosine([[1.0, -3.0, 0.0], [0.0, 0.0, 2.0]])
    0.5773502691896257

    Args:
        vectors: float array with the units on `axis`; the other axes together are the inputs.
        axis: the axis of the units. Defaults to the last.

    Returns:
        The root mean square, in [0, 1]; NaN for one unit, which has no pairs.

    Raises:
        ValueError: if `vectors` is not a finite array of real numbers with at least one unit, or has no such `axis`.
    """
    _, units = _directions(vectors, axis)
    return math.sqrt(_mean_square(units))


def participation_ratio(vectors: ArrayLike, *, axis: int = -1) -> float:
    """Return how many directions the units use alone: n²/Σᵢⱼ cᵢⱼ² over all i and j, as `Similarity.participation`.

    Computed as in `rms_cosine`.

    Example:

    >>> participation_ratio([[1.0, -3.0, 0.0], [0.0, 0.0, 2.0]])
    1.8

    Args:
        vectors: float array with the units on `axis`; the other axes together are the inputs.
        axis: the axis of the units. Defaults to the last.

    Returns:
        The ratio, from 1 (one line) to the smaller of the numbers of units and inputs; 1.0 for one unit.

    Raises:
        ValueError: if `vectors` is not a finite array of real numbers with at least one unit, or has no such `axis`.
    """
    _, units = _directions(vectors, axis)
    return _participation(len(units.rows), _mean_square(units))


def cosine_matrix(vectors: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Return the cosines of all pairs of units as a matrix of shape `(units, units)`, for pictures of small layers.

    Zero units are treated as in `Similarity`: cosine 1 with each other and with themselves, 0 with all others.
    """
    units = directions(vectors, as_rows(vectors, axis).astype(np.float64))
    unit_rows = units.rows * units.inverse_lengths()[:, None]
    cosines = np.clip(unit_rows @ unit_rows.T, -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    zero = units.zero
    if zero.any():
        cosines[np.ix_(zero, zero)] = 1.0
    return cosines


def _directions(vectors: ArrayLike, axis: int) -> tuple[NDArray[np.floating], Directions]:
    """Return the rows as they are and their directions; refuse arrays without units."""
    rows = as_unchecked_rows(vectors, axis)
    if len(rows) == 0:
        raise ValueError("Expected `vectors` to hold at least one unit. Received: vectors with no units on `axis`.")
    return rows, directions(vectors, rows)


def _pairs(count: int) -> float:
    return count * (count - 1) / 2


def _mean(units: Directions) -> float:
    count = len(units.rows)
    if count < 2:
        return math.nan
    total = sum_of_cosines(units) + _pairs(int(np.count_nonzero(units.zero)))
    return min(max(total / _pairs(count), -1.0), 1.0)


def _mean_square(units: Directions) -> float:
    count = len(units.rows)
    if count < 2:
        return math.nan
    total = sum_of_squares(units) + _pairs(int(np.count_nonzero(units.zero)))
    return min(total / _pairs(count), 1.0)


def _participation(count: int, mean_square: float) -> float:
    return count**2 / (count + 2 * _pairs(count) * mean_square) if count > 1 else 1.0
