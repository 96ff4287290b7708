"""What very wide networks of one activation do to the size of signals and to the likeness of two of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import optimize

from keras_initkit._checks import check_number
from keras_initkit.theory.activations import Activation, Array
from keras_initkit.theory.elementwise import Elementwise

_ZERO = 1e-9  # a q below this is taken for 0
_ONE = 1e-6  # how close correlations come to 1
_REACH = 10.0


@dataclass(frozen=True)
class MeanField:
    """The limit of infinite width of a network of one activation f, layer by layer.

    Weights have variance sigma_w² / fan_in and biases sigma_b². Pre-activations of two inputs are then jointly normal,
    and from one layer to the next their variance q and their correlation c become

        V(q) = sigma_w² E f(u)² + sigma_b²,   C(c) = (sigma_w² E f(u) f(v) + sigma_b²) / q,

    where u and v are normal with variance q and correlation c. Where chi_1 = sigma_w² E f'(u)² is below 1 at the fixed
    point q* of V, all inputs become alike with depth and gradients vanish (order); above 1, like inputs come apart and
    gradients explode (chaos). `critical_point` finds the edge.

    Both expectations are integrals by quadrature. Those of u alone are accurate to about 1e-9 (derivatives 1e-7), those
    of the pair to 1e-9 for smooth f and to 3e-5 q for one with kinks.

    Attributes:
        activation: a name or a function; see `gain`.
        weight_variance: sigma_w², above 0.
        bias_variance: sigma_b², at least 0. Default 0.

    Raises:
        ValueError: if a variance is out of range or the activation is none; later, if signals grow without bound.

    Example:
        >>> chaotic = MeanField("tanh", weight_variance=2.0, bias_variance=0.05)
        >>> print(f"q* {chaotic.q:.3f}, chi_1 {chaotic.chi_1:.3f}, c* {chaotic.c:.3f}")
        q* 0.722, chi_1 1.048, c* 0.744

    Reference:
        Ben Poole, Subhaneel Lahiri, Maithra Raghu, Jascha Sohl-Dickstein, Surya Ganguli, "Exponential expressivity in
        deep neural networks through transient chaos", 2016, https://arxiv.org/abs/1606.05340; Samuel S. Schoenholz,
        Justin Gilmer, Surya Ganguli, Jascha Sohl-Dickstein, "Deep Information Propagation", 2017,
        https://arxiv.org/abs/1611.01232
    """

    activation: str | Activation
    weight_variance: float
    bias_variance: float = 0.0
    _f: Elementwise = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_number("weight_variance", self.weight_variance, minimum=0.0, exclusive=True)
        check_number("bias_variance", self.bias_variance, minimum=0.0)
        object.__setattr__(self, "_f", Elementwise.of(self.activation))

    def variance_map(self, q: float) -> float:
        """Return V(q), the variance of the next layer's pre-activations."""
        check_number("q", q, minimum=0.0)
        return self.weight_variance * self._f.second_moment(q) + self.bias_variance

    def correlation_map(self, c: float, q: float | None = None) -> float:
        """Return C(c), the correlation of the next layer's pre-activations.

        Args:
            c: correlation of the pre-activations of two inputs, from -1 to 1.
            q: their variance, above 0. None means `q`, the fixed point. Elsewhere the result is divided by V(q).
        """
        if not -1.0 <= c <= 1.0:
            raise ValueError(f"Expected `c` to be a correlation, from -1 to 1. Received: c={c!r}.")
        q = self._positive_q if q is None else check_number("q", q, minimum=0.0, exclusive=True)
        if c == 0.0:
            product = self._f.mean(q) ** 2
        else:
            product = self._f.second_moment(q) if c == 1.0 else self._pair(c, q, _unweighted)
        return (self.weight_variance * product + self.bias_variance) / self.variance_map(q)

    @cached_property
    def q(self) -> float:
        """The fixed point q* of V that layers come to from q = 1; 0 where signals die out."""
        growth = self.variance_map(1.0) - 1.0
        if abs(growth) < 1e-9:
            return 1.0
        factor = 2.0 if growth > 0.0 else 0.5
        last, q = 1.0, factor
        while _ZERO < q < 1e9:
            growth_here = self.variance_map(q) - q
            if (growth_here > 0.0) != (growth > 0.0):
                edges = sorted((last, q))
                return float(optimize.brentq(lambda q: self.variance_map(q) - q, *edges, xtol=1e-14, rtol=1e-12))
            last, q = q, q * factor
        if growth > 0.0:
            raise ValueError(
                "Expected variances for which the size of signals has a fixed point. Received: "
                f"weight_variance={self.weight_variance:g}, bias_variance={self.bias_variance:g}, for which it grows "
                "without bound. Take a smaller one; `critical_point` gives those at the edge of chaos."
            )
        return 0.0

    @cached_property
    def c(self) -> float:
        """The fixed point c* of C that two different inputs come to; 1 in the ordered phase."""
        if self.chi_1 <= 1.0 + 1e-6 or self.correlation_map(1.0 - _ONE) >= 1.0 - _ONE:
            return 1.0
        if self.correlation_map(0.0) <= 1e-12:
            return 0.0
        return float(optimize.brentq(lambda c: self.correlation_map(c) - c, 0.0, 1.0 - _ONE, xtol=1e-12))

    @cached_property
    def chi_1(self) -> float:
        """The slope sigma_w² E f'(u)² of C at c = 1, q = q*; gradients grow by it per layer."""
        return self.weight_variance * self._f.derivative_moment(self._positive_q)

    @cached_property
    def chi_q(self) -> float:
        """The slope of V at q*."""
        return self.weight_variance * self._f.second_moment_slope(self._positive_q)

    @cached_property
    def chi_c(self) -> float:
        """The slope sigma_w² E f'(u) f'(v) of C at c = c*, q = q*."""
        c, q = self.c, self._positive_q
        if c == 1.0:
            return self.chi_1
        # dE f(u) f(v) / dc, with v made of u and an independent w: the density is differentiated, not f.
        rest = 1.0 - c * c
        slope = self._pair(c, q, lambda x, w: c * (1.0 - w * w) / rest + x * w / math.sqrt(rest))
        return self.weight_variance * slope / q

    @property
    def xi_q(self) -> float:
        """The number of layers in which a deviation from q* falls by e; infinite where it does not."""
        return _depth(self.chi_q)

    @property
    def xi_c(self) -> float:
        """The number of layers in which a deviation from c* falls by e; networks train up to about 6 of it."""
        return _depth(self.chi_c)

    @property
    def _positive_q(self) -> float:
        return max(self.q, 10.0 * _ZERO)

    def _pair(self, c: float, q: float, weight: Callable[[Array, Array], Array]) -> float:
        """Return E weight(x, w) f(sqrt(q) x) f(sqrt(q) (c x + sqrt(1 - c²) w)) for independent standard normal x, w.

        Simpson's rule with panels that end at 0, where most kinks are. Errors at other kinks come with both signs as x
        moves them through the panels of w.
        """
        x = w = np.linspace(-_REACH, _REACH, 1025)
        root, rest = math.sqrt(q), math.sqrt(1.0 - c * c)
        outer, inner = _simpson(x) * self._f(root * x), _simpson(w)
        others = self._f((root * (c * x[:, None] + rest * w)).ravel()).reshape(x.size, w.size)
        return float(outer @ (others * weight(x[:, None], w) @ inner))


def _unweighted(_x: Array, w: Array) -> Array:
    return np.ones_like(w)


def _simpson(x: Array) -> Array:
    """Return what Simpson's rule on these points multiplies values by, for integrals against the normal density."""
    rule = np.where(np.arange(x.size) % 2, 4.0, 2.0) / 3.0
    rule[[0, -1]] = 1.0 / 3.0
    return np.asarray(rule * (x[1] - x[0]) * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))


def _depth(slope: float) -> float:
    if abs(slope) >= 1.0 - 1e-9:
        return math.inf
    return 0.0 if slope == 0.0 else -1.0 / math.log(abs(slope))
