"""Gaussian integrals by quadrature that refines where it must."""

import math
from collections.abc import Callable

import numpy as np

from keras_initkit._checks import describe
from keras_initkit.theory.activations import Array

_REACH = 16.0  # the normal density at 16 is 1e-56: what lies beyond cannot be seen in double precision
_TOLERANCE = 1e-11  # of one panel, relative to the whole
_MOST_PANELS = 2**18


def expectation(function: Callable[[Array], Array], tolerance: float = _TOLERANCE) -> float:
    """Compute E g(z) for z ~ N(0, 1), for a function g from shape (n,) to shape (n,).

    Simpson's rule on 512 panels of [-16, 16], each bisected until halving it changes nothing (relative to the whole by
    `tolerance`). The rule looks at the ends of a panel too, so a kink or jump close to an end cannot hide between the
    points.

    Args:
        function: g.
        tolerance: the change that counts as none. Default 1e-11; for a function that computes in float32, whose
            rounding would be refined for ever, 1e-8 is right.

    Raises:
        ValueError: if g returns another shape, is not finite between -16 and 16, or varies so fast that the integral
            does not converge.

    Example:
        >>> round(expectation(lambda z: z**4), 6)
        3.0
    """
    edges = np.linspace(-_REACH, _REACH, 513)[:, None]
    left, right = edges[:-1], edges[1:]
    estimate, scale = 0.0, 0.0
    while left.size:
        if left.size > _MOST_PANELS:
            raise ValueError(_unsettled(estimate))
        values = _weighted(function, left + (right - left) * np.linspace(0.0, 1.0, 5))
        width = (right - left)[:, 0]
        scale = scale or float(width @ np.abs(values).max(axis=1))
        coarse = values @ np.array([1.0, 0.0, 4.0, 0.0, 1.0]) / 6.0 * width
        fine = values @ np.array([1.0, 4.0, 2.0, 4.0, 1.0]) / 12.0 * width
        open_ = (np.abs(fine - coarse) > tolerance * scale) & (width > 1e-13)
        estimate += float(np.sum((fine + (fine - coarse) / 15.0)[~open_]))
        middle = 0.5 * (left + right)[open_]
        left, right = np.concatenate([left[open_], middle]), np.concatenate([middle, right[open_]])
    tail = float(np.abs(_weighted(function, np.array([[-_REACH, _REACH]]))).max())
    if tail > 1e-6 * max(abs(estimate), 1e-9):
        raise ValueError(_unsettled(estimate))
    return estimate


def checked_values(function: Callable[[Array], Array], z: Array) -> Array:
    """Return g(z) as real finite float64 numbers of the shape of z, or say what came instead."""
    with np.errstate(all="ignore"):
        values = np.asarray(function(z))
    if values.shape != z.shape or not np.isrealobj(values) or not np.isfinite(values).all():
        raise ValueError(
            "Expected `activation` to map a NumPy array of shape (n,) to finite real numbers of shape (n,), for "
            f"numbers between {z.min():g} and {z.max():g}. Received: {describe(values)} for n={len(z)}."
        )
    return values.astype(np.float64, copy=False)


def _weighted(function: Callable[[Array], Array], points: Array) -> Array:
    """Return g(z) times the normal density."""
    values = checked_values(function, points.ravel()).reshape(points.shape)
    weighted: Array = values * np.exp(-0.5 * points * points) / math.sqrt(2.0 * math.pi)
    return weighted


def _unsettled(estimate: float) -> str:
    return (
        "Expected `activation` to have finite moments for normal inputs. Received: a function whose integral "
        f"over [-{_REACH:g}, {_REACH:g}] does not settle (so far {estimate:.6g})."
    )
