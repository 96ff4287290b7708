"""Which units are the same: equivalence classes of vectors, exact or up to rounding, in O(nd)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from keras_initkit._checks import check_number, is_custom_float
from keras_initkit.symmetry.vectors import as_rows

_FEW = 1 << 20  # so many differences fit the cache and are cheaper at once than row by row


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
    rows = as_rows(vectors, axis)
    if scale:
        rows = _unit_max(rows)
    if sign:
        rows = _canonical_sign(rows)
    labels = _exact_labels(rows)
    return _merge_near(rows, labels, tolerance, sign) if tolerance > 0 else labels


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


def _unit_max(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    return np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)


def _canonical_sign(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    # The side of a fixed generic hyperplane; unlike the sign of one entry it does not flip between near-equal vectors.
    side = _unit_max(rows).astype(np.float64) @ _direction(rows.shape[1])
    undecided = (side == 0) & rows.any(axis=1)
    if undecided.any():
        first = np.argmax(rows[undecided] != 0, axis=1)
        side[undecided] = rows[undecided, first]
    return np.where(side[:, None] < 0, -rows, rows)


def _direction(inputs: int) -> NDArray[np.float64]:
    return np.random.default_rng(20_011_031).standard_normal(inputs)


def _exact_labels(rows: NDArray[np.floating]) -> NDArray[np.intp]:
    normalised = np.ascontiguousarray(rows + 0.0)  # -0.0 + 0.0 is 0.0
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(row.tobytes(), len(seen)) for row in normalised], dtype=np.intp)


def _merge_near(rows: NDArray[np.floating], labels: NDArray[np.intp], tolerance: float, sign: bool) -> NDArray[np.intp]:
    _, first = np.unique(labels, return_index=True)
    kept = rows[first].astype(np.float64)
    size = np.abs(kept).max(axis=1, initial=0.0)
    direction = _direction(kept.shape[1])
    # Near vectors have near projections, so only a window of the sorted projections has to be looked at.
    projection = kept @ direction
    order = np.argsort(projection, kind="stable")
    projection, size, kept = projection[order], size[order], kept[order]
    reach = tolerance * size.max(initial=0.0) * np.abs(direction).sum()
    ends = np.searchsorted(projection, projection + reach, side="right")
    window = ends - np.arange(1, len(ends) + 1)
    find = _components_of_few if window.sum() * kept.shape[1] <= _FEW else _components_of_many
    group = find(kept, size, ends, tolerance, sign)
    merged = np.empty_like(group)
    merged[order] = group
    _, first_seen, inverse = np.unique(merged[labels], return_index=True, return_inverse=True)
    rank = np.empty(len(first_seen), dtype=np.intp)
    rank[np.argsort(first_seen)] = np.arange(len(first_seen))
    return rank[inverse]


def _components_of_few(
    rows: NDArray[np.float64], size: NDArray[np.float64], ends: NDArray[np.intp], tolerance: float, sign: bool
) -> NDArray[np.intp]:
    """Compare every row i with all rows up to `ends[i]` at once."""
    count = ends - np.arange(1, len(ends) + 1)
    one = np.repeat(np.arange(len(rows)), count)
    other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
    apart = np.abs(rows[one] - rows[other]).max(axis=1, initial=0.0)
    if sign:
        apart = np.minimum(apart, np.abs(rows[one] + rows[other]).max(axis=1, initial=0.0))
    near = apart <= tolerance * np.maximum(size[one], size[other])
    pairs = sparse.coo_array((near[near], (one[near], other[near])), shape=(len(rows), len(rows)))
    return sparse.csgraph.connected_components(pairs, directed=False)[1]


def _components_of_many(
    rows: NDArray[np.float64], size: NDArray[np.float64], ends: NDArray[np.intp], tolerance: float, sign: bool
) -> NDArray[np.intp]:
    """Compare row by row, leaving out what is in one component already."""
    columns = np.ascontiguousarray(np.abs(rows).T)
    largest = _largest_entries(rows)
    group = np.arange(len(rows))
    for i in np.flatnonzero(ends > np.arange(1, len(ends) + 1)):
        others = i + 1 + np.flatnonzero(group[i + 1 : ends[i]] != group[i])
        # Where the window is wide, the entries in which unit i stands out rule out most others at little cost.
        for entry in largest[i]:
            off = np.abs(columns[entry, others] - columns[entry, i])
            others = others[off <= tolerance * np.maximum(size[others], size[i])]
        if not others.size:
            continue
        bound = tolerance * np.maximum(size[others], size[i])
        apart = np.abs(rows[others] - rows[i]).max(axis=1)
        if sign:  # near the hyperplane of `_canonical_sign`, rounding decides which of a and -a stands for both
            apart = np.minimum(apart, np.abs(rows[others] + rows[i]).max(axis=1))
        for j in others[apart <= bound]:
            if group[j] != group[i]:
                group[group == group[j]] = group[i]
    return group


def _largest_entries(rows: NDArray[np.floating], count: int = 4) -> NDArray[np.intp]:
    """Return the places of the few largest entries of each row, as an array of shape `(units, at most count)`."""
    if rows.shape[1] <= count:
        return np.tile(np.arange(rows.shape[1]), (len(rows), 1))
    return np.argpartition(np.abs(rows), -count, axis=1)[:, -count:]
