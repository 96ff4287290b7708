"""The factor by which weights must be scaled so that an activation keeps the size of signals or gradients."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from keras_initkit._checks import check_choice, describe
from keras_initkit.theory.activations import ACTIVATIONS, Activation, Array

MODES = ("forward", "variance", "backward")

_REACH = 16.0  # the normal density at 16 is 1e-56: what lies beyond cannot be seen in double precision
_TOLERANCE = 1e-11  # of one panel, relative to the whole
_MOST_PANELS = 2**18
_STEP = 1e-7  # for the derivative: a kink costs an error of this order, rounding costs 1e-9


def gain(activation: str | Activation, mode: str = "forward") -> float:
    """Compute the gain of an activation f for standard normal pre-activations z ~ N(0, 1).

    - `"forward"`: 1 / sqrt(E f(z)²). Weights of variance gain² / fan_in keep the second moment from layer to layer.
    - `"variance"`: 1 / sqrt(Var f(z)). The same for the variance, where f has a mean (sigmoid, relu).
    - `"backward"`: 1 / sqrt(E f'(z)²). Weights of variance gain² / fan_out keep the gradient's second moment.

    The expectations are integrals against the normal density, by quadrature that refines around kinks. The derivative
    is a central difference of step 1e-7. Results are accurate to about 1e-7, relatively.

    Args:
        activation: a name in `keras_initkit.theory.ACTIVATIONS` (Keras' default parameters, for example
            slope 0.2 of `leaky_relu`), or a function from a NumPy array of shape (n,) to an array of shape (n,).
        mode: one of `"forward"`, `"variance"`, `"backward"`.

    Returns:
        A positive float. `"forward"` gives 1.41421 for relu, 1.59254 for tanh and 1 for selu, where tables used
        elsewhere say 5/3 for tanh and 3/4 for selu.

    Raises:
        ValueError: if the name or the mode is unknown, the expectation does not exist, is zero (a constant activation)
            or, for `"backward"`, the activation has jumps.

    Example:
        >>> round(gain("relu"), 5)
        1.41421
        >>> round(gain(lambda z: np.maximum(z, 0) ** 2), 5)
        0.8165

    Reference:
        Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, "Delving Deep into Rectifiers: Surpassing Human-Level
        Performance on ImageNet Classification", 2015, https://arxiv.org/abs/1502.01852
    """
    check_choice("mode", mode, MODES)
    if isinstance(activation, str):
        return _gain_by_name(check_choice("activation", activation, sorted(ACTIVATIONS)), mode)
    if not callable(activation):
        raise ValueError(
            f"Expected `activation` to be a name or a function of a NumPy array. Received: {describe(activation)}."
        )
    return _gain(activation, mode)


def expectation(function: Callable[[Array], Array]) -> float:
    """Compute E g(z) for z ~ N(0, 1), for a function g from shape (n,) to shape (n,).

    Simpson's rule on 512 panels of [-16, 16], each bisected until halving it changes nothing (relative 1e-11). The rule
    looks at the ends of a panel too, so a kink or jump close to an end cannot hide between the points.

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
        open_ = (np.abs(fine - coarse) > _TOLERANCE * scale) & (width > 1e-13)
        estimate += float(np.sum((fine + (fine - coarse) / 15.0)[~open_]))
        middle = 0.5 * (left + right)[open_]
        left, right = np.concatenate([left[open_], middle]), np.concatenate([middle, right[open_]])
    tail = float(np.abs(_weighted(function, np.array([[-_REACH, _REACH]]))).max())
    if tail > 1e-6 * max(abs(estimate), 1e-9):
        raise ValueError(_unsettled(estimate))
    return estimate


def _weighted(function: Callable[[Array], Array], points: Array) -> Array:
    """Return g(z) times the normal density, having checked what g returned."""
    z = points.ravel()
    with np.errstate(all="ignore"):
        values = np.asarray(function(z))
    if values.shape != z.shape or not np.isrealobj(values) or not np.isfinite(values).all():
        raise ValueError(
            "Expected `activation` to map a NumPy array of shape (n,) to finite real numbers of shape (n,), for "
            f"numbers between {-_REACH:g} and {_REACH:g}. Received: {describe(values)} for n={len(z)}."
        )
    weighted: Array = values.reshape(points.shape) * np.exp(-0.5 * points * points) / math.sqrt(2.0 * math.pi)
    return weighted


def _unsettled(estimate: float) -> str:
    return (
        "Expected `activation` to have finite moments for standard normal inputs. Received: a function whose integral "
        f"over [-{_REACH:g}, {_REACH:g}] does not settle (so far {estimate:.6g})."
    )


@lru_cache(maxsize=256)
def _gain_by_name(name: str, mode: str) -> float:
    return _gain(ACTIVATIONS[name], mode)


def _gain(activation: Activation, mode: str) -> float:
    if mode == "backward":
        moment = _derivative_moment(activation)
    else:
        mean = expectation(activation) if mode == "variance" else 0.0
        moment = expectation(lambda z: np.square(activation(z) - mean))
    if moment < 1e-20:
        raise ValueError(
            f"Expected an `activation` that varies. Received: one whose moment for mode={mode!r} is {moment:.1e}, "
            "which no gain can restore."
        )
    return 1.0 / math.sqrt(moment)


def _derivative_moment(activation: Activation) -> float:
    """Return E f'² by central differences, refusing functions to which they do not apply."""
    expectation(activation)  # refuses what is not an elementwise function with finite values
    precision = np.asarray(activation(np.zeros(1))).dtype
    if precision != np.float64:
        raise ValueError(
            "Expected an `activation` that computes in float64 for mode='backward', as its derivative is a difference "
            f"quotient. Received: one that returns {precision}."
        )
    jump = _find_jump(activation)
    if jump is not None:
        raise ValueError(
            f"Expected an `activation` without jumps for mode='backward'. Received: one that jumps at z = {jump:.4g}."
        )
    return expectation(lambda z: np.square((activation(z + _STEP) - activation(z - _STEP)) / (2.0 * _STEP)))


def _find_jump(activation: Activation) -> float | None:
    """Return a point where f jumps, or None.

    The increments of f over 2¹⁴ cells of [-8, 8] are followed through 20 bisections, each time into the half that holds
    more. Over a millionth of the width a continuous f keeps next to nothing of the increment, a jump keeps all of it.
    """
    grid = np.linspace(-8.0, 8.0, 2**14 + 1)
    left, right = grid[:-1], grid[1:]
    low, high = activation(left), activation(right)
    first = np.abs(high - low)
    for _ in range(20):
        middle = 0.5 * (left + right)
        value = activation(middle)
        upper = np.abs(high - value) > np.abs(value - low)
        left, low = np.where(upper, middle, left), np.where(upper, value, low)
        right, high = np.where(upper, right, middle), np.where(upper, high, value)
    jumps = (first > 1e-9) & (np.abs(high - low) > 0.1 * first)
    return float(left[np.argmax(jumps)]) if jumps.any() else None
