"""Which units are the same: equivalence classes of vectors, exact or up to rounding, in O(nd)."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit._checks import check_number, is_custom_float
from keras_initkit.symmetry.similar_rows import generic_direction, merge_near
from keras_initkit.symmetry.vectors import as_rows

_PROBES = 16  # entries looked at first
_PROBE_ROUNDING = 1e-13  # of projections of so many entries of at most 1, in float64


def equivalence_classes(
    vectors: ArrayLike,
    *,
    axis: int = -1,
    sign: bool = False,
    scale: bool = False,
    tolerance: float = 0.0,
) -> NDArray[np.intp]:
    """Group units whose vectors are equal, up to what an activation cannot see.

    Two vectors a and b are in one class if max|a - b| ≤ tolerance · max(max|a|, max|b|) after both were brought to a
    canonical form: with `sign`, a and -a are the same (odd activations); with `scale`, a and ta are the same for
    every t > 0 (ReLU). Zero vectors form a class of their own. Classes are closed transitively.

    Example:

    >>> equivalence_classes([[1.0, 1.0, -1.0], [2.0, 2.0, -2.0]]).tolist()
    [0, 0, 1]
    >>> equivalence_classes([[1.0, 1.0, -1.0], [2.0, 2.0, -2.0]], sign=True).tolist()
    [0, 0, 0]

    Args:
        vectors: float array with one axis of units; the other axes together are the inputs, so a kernel of shape
            `(inputs, units)` or `(height, width, channels, units)` can be given as it is.
        axis: the axis of the units. Defaults to the last.
        sign: whether opposite vectors are equal. Defaults to `False`.
        scale: whether positive multiples are equal. Defaults to `False`.
        tolerance: relative tolerance, at least 0. Defaults to 0, bit equality (-0.0 equals 0.0). With `scale` a
            tolerance of a few times the dtype's eps is needed, because division rounds.

    Returns:
        Integer labels of shape `(units,)`, numbered in the order of first appearance, so `labels.max() + 1` is the
        number of distinct units and `numpy.bincount(labels)` the class sizes.

    Raises:
        ValueError: if `vectors` has NaN or infinite values, or `tolerance` is negative.
    """
    check_number("tolerance", tolerance, minimum=0.0)
    return classes_of_rows(as_rows(vectors, axis), sign=sign, scale=scale, tolerance=tolerance)


def classes_of_rows(rows: NDArray[np.floating], *, sign: bool, scale: bool, tolerance: float) -> NDArray[np.intp]:
    """Return `equivalence_classes` of the rows of a finite array of float32 or float64."""
    label = np.arange(len(rows))
    crowded = _crowded(rows, sign=sign, scale=scale, tolerance=tolerance)
    if crowded.size == 0:
        return label
    among = rows if crowded.size == len(rows) else rows[crowded]
    if scale:
        among = _unit_max(among)
    if tolerance == 0:
        found = _exact_labels(_first_positive(among) if sign else among)
    else:
        among = _canonical_sign(among) if sign else among
        found = merge_near(among, _exact_labels(among), tolerance, sign)
    _, first = np.unique(found, return_index=True)
    label[crowded] = crowded[first[found]]
    return np.unique(label, return_inverse=True)[1]


def rounding_tolerance(dtype: np.dtype, factor: float = 4.0) -> float:
    """Return the relative tolerance under which two weights of this dtype differ by rounding only: `factor` · eps.

    Storing w and tw and dividing each by its largest entry are six roundings by eps/2 at most, so 3 eps would do.
    bfloat16 and other extension types are understood; integers have the tolerance of float64.
    """
    if dtype.kind not in "fV":
        dtype = np.dtype(np.float64)
    if is_custom_float(dtype):
        one = np.ones((), dtype)
        return factor * (float(np.nextafter(one, one + one)) - 1.0)
    return factor * float(np.finfo(dtype).eps)


def _crowded(rows: NDArray[np.floating], *, sign: bool, scale: bool, tolerance: float) -> NDArray[np.intp]:
    """Return the rows that may have an equal one, in order; in a layer of random weights that is hardly any.

    Rows that are equal, or near, are so in a few of their entries too, and then also on a projection of these.
    """
    units, inputs = rows.shape
    if inputs == 0:
        return np.arange(units)
    entries, direction = _probes(inputs)
    probe = rows[:, entries]
    size = _largest(rows) if scale or tolerance > 0 else np.zeros(units)
    if scale:
        probe = _over(probe, size)
        size = np.ones(1)
    probe = probe.astype(np.float64)
    unit = np.abs(probe).max(initial=0.0)
    if unit == 0:
        return np.arange(units)
    side = (probe / unit) @ direction
    if sign:
        side = np.abs(side)
    with np.errstate(over="ignore"):
        reach = (tolerance * size.max() / unit + _PROBE_ROUNDING) * np.abs(direction).sum()
    order = np.argsort(side)
    near = np.diff(side[order]) <= reach
    crowded = np.zeros(units, dtype=np.bool_)
    crowded[order[1:][near]] = True
    crowded[order[:-1][near]] = True
    return np.flatnonzero(crowded)


@lru_cache(maxsize=64)
def _probes(inputs: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which entries to look at first, spread over the inputs, and a generic direction to project them on."""
    entries = np.unique(np.linspace(0, inputs - 1, _PROBES).astype(np.intp))
    return entries, generic_direction(len(entries))


def _largest(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))


def _over(rows: NDArray[np.floating], size: NDArray[np.floating]) -> NDArray[np.floating]:
    """Divide each row by its size, but leave zero rows as they are."""
    return rows / np.where(size > 0, size, 1)[:, None]


def _unit_max(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    return _over(rows, _largest(rows))


def _canonical_sign(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    # The side of a fixed generic hyperplane; unlike the sign of one entry it does not flip between near-equal vectors.
    side = _unit_max(rows).astype(np.float64) @ generic_direction(rows.shape[1])
    undecided = (side == 0) & rows.any(axis=1)
    if undecided.any():
        first = np.argmax(rows[undecided] != 0, axis=1)
        side[undecided] = rows[undecided, first]
    return np.where(side[:, None] < 0, -rows, rows)


def _first_positive(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a or -a, the same for both to the last bit."""
    first = rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)] if rows.size else np.zeros(len(rows))
    return np.where(first[:, None] < 0, -rows, rows)


def _exact_labels(rows: NDArray[np.floating]) -> NDArray[np.intp]:
    labels = np.empty(len(rows), dtype=np.intp)
    left, found = np.arange(len(rows)), 0
    # Large classes first, each at the price of one comparison: a collapsed layer has few others.
    while left.size:
        same = (rows[left] == rows[left[0]]).all(axis=1) if found else (rows == rows[0]).all(axis=1)
        if found and 4 * np.count_nonzero(same) < left.size:
            break
        labels[left[same]] = found
        left, found = left[~same], found + 1
    if left.size:
        normalised = np.ascontiguousarray(rows[left] + 0.0)  # -0.0 + 0.0 is 0.0
        seen: dict[bytes, int] = {}
        labels[left] = [found + seen.setdefault(row.tobytes(), len(seen)) for row in normalised]
    return labels
