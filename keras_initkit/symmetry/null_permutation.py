"""What chance gives the layer at hand: its own weights, shuffled over the units."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit._checks import check_integer
from keras_initkit.symmetry.pair_sums import sums_over_pairs
from keras_initkit.symmetry.vectors import as_rows, directions


@dataclass(frozen=True)
class PermutationNull:
    """How alike units are, compared with the same weights shuffled over the units.

    Attributes:
        shuffles: number N of shuffled layers.
        rms: root mean square cosine of the layer, in [0, 1].
        rms_z: standard deviations of the shuffled layers by which `rms` lies above their mean.
        rms_p: (1 + number of shuffled layers with at least this `rms`)/(1 + N): the probability that chance gives so
            large a value, from 1/(1 + N) to 1.
        max_abs: |cosine| of the closest pair of the layer, in [0, 1].
        max_abs_z: as `rms_z`, of `max_abs`.
        max_abs_p: as `rms_p`, of `max_abs`.

    All but `shuffles` are NaN with fewer than two units. The scores are 0 where shuffling changes nothing.
    """

    shuffles: int
    rms: float
    rms_z: float
    rms_p: float
    max_abs: float
    max_abs_z: float
    max_abs_p: float


def permutation_null(vectors: ArrayLike, *, axis: int = -1, shuffles: int = 99, seed: int = 0) -> PermutationNull:
    """Compare units with the same weights shuffled within each input over the units.

    Shuffling keeps the values that each input has, and so unequal variances of inputs, heavy tails and a common sign;
    it destroys what makes particular units alike. If the weights of each input are exchangeable between the units and
    those of different inputs independent, a p-value of at most α happens with probability at most α, whatever the
    distribution of the weights. It cannot see what is in the values of the inputs themselves: if all units are equal,
    shuffling changes nothing, and no alarm is given. `equivalence_classes` sees that.

    Example:

    >>> import numpy as np
    >>> weights = np.random.default_rng(0).uniform(0, 1, (30, 20))  # a large cosine for every pair
    >>> permutation_null(weights).max_abs_p > 0.05
    True
    >>> weights[:, 7] = weights[:, 12]
    >>> permutation_null(weights).max_abs_p
    0.01

    Args:
        vectors: float array with the units on `axis`; the other axes together are the inputs.
        axis: the axis of the units. Defaults to the last.
        shuffles: number of shuffled layers to compare with, at least 2; each costs as much as `unit_similarity`.
            Defaults to 99, which can reach p = 0.01.
        seed: of the shuffles, at least 0; equal seeds give equal results. Defaults to 0.

    Returns:
        A `PermutationNull`.

    Raises:
        ValueError: if `vectors` is not a finite array of real numbers, has no such `axis`, or the numbers are too
            small.

    Reference:
        - [Phipson and Smyth, 2010, Permutation P-values Should Never Be Zero](https://doi.org/10.2202/1544-6115.1585)
    """
    check_integer("shuffles", shuffles, minimum=2)
    check_integer("seed", seed, minimum=0)
    rows = np.ascontiguousarray(as_rows(vectors, axis))
    if len(rows) < 2:
        nan = math.nan
        return PermutationNull(shuffles, nan, nan, nan, nan, nan, nan)
    observed = _rms_and_closest(rows)
    rng = np.random.default_rng(seed)
    by_chance = np.array([_rms_and_closest(rng.permuted(rows, axis=0)) for _ in range(shuffles)])
    rms_z, max_abs_z = _scores(observed, by_chance)
    rms_p, max_abs_p = (1 + np.count_nonzero(by_chance >= observed, axis=0)) / (1 + shuffles)
    return PermutationNull(
        shuffles, float(observed[0]), rms_z, float(rms_p), float(observed[1]), max_abs_z, float(max_abs_p)
    )


def _rms_and_closest(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    units = directions(rows, rows)
    count, zeros = len(rows), int(np.count_nonzero(units.zero))
    sums = sums_over_pairs(units)
    mean_square = (sums.square + zeros * (zeros - 1) / 2) / (count * (count - 1) / 2)
    closest = 1.0 if zeros >= 2 else float(sums.nearest.max())
    # Cosines of parallel units differ in their last bits, which must not order them.
    return np.array([math.sqrt(min(mean_square, 1.0)), round(closest, 6 if rows.dtype == np.float32 else 13)])


def _scores(observed: NDArray[np.float64], by_chance: NDArray[np.float64]) -> list[float]:
    varies = np.ptp(by_chance, axis=0) > 0
    deviation = np.where(varies, by_chance.std(axis=0, ddof=1), 1.0)
    return np.where(varies, (observed - by_chance.mean(axis=0)) / deviation, 0.0).tolist()
