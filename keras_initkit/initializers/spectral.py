"""Weights whose largest singular value suits the widths on both sides."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_choice
from keras_initkit.initializers.base import Seed, Tensor, from_canonical
from keras_initkit.initializers.drawing import DISTRIBUTIONS
from keras_initkit.initializers.haar import haar
from keras_initkit.initializers.variance import VarianceKernel

_CHOICES = (*DISTRIBUTIONS, "orthogonal")


@keras.saving.register_keras_serializable(package="keras_initkit")
class Spectral(VarianceKernel):
    """Weights that meet the spectral condition for learning features at any width.

    The condition is that the largest singular value of a kernel (n_in, n_out) be of the order of sqrt(n_out / n_in):
    then inputs with entries of size 1 give outputs with entries of size 1, however wide the layers are. Weights have
    mean 0 and standard deviation

        sigma = min(1, sqrt(n_out / n_in)) / sqrt(n_in),

    n_in and n_out being the fans. Independent entries then have a largest singular value near
    sqrt(n_out / n_in) · (1 + sqrt(r)), r <= 1 the ratio of the smaller to the larger fan. With
    `distribution="orthogonal"` the kernel is orthogonal, rows or columns, at the same sigma, and in a dense kernel all
    singular values equal sqrt(n_out / n_in).

    It differs from LeCun's scheme only where n_out < n_in, above all in output layers, where it is smaller by
    sqrt(n_out / n_in). The paper's condition on updates, a learning rate proportional to n_out / n_in, is not part of
    an initializer.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(Spectral("orthogonal", seed=0)((400, 100)))
        >>> singular_values = keras.ops.convert_to_numpy(keras.ops.svd(kernel, compute_uv=False))
        >>> print(singular_values.min().round(3), singular_values.max().round(3))
        0.5 0.5

    Args:
        distribution: one of `"untruncated_normal"` (default, as in the paper), `"truncated_normal"`, `"uniform"`,
            `"orthogonal"`.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if the distribution is unknown, or the shape has less than 2 axes.

    Reference:
        Greg Yang, James B. Simon, Jeremy Bernstein, "A Spectral Condition for Feature Learning", 2023,
        https://arxiv.org/abs/2310.17813
    """

    def __init__(
        self,
        distribution: str = "untruncated_normal",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.distribution = check_choice("distribution", distribution, _CHOICES)

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return min(1, fan_out / fan_in) / fan_in."""
        return min(1.0, fan_out / fan_in) / fan_in

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if self.distribution != "orthogonal":
            return super()._values(shape, dtype)
        layout = self._layout(shape)
        window = math.prod(layout.spatial)
        rows, columns = window * layout.inputs, layout.outputs
        # An orthogonal matrix has min(R, C) singular values of 1, and so entries of variance 1 / max(R, C).
        scale = math.sqrt(self.variance(rows, window * columns) * max(rows, columns))
        return from_canonical(scale * haar(layout.blocks, rows, columns, self._draws(dtype)), layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"distribution": self.distribution, **super().get_config()}
