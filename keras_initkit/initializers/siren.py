"""Kernels of networks with sine activations."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_number, describe
from keras_initkit.initializers.base import Seed
from keras_initkit.initializers.variance import VarianceKernel

_PAPER = 6.0
_EXACT = 6.0 / -math.expm1(-2.0)  # 6.939


@keras.saving.register_keras_serializable(package="keras_initkit")
class SIREN(VarianceKernel):
    """Uniform weights for layers that compute sin(omega · (x W + b)).

    - first layer (`first=True`): U(-1/n, 1/n);
    - others: U(-sqrt(c/n)/omega, sqrt(c/n)/omega),

    with n = fan_in. The factor omega must stand in the activation, `lambda z: keras.ops.sin(30.0 * z)`, and is divided
    out of the weights here. Inputs of the first layer are coordinates in [-1, 1], which omega then spreads over many
    periods of the sine. Biases are not part of the scheme; the authors' code leaves them at U(-1/sqrt(n), 1/sqrt(n)).

    Let v be the variance of omega · x W. For normal pre-activations E sin² = (1 - exp(-2v)) / 2, hence the next layer
    has v' = c/6 · (1 - exp(-2v)). The paper sets c = 6 and calls v = 1 the fixed point, which it would be for sines of
    uniformly distributed phase; the fixed point of c = 6 is v = 0.797. With `exact=True`, c = 6 / (1 - exp(-2)) = 6.939
    and v = 1. Going back one layer, gradients grow by sqrt(c/6 · (1 + exp(-2v))): 1.097 for the paper's constant, 1.146
    for the exact one, so the latter is better forwards and worse backwards.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(SIREN(seed=0)((600, 200)))
        >>> print(f"bound {abs(kernel).max():.5f}, sqrt(6/600)/30 = {(6 / 600) ** 0.5 / 30:.5f}")
        bound 0.00333, sqrt(6/600)/30 = 0.00333

    Args:
        omega: the factor inside the sine, above 0. Default 30, as in the paper.
        first: True for the layer that sees the coordinates. Default False.
        exact: True for c = 6.939, False (default) for the paper's c = 6. No difference in a first layer.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `omega` is not positive, `first` or `exact` is no bool, or the shape has less than 2 axes.

    Reference:
        Vincent Sitzmann, Julien N. P. Martel, Alexander W. Bergman, David B. Lindell, Gordon Wetzstein, "Implicit
        Neural Representations with Periodic Activation Functions", 2020, https://arxiv.org/abs/2006.09661
    """

    def __init__(
        self,
        omega: float = 30.0,
        first: bool = False,
        exact: bool = False,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.distribution = "uniform"
        self.omega = check_number("omega", omega, minimum=0.0, exclusive=True)
        self.first = _checked_flag("first", first)
        self.exact = _checked_flag("exact", exact)

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return a third of the squared bound."""
        if self.first:
            return 1.0 / (3.0 * fan_in**2)
        return (_EXACT if self.exact else _PAPER) / (3.0 * fan_in * self.omega**2)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"omega": self.omega, "first": self.first, "exact": self.exact, **super().get_config()}


def _checked_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"Expected `{name}` to be True or False. Received: {name}={describe(value)}.")
    return value
