"""Which units are the same: equivalence classes of vectors, exact or up to rounding, in O(nd)."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from keras_initkit._checks import check_number, is_custom_float
from keras_initkit.symmetry.vectors import as_rows

_PROBES = 16  # entries looked at first
_PROBE_ROUNDING = 1e-13  # of projections of so many entries of at most 1, in float64
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
    return classes_of_rows(as_rows(vectors, axis), sign=sign, scale=scale, tolerance=tolerance)


def classes_of_rows(rows: NDArray[np.floating], *, sign: bool, scale: bool, tolerance: float) -> NDArray[np.intp]:
    """Return `equivalence_classes` of the rows of a finite array of float32 or float64."""
    label = np.arange(len(rows))
    crowded = _crowded(rows, sign=sign, scale=scale, tolerance=tolerance)
    if crowded.size == 0:
        return label
    among = rows[crowded]
    if scale:
        among = _unit_max(among)
    if tolerance == 0:
        found = _exact_labels(_first_positive(among) if sign else among)
    else:
        among = _canonical_sign(among) if sign else among
        found = _merge_near(among, _exact_labels(among), tolerance, sign)
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
    entries = np.unique(np.linspace(0, inputs - 1, _PROBES).astype(np.intp))
    probe = rows[:, entries]
    size = _largest(rows) if scale or tolerance > 0 else np.zeros(units)
    if scale:
        probe = _over(probe, size)
        size = np.ones(1)
    probe = probe.astype(np.float64)
    unit = np.abs(probe).max(initial=0.0)
    if unit == 0:
        return np.arange(units)
    direction = _direction(len(entries))
    side = (probe / unit) @ direction
    if sign:
        side = np.abs(side)
    with np.errstate(over="ignore"):
        reach = (tolerance * (size.max() / unit) + _PROBE_ROUNDING) * np.abs(direction).sum()
    order = np.argsort(side)
    near = np.diff(side[order]) <= reach
    crowded = np.zeros(units, dtype=np.bool_)
    crowded[order[1:][near]] = True
    crowded[order[:-1][near]] = True
    return np.flatnonzero(crowded)


def _largest(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))


def _over(rows: NDArray[np.floating], size: NDArray[np.floating]) -> NDArray[np.floating]:
    """Divide each row by its size, but leave zero rows as they are."""
    return rows / np.where(size > 0, size, 1)[:, None]


def _unit_max(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    return _over(rows, _largest(rows))


def _canonical_sign(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    # The side of a fixed generic hyperplane; unlike the sign of one entry it does not flip between near-equal vectors.
    side = _unit_max(rows).astype(np.float64) @ _direction(rows.shape[1])
    undecided = (side == 0) & rows.any(axis=1)
    if undecided.any():
        first = np.argmax(rows[undecided] != 0, axis=1)
        side[undecided] = rows[undecided, first]
    return np.where(side[:, None] < 0, -rows, rows)


def _first_positive(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a or -a, the same for both to the last bit."""
    first = rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)] if rows.size else np.zeros(len(rows))
    return np.where(first[:, None] < 0, -rows, rows)


@lru_cache(maxsize=16)
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
