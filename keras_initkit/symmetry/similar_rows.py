"""Which rows of a matrix are near each other: pairs found by a projection and then compared entry by entry."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_FEW = 1 << 20  # so many differences fit the cache and are cheaper at once than row by row
_MANY = 8  # rows that are left to be compared in full


def merge_near(rows: NDArray[np.floating], labels: NDArray[np.intp], tolerance: float, sign: bool) -> NDArray[np.intp]:
    """Join the classes of rows that lie within the tolerance of each other, or of the opposite if `sign`.

    Args:
        rows: array of shape `(units, inputs)`; with `sign` near-opposite rows have one sign, except where rounding may
            decide which.
        labels: exact classes, numbered in the order of first appearance.
        tolerance: of the largest difference of two rows, relative to the largest entry of both.
        sign: whether a and -a are near.

    Returns:
        Labels of shape `(units,)`, numbered in the order of first appearance.
    """
    _, first = np.unique(labels, return_index=True)
    if len(first) == 1:
        return labels
    kept = rows[first].astype(np.float64)
    size = np.abs(kept).max(axis=1, initial=0.0)
    direction = generic_direction(kept.shape[1])
    # Near vectors have near projections, so only a window of the sorted projections has to be looked at.
    projection = kept @ direction
    order = np.argsort(projection, kind="stable")
    projection, size, kept = projection[order], size[order], kept[order]
    reach = tolerance * size.max(initial=0.0) * np.abs(direction).sum()
    ends = np.searchsorted(projection, projection + reach, side="right")
    window = ends - np.arange(1, len(ends) + 1)
    if not window.any():
        return labels
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
    largest = np.abs(rows).argmax(axis=1) if rows.shape[1] else np.zeros(len(rows), dtype=np.intp)
    group = np.arange(len(rows))
    for i in np.flatnonzero(ends > np.arange(1, len(ends) + 1)).tolist():
        others = i + 1 + np.flatnonzero(group[i + 1 : ends[i]] != group[i])
        # Where the window is wide, the entries in which unit i stands out rule out most others at little cost.
        others = _near_at(rows, largest[i : i + 1], i, others, size, tolerance)
        if others.size > _MANY:
            others = _near_at(rows, _largest_entries(rows[i]), i, others, size, tolerance)
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


def _near_at(
    rows: NDArray[np.float64],
    entries: NDArray[np.intp],
    unit: int,
    others: NDArray[np.intp],
    size: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.intp]:
    """Return those of the other rows that are near row `unit`, up to sign, in some of its entries."""
    for entry in entries:
        off = np.abs(np.abs(rows[others, entry]) - abs(rows[unit, entry]))
        others = others[off <= tolerance * np.maximum(size[others], size[unit])]
    return others


def _largest_entries(row: NDArray[np.float64], count: int = 4) -> NDArray[np.intp]:
    """Return the places of the few largest entries of a row."""
    return np.arange(len(row)) if len(row) <= count else np.argpartition(np.abs(row), -count)[-count:]


@lru_cache(maxsize=16)
def generic_direction(inputs: int) -> NDArray[np.float64]:
    """Return a fixed random vector: rows are near each other only if their products with it are."""
    return np.random.default_rng(20_011_031).standard_normal(inputs)
