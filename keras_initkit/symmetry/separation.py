"""Whether units that started as copies come apart, and how fast: the gap within their classes and its growth."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_initkit._checks import check_number
from keras_initkit.symmetry.vectors import as_rows

# Near this gap units differ by as much as they are large, and growth is no longer exponential.
SATURATED = 0.1


def class_gap(
    vectors: ArrayLike, labels: ArrayLike, *, axis: int = -1, signs: NDArray[np.floating] | None = None
) -> float:
    """Return how far apart the units of one class are, relative to their size, in the class where it is most.

    With θᵢ the weights of unit i, maxima over entries, and C a class of at least two units:

        gap = max over C of (max over i, j in C of max|sᵢθᵢ - sⱼθⱼ|) / (max over i in C of max|θᵢ|)

    0 means bit-equal, a few times 1e-7 equal up to rounding in float32, 1 as different as the units are large; 2 is the
    most there is. It takes O(nd).

    Example:

    >>> class_gap([[1.0, 1.5, 7.0], [2.0, 2.0, 8.0]], [0, 0, 1])
    0.25

    Args:
        vectors: float array with one axis of units, e.g. `(inputs, units)`.
        labels: integer array `(units,)`: units with the same label are in one class.
        axis: the axis of the units. Defaults to the last.
        signs: `(units,)` of 1 and -1, the sᵢ for classes that are equal up to sign; see `class_signs`. Defaults to
            `None`: all 1.

    Returns:
        The gap in [0, 2]; NaN if no class has two units. A class of zeros has gap 0.

    Raises:
        ValueError: if `vectors` is not finite, or `labels` does not have one entry per unit.
    """
    rows, labels = as_rows(vectors, axis), _check_labels(labels, vectors, axis)
    order, starts = _shared_in_order(labels)
    if not order.size:
        return math.nan
    members = rows[order] if signs is None else rows[order] * np.asarray(signs, rows.dtype)[order, None]
    highest = np.maximum.reduceat(members, starts, axis=0).astype(np.float64)
    lowest = np.minimum.reduceat(members, starts, axis=0).astype(np.float64)
    spread = (highest - lowest).max(axis=1, initial=0.0)
    size = np.maximum(np.abs(highest), np.abs(lowest)).max(axis=1, initial=0.0)
    return float(np.divide(spread, size, out=np.zeros_like(spread), where=size > 0).max())


def class_signs(vectors: ArrayLike, labels: ArrayLike, *, axis: int = -1) -> NDArray[np.float64]:
    """Return for each unit the sign that brings it to the side of the first unit of its class.

    Example:

    >>> class_signs([[1.0, -1.0], [2.0, -2.0]], [0, 0]).tolist()
    [1.0, -1.0]

    Args:
        vectors: float array with one axis of units.
        labels: integer array `(units,)`.
        axis: the axis of the units. Defaults to the last.

    Returns:
        Array `(units,)` of 1.0 and -1.0; 1.0 where unit and first unit are at right angles, or zero.

    Raises:
        ValueError: as `class_gap`.
    """
    rows, labels = as_rows(vectors, axis), _check_labels(labels, vectors, axis)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    side = np.vecdot(rows, rows[first[inverse]])
    return np.where(side < 0, -1.0, 1.0)


def growth_rate(steps: Sequence[float], gaps: Sequence[float]) -> float:
    """Return the rate r at which a gap grows, g(t) ≈ g₀ exp(rt): the slope of ln g on t by least squares.

        r = Σ(tₖ - t̄)(ln gₖ - mean ln g) / Σ(tₖ - t̄)²

    Where a symmetric point is unstable, the difference that rounding makes between two copies grows by the factor
    exp(r) per step, until it is as large as the weights. Gaps of 0 have no logarithm, gaps of 0.1 and more no longer
    grow like this; both are left out.

    Example:

    >>> round(math.exp(growth_rate([1, 2, 3], [1e-6, 1e-4, 1e-2])), 6)
    100.0

    Args:
        steps: times t of the measurements: epochs or steps.
        gaps: the gaps g at these times; NaN where there is none.

    Returns:
        The rate per step; NaN with fewer than two gaps that count.

    Raises:
        ValueError: if there are not as many steps as gaps.
    """
    if len(steps) != len(gaps):
        raise ValueError(
            f"Expected as many `steps` as `gaps`. Received: {len(steps)} steps and {len(gaps)} gaps. Give the time of "
            "every gap."
        )
    growing = [(step, math.log(gap)) for step, gap in zip(steps, gaps, strict=True) if 0 < gap < SATURATED]
    if len({step for step, _ in growing}) < 2:
        return math.nan
    times, logs = np.array(growing).T
    centred = times - times.mean()
    return float(centred @ (logs - logs.mean()) / (centred @ centred))


def steps_until_apart(gap: float, rate: float, *, target: float = 1.0) -> float:
    """Return in how many steps a gap that grows at a rate reaches the target: t = ln(target / gap) / r.

    Example:

    >>> round(steps_until_apart(1e-4, math.log(100)), 6)
    2.0

    Args:
        gap: the present gap.
        rate: its rate of growth per step, from `growth_rate`.
        target: gap at which units count as apart, above 0. Defaults to 1.

    Returns:
        The steps; 0 if the target is reached, infinity if the gap is 0 or does not grow, NaN if either is NaN.

    Raises:
        ValueError: if `target` is not above 0.
    """
    check_number("target", target, minimum=0.0, exclusive=True)
    if math.isnan(gap) or math.isnan(rate):
        return math.nan
    if gap >= target:
        return 0.0
    return math.log(target / gap) / rate if gap > 0 and rate > 0 else math.inf


def _check_labels(labels: ArrayLike, vectors: ArrayLike, axis: int) -> NDArray[np.intp]:
    array, units = np.asarray(labels), np.shape(vectors)[axis]
    if array.shape != (units,):
        raise ValueError(
            f"Expected `labels` to have one entry for each of the {units} units. Received: labels of shape "
            f"{array.shape}."
        )
    return array


def _shared_in_order(labels: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the units that have company, class after class, and where each class starts among them."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shared = np.flatnonzero(counts[inverse] > 1)
    order = shared[np.argsort(inverse[shared], kind="stable")]
    return order, np.flatnonzero(np.diff(inverse[order], prepend=-1))
