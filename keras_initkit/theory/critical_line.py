"""The edge of chaos: variances of weights and biases at which signals neither merge nor scatter."""

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import optimize

from keras_initkit._checks import check_number
from keras_initkit.theory.activations import Activation
from keras_initkit.theory.elementwise import Elementwise

_GRID = np.geomspace(1e-4, 1e4, 65)


class CriticalPoint(NamedTuple):
    """Where chi_1 = 1.

    Attributes:
        weight_variance: sigma_w²; weights have variance sigma_w² / fan_in.
        bias_variance: sigma_b².
        q: the variance of pre-activations that these keep.
    """

    weight_variance: float
    bias_variance: float
    q: float


def critical_point(activation: str | Activation, bias_variance: float = 0.0) -> CriticalPoint:
    """Compute the weight variance at which a deep network of this activation and bias variance is critical.

    In a wide network of weights N(0, sigma_w² / fan_in) and biases N(0, sigma_b²), pre-activations of variance q give

        V(q) = sigma_w² E f(h)² + sigma_b²,   chi_1 = sigma_w² E f'(h)²,   h ~ N(0, q)

    in the next layer, where chi_1 is the factor by which the distance of two nearby inputs, and the gradient's second
    moment, grow per layer. A critical point has V(q) = q and chi_1 = 1. For a given sigma_b² there may be several, or
    none. This returns the one with the smallest q among those to which V leads back, |V'(q)| <= 1: at others the
    smallest error of q would grow with depth.

    - Where E f(h)² / q does not depend on q (relu, leaky_relu, linear), sigma_b² = 0 is the only choice, every q is a
      fixed point, and q = 1 is returned.
    - With sigma_b² = 0 and f(0) = 0, tanh and its like have q = 0, which signals approach slowly, and
      sigma_w² = 1 / f'(0)².
    - gelu, silu and mish are repelled from all points of small sigma_b². The smallest sigma_b² that works is named by
      the error: 0.173 for gelu.

    Args:
        activation: a name or a function; see `gain`.
        bias_variance: sigma_b², at least 0. Default 0.

    Returns:
        A named tuple `(weight_variance, bias_variance, q)`, accurate to about 1e-7 (1e-5 for functions that compute in
        float32).

    Raises:
        ValueError: if no such point exists for q up to 10⁴, the activation has jumps or is not elementwise, or
            `bias_variance` is negative.

    Example:
        >>> weight_variance, bias_variance, q = critical_point("tanh", 0.05)
        >>> print(f"{weight_variance:.5f} {q:.5f}")
        1.76095 0.57005

    Reference:
        Samuel S. Schoenholz, Justin Gilmer, Surya Ganguli, Jascha Sohl-Dickstein, "Deep Information Propagation", 2017,
        https://arxiv.org/abs/1611.01232; Soufiane Hayou, Arnaud Doucet, Judith Rousseau, "On the Impact of the
        Activation Function on Deep Neural Networks Training", 2019, https://arxiv.org/abs/1902.06853
    """
    wanted = check_number("bias_variance", bias_variance, minimum=0.0)
    return _of_name(activation, wanted) if isinstance(activation, str) else _found(activation, wanted)


@lru_cache(maxsize=256)
def _of_name(name: str, wanted: float) -> CriticalPoint:
    return _found(name, wanted)


def _found(activation: str | Activation, wanted: float) -> CriticalPoint:
    line = _Line(Elementwise.of(activation))
    if line.homogeneous:
        if wanted == 0.0:
            return CriticalPoint(line.weight_variance(1.0), 0.0, 1.0)
        raise ValueError(_none(wanted, "For this one, as for relu, it is 0: any bias lets signals grow with depth."))
    at_rest = line.weight_variance_at_rest() if wanted == 0.0 else None
    if at_rest is not None:
        return CriticalPoint(at_rest, 0.0, 0.0)
    grid = ((q, line.bias_variance(q)) for q in _GRID)
    repelled = False
    for (low, below), (high, above) in itertools.pairwise(grid):
        if (below - wanted) * (above - wanted) > 0.0 or not math.isfinite(below * above):
            continue
        q = float(optimize.brentq(lambda q: line.bias_variance(q) - wanted, low, high, xtol=1e-12, rtol=1e-11))
        if abs(line.slope(q)) <= 1.0 + 1e-6:
            return CriticalPoint(line.weight_variance(q), wanted, q)
        repelled = True
    raise ValueError(_none(wanted, line.advice(repelled)))


class _Line:
    """The points with chi_1 = 1, by q: sigma_w² = 1 / E f'², sigma_b² = q - sigma_w² E f², also below 0."""

    def __init__(self, f: Elementwise) -> None:
        self.f = f

    def weight_variance(self, q: float) -> float:
        """Return 1 / E f'²; for q = 0 in the limit."""
        moment = self.f.derivative_moment(q)
        return 1.0 / moment if moment > 1e-20 else math.inf

    def bias_variance(self, q: float) -> float:
        """Return q - E f² / E f'², or NaN where the moments do not exist or f is flat."""
        try:
            moment = self.f.derivative_moment(q)
            return q - self.f.second_moment(q) / moment if moment > 1e-20 else math.nan
        except ValueError:
            if self.f._jump is not None:
                raise
            return math.nan

    def slope(self, q: float) -> float:
        """Return V'(q)."""
        return self.weight_variance(q) * self.f.second_moment_slope(q)

    @property
    def homogeneous(self) -> bool:
        """Whether f(a z) = a f(z) for a > 0."""
        return all(abs(self.bias_variance(q)) < 1e-5 * q for q in (1e-4, 1.0, 1e4))

    def weight_variance_at_rest(self) -> float | None:
        """Return the weight variance with q = 0, or None if that is no fixed point or small q grow."""
        moment = self.f.moment_at_rest()
        if moment is None or moment < 1e-12:
            return None
        small = 1e-2
        return 1.0 / moment if self.f.second_moment(small) <= moment * small * (1.0 + 1e-6) else None

    def advice(self, repelled: bool) -> str:
        """Say what bias variances would do."""
        known = [q for q in _GRID if self.bias_variance(q) >= 0.0]
        stable = next((n for n, q in enumerate(known) if abs(self.slope(q)) <= 1.0), None)
        if stable is not None:
            edge = known[0]
            if stable > 0:
                edge = optimize.brentq(lambda q: self.slope(q) - 1.0, known[stable - 1], known[stable], rtol=1e-6)
            least = self.bias_variance(edge)
            what = "q is repelled from the fixed points there are" if repelled else "no q is kept"
            return f"For this one {what}; it has critical points for bias variances from about {least:.3g} up."
        return "For this one no bias variance has one. Keep signals with mode='forward' or gradients with 'backward'."


def _none(bias_variance: float, advice: str) -> str:
    return (
        "Expected a `bias_variance` for which the activation has a critical point that signals do not leave. "
        f"Received: bias_variance={bias_variance:g}. {advice}"
    )
