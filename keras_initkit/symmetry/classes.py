"""Which units are the same: equivalence classes of vectors, exact or up to rounding, in O(nd)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit._checks import check_finite, check_number
from keras_initkit.symmetry.vectors import as_rows


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
    check_finite("vectors", rows, "Units with such values cannot be compared.")
    if rows.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        rows = rows.astype(np.float32)
    if scale:
        rows = _unit_max(rows)
    if sign:
        rows = _canonical_sign(rows)
    labels = _exact_labels(rows)
    return _merge_near(rows, labels, tolerance) if tolerance > 0 else labels


def rounding_tolerance(dtype: np.dtype, factor: float = 8.0) -> float:
    """Return the relative tolerance under which two weights of this dtype differ by rounding only: `factor` · eps."""
    return factor * float(np.finfo(dtype).eps)


def _unit_max(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    return np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)


def _canonical_sign(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    # The side of a fixed generic hyperplane; unlike the sign of one entry it does not flip between near-equal vectors.
    side = rows.astype(np.float64) @ _direction(rows.shape[1])
    undecided = side == 0
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


def _merge_near(rows: NDArray[np.floating], labels: NDArray[np.intp], tolerance: float) -> NDArray[np.intp]:
    _, first = np.unique(labels, return_index=True)
    kept = rows[first].astype(np.float64)
    size = np.abs(kept).max(axis=1, initial=0.0)
    direction = _direction(kept.shape[1])
    # Near vectors have near projections, so only a short window of the sorted projections has to be verified.
    projection = kept @ direction
    order = np.argsort(projection, kind="stable")
    projection, size, kept = projection[order], size[order], kept[order]
    reach = tolerance * size.max(initial=0.0) * np.abs(direction).sum()
    ends = np.searchsorted(projection, projection + reach, side="right")
    group = np.arange(len(kept))
    for i, end in enumerate(ends):
        others = np.arange(i + 1, end)
        others = others[group[others] != group[i]]
        if not others.size:
            continue
        bound = tolerance * np.maximum(size[others], size[i])
        near = others[np.abs(kept[others] - kept[i]).max(axis=1) <= bound]
        for j in near:
            if group[j] != group[i]:
                group[group == group[j]] = group[i]
    merged = np.empty_like(group)
    merged[order] = group
    _, first_seen, inverse = np.unique(merged[labels], return_index=True, return_inverse=True)
    rank = np.empty(len(first_seen), dtype=np.intp)
    rank[np.argsort(first_seen)] = np.arange(len(first_seen))
    return rank[inverse]
