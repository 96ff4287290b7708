"""IDInit: the identity, repeated to fill kernels that are not square."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_number
from keras_initkit.initializers.base import KernelInitializer, Tensor, from_canonical
from keras_initkit.theory.fans import KernelLayout


@keras.saving.register_keras_serializable(package="keras_initkit")
class IDInit(KernelInitializer):
    """Identity matrix, repeated along the longer side.

    With n inputs per unit, O units and m = min(n, O): W[r, o] = tau if r ≡ o (mod m), else 0. `Dirac` and `ZerO` pad
    the identity with zeros, so that inputs are lost and units are dead; here no row and no column is empty. The
    singular values are tau · sqrt(q), where q is how often a row or column of the identity is repeated: ⌊M / m⌋ or
    ⌈M / m⌉ for M = max(n, O).

    A convolution kernel (*k, I, O) is the matrix of its n = ∏k · I inputs, taps running fastest:
    W[t, c, o] = tau if c · ∏k + t ≡ o (mod m). Unit o thus picks single taps of single channels, other ones than its
    neighbours, where the identity of `Dirac` would pass channels on unchanged (the paper's "patch-maintain" kernel).
    In `EinsumDense` and attention, n and O are the flattened input and output axes.

    The last kernel of each residual branch gets `tau=1e-6`, so that the branch starts close to zero without being dead
    (the paper's IDIZ). The paper trains with momentum, without which the identity is hard to leave. Its "loose" variant
    adds small noise: `Perturbed(IDInit(), scale, seed=0)`.

    For O <= n all units differ. For O > n units are equal if n divides o - o', so that n are distinct. They separate in
    training only through their outgoing weights. Where the next layer is a dense `IDInit` with P units, these are equal
    too if P divides o - o' and P < O: with widths 3, 9, 3 every unit is locked to two others, and noise is needed.

    Example:
        >>> print(keras.ops.convert_to_numpy(IDInit()((2, 5))))
        [[1. 0. 1. 0. 1.]
         [0. 1. 0. 1. 0.]]

    Args:
        tau: the non-zero value, above 0. Default 1, as in the paper.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `tau` is not positive or the shape has less than 2 axes.

    Reference:
        Yu Pan et al., "IDInit: A Universal and Stable Initialization Method for Neural Network Training", 2025,
        https://arxiv.org/abs/2503.04626
    """

    seeded: ClassVar[bool] = False

    def __init__(
        self, tau: float = 1.0, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)
        self.tau = check_number("tau", tau, minimum=0.0, exclusive=True)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        rows, units = inputs_per_unit(layout), layout.outputs
        longer = np.arange(max(rows, units))
        matrix = np.zeros((rows, units))
        matrix[longer % rows, longer % units] = self.tau
        return from_patches(matrix, layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"tau": self.tau, **super().get_config()}


def inputs_per_unit(layout: KernelLayout) -> int:
    """Return n = ∏k · I."""
    return math.prod(layout.spatial) * layout.inputs


def from_patches(matrix: NDArray[np.float64], layout: KernelLayout) -> NDArray[np.float64]:
    """Return the kernel whose units are the columns of an (n, O) matrix, n = I · ∏k with taps running fastest.

    Leftover axes of the kernel get a copy each.
    """
    taps = np.moveaxis(matrix.reshape(layout.inputs, *layout.spatial, layout.outputs), 0, -2)
    kernel: NDArray[np.float64] = from_canonical(np.broadcast_to(taps, layout.canonical), layout)
    return kernel
