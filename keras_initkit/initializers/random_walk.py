"""Weights under which the logarithm of the gradient's norm performs a random walk without drift."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_choice
from keras_initkit.initializers.base import Seed
from keras_initkit.initializers.variance import VarianceKernel


@keras.saving.register_keras_serializable(package="keras_initkit")
class RandomWalk(VarianceKernel):
    """Weights for very deep and narrow networks, in which the typical gradient keeps its size.

    W ~ N(0, g² / N), where N is the width, read as fan_in, and

    - g = sqrt(2) exp(1.2 / (max(N, 6) - 2.4)) for relu,
    - g = exp(1 / (2 N)) for linear layers.

    He's scheme keeps the mean of the squared norm of gradients. Over many layers that mean comes to be the mean of rare
    large draws, while the typical squared norm, the exponential of the mean logarithm, falls by exp(-1 / N) per linear
    layer and by about exp(-2.4 / N) per relu layer. Here the mean logarithm stays. It matters where the depth is not
    small against N; otherwise the scheme is He's.

    Example:
        >>> print(f"{10 * RandomWalk('relu').variance(10, 10):.3f}, He: 2")
        2.743, He: 2

    Args:
        activation: `"relu"` or `"linear"`, for which the paper gives g.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if the activation is another one, or the shape has less than 2 axes.

    Reference:
        David Sussillo, L. F. Abbott, "Random Walk Initialization for Training Very Deep Feedforward Networks", 2014,
        https://arxiv.org/abs/1412.6558
    """

    def __init__(
        self,
        activation: str = "relu",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.distribution = "untruncated_normal"
        self.activation = check_choice("activation", activation, ("relu", "linear"))

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return g² / fan_in."""
        if self.activation == "linear":
            return math.exp(1.0 / fan_in) / fan_in
        return 2.0 * math.exp(2.4 / (max(fan_in, 6.0) - 2.4)) / fan_in

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"activation": self.activation, **super().get_config()}
