"""An activation as a function of one number, with the Gaussian moments of itself and of its derivative."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from keras_initkit._checks import check_choice, describe
from keras_initkit.theory.activations import ACTIVATIONS, Activation, Array
from keras_initkit.theory.expectations import checked_values, expectation

_STEP = 1e-5  # of difference quotients in float64: curvature costs 1e-10, rounding 1e-11
_PROBES = np.linspace(-3.9, 4.1, 514)  # no kink of a usual activation lies on one of them


@dataclass(frozen=True, eq=False)
class Elementwise:
    """An activation f that treats each number alone.

    All moments are for pre-activations z ~ N(0, q), written as sqrt(q) z with z ~ N(0, 1).

    Attributes:
        function: from a NumPy array of shape (n,) to one of shape (n,).
        precise: whether it computes in float64. The moments are then accurate to about 1e-9, those of the derivative to
            1e-8, relatively; else, in float32, to about 1e-7 and 1e-6.
    """

    function: Activation
    precise: bool = True

    @classmethod
    def of(cls, activation: Any, label: str | None = None) -> "Elementwise":
        """Return the activation with that name, or one's own function, having checked that it is elementwise.

        Args:
            activation: a name in `ACTIVATIONS`, a function, or an `Elementwise`, which is returned as it is.
            label: what error texts call a function.
        """
        if isinstance(activation, cls):
            return activation
        if isinstance(activation, str):
            return _named(check_choice("activation", activation, sorted(ACTIVATIONS)))
        if not callable(activation):
            raise ValueError(
                f"Expected `activation` to be a name or a function of a NumPy array. Received: {describe(activation)}."
            )
        values = checked_values(activation, _PROBES)
        _check_one_by_one(activation, values, label or describe(activation))
        change = np.abs(checked_values(activation, _PROBES * (1.0 + 2.0**-36)) - values)
        # Such a small step is lost in float32, but for a few points where it shows as a change of at least 6e-8.
        changes = np.mean(change > 0.0) > 0.02
        return cls(activation, precise=bool(changes and np.max(change) < 2e-9 * np.max(np.abs(values))))

    def __call__(self, z: Array) -> Array:
        """Return f(z) in float64."""
        return np.asarray(self.function(z), dtype=np.float64)

    def expect(self, function: Callable[[Array], Array]) -> float:
        """Return E g(z), z ~ N(0, 1), for a function g that is made from f."""
        return expectation(function) if self.precise else expectation(function, tolerance=1e-8)

    def mean(self, q: float) -> float:
        """Return E f(sqrt(q) z)."""
        root = math.sqrt(q)
        return self.expect(lambda z: self.function(root * z))

    def second_moment(self, q: float) -> float:
        """Return E f(sqrt(q) z)²."""
        root = math.sqrt(q)
        return self.expect(lambda z: np.square(self(root * z)))

    def second_moment_slope(self, q: float) -> float:
        """Return dE f(sqrt(q) z)² / dq, which is E (z² - 1) f² / (2 q) by partial integration: f need not be smooth."""
        root = math.sqrt(q)
        return self.expect(lambda z: (z * z - 1.0) * np.square(self(root * z))) / (2.0 * q)

    def variance(self, q: float) -> float:
        """Return Var f(sqrt(q) z)."""
        root, mean = math.sqrt(q), self.mean(q)
        return self.expect(lambda z: np.square(self(root * z) - mean))

    def derivative_moment(self, q: float) -> float:
        """Return E f'(sqrt(q) z)², by difference quotients; refuse a function with jumps."""
        jump = self._jump
        if jump is not None:
            raise ValueError(
                "Expected an `activation` without jumps where its derivative counts. "
                f"Received: one that jumps at z = {jump:.4g}."
            )
        root = math.sqrt(q)
        if not self.precise:
            return _coarse_derivative_moment(lambda z: self(root * z)) / q

        def quotient(z: Array, step: float) -> Array:
            return (self(root * (z + step)) - self(root * (z - step))) / (2.0 * step)

        # A kink costs an error proportional to the step, which two steps cancel.
        return expectation(lambda z: 2.0 * quotient(z, _STEP) ** 2 - quotient(z, 2.0 * _STEP) ** 2, tolerance=1e-9) / q

    def moment_at_rest(self) -> float | None:
        """Return the limit of E f'(sqrt(q) z)² for q to 0, or None where f(0) is not 0.

        It is the mean of the squared slopes on either side of 0, each from three points.
        """
        step = 1e-4 if self.precise else 2.0**-6
        points = np.array([0.0, 1.0, 2.0, 4.0, -1.0, -2.0, -4.0]) * step
        values = self(points)
        if abs(values[0]) > (1e-12 if self.precise else 1e-7):
            return None
        slopes = (values[1:] / points[1:]).reshape(2, 3) @ np.array([8.0 / 3.0, -2.0, 1.0 / 3.0])
        return float(np.mean(np.square(slopes)))

    @cached_property
    def _jump(self) -> float | None:
        """A point where f jumps, or None.

        The increments of f over 2¹⁴ cells of [-8, 8] are followed through bisections, each time into the half that
        holds more. Over a small part of the width a continuous f keeps next to nothing of the increment, a jump keeps
        all of it. In float32 the cells cannot become as small, and increments near the rounding error say nothing.
        """
        bisections, least = (20, 1e-9) if self.precise else (8, 1e-4)
        grid = np.linspace(-8.0, 8.0, 2**14 + 1)
        left, right = grid[:-1], grid[1:]
        low, high = self(left), self(right)
        first = np.abs(high - low)
        size = 1.0 if self.precise else np.maximum(1.0, np.abs(low))
        for _ in range(bisections):
            middle = 0.5 * (left + right)
            value = self(middle)
            upper = np.abs(high - value) > np.abs(value - low)
            left, low = np.where(upper, middle, left), np.where(upper, value, low)
            right, high = np.where(upper, right, middle), np.where(upper, high, value)
        jumps = (first > least * size) & (np.abs(high - low) > 0.1 * first)
        return float(left[np.argmax(jumps)]) if jumps.any() else None


@lru_cache(maxsize=64)
def _named(name: str) -> Elementwise:
    return Elementwise(ACTIVATIONS[name])


def _check_one_by_one(activation: Activation, values: Array, label: str) -> None:
    """Raise if the value at one point depends on the other points, as in softmax, or on chance."""
    part = checked_values(activation, _PROBES[100:300])
    turned = checked_values(activation, _PROBES[::-1].copy())[::-1]
    found, alone = np.concatenate([values[100:300], values]), np.concatenate([part, turned])
    if not np.allclose(alone, found, rtol=1e-5, atol=1e-6 * float(np.max(np.abs(values)))):
        raise ValueError(
            "Expected `activation` to be elementwise: one number in, one number out, always the same. "
            f"Received: {label}, whose outputs depend on the other inputs (as those of softmax do) or "
            "on chance. Gains are defined for elementwise functions only."
        )


def _coarse_derivative_moment(function: Callable[[Array], Array]) -> float:
    """Return E g'² for a function that computes in float32.

    Central differences of the steps h = 2⁻⁹, 2 h and 4 h on one fine grid: rounding adds (6e-8 / h)² only, and the
    combination cancels the errors of order h, from kinks, and h², from curvature.
    """
    per_step, spacing = 16, 2.0**-13
    z: Array = np.arange(-12.0, 12.0 + spacing, spacing)
    values = checked_values(function, z)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    total = 0.0
    for weight, multiple in ((8.0 / 3.0, 1), (-2.0, 2), (1.0 / 3.0, 4)):
        reach = multiple * per_step
        quotient = (values[2 * reach :] - values[: -2 * reach]) / (2.0 * reach * spacing)
        total += weight * spacing * float(density[reach:-reach] @ np.square(quotient))
    return total
