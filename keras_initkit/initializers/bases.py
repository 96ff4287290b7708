"""Kernels whose units are vectors of a fixed orthogonal basis: Walsh-Hadamard and cosine."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_number
from keras_initkit.initializers.base import KernelInitializer, Tensor, from_canonical
from keras_initkit.initializers.identity import hadamard, kernel_of
from keras_initkit.initializers.idinit import from_patches, inputs_per_unit


class _Basis(KernelInitializer):
    """What the bases share: a gain and no seed."""

    seeded: ClassVar[bool] = False

    def __init__(
        self, gain: float = 1.0, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)
        self.gain = check_number("gain", gain, minimum=0.0, exclusive=True)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"gain": self.gain, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class Hadamard(_Basis):
    """Walsh functions: weights of one size and different signs.

    W = gain / sqrt(L) · H[R, :L] for I <= O, and its transpose for I > O, where I are the inputs, O the units,
    L = max(I, O), s = min(I, O), and H is the Hadamard matrix of order p = 2^m, m = ceil(log2 L), with entries
    H[i, j] = (-1)^(number of ones that i and j share in binary). R are the first s of the rows

        1, 2, 4, ..., p / 2,   then the other numbers below p / 2 without 0,   then 0,   then those above p / 2.

    The powers of two come first because their signs spell j in binary: min(O, 2^I) units are distinct, the most that
    signs allow, so all are if I >= m. From I > m on no two are opposite either.

    Each vector of the smaller side has norm `gain`. Singular values, divided by `gain`:

    - all 1 where L is a power of two;
    - between sqrt(p / 2L) and sqrt(p / L), so within sqrt(1/2) and sqrt(2), where s <= p / 2;
    - otherwise at most sqrt(p / L), some of them small, though never 0: at least 1 / sqrt(p) for p <= 256. `DCT` is
      orthonormal there.

    A convolution has this matrix at its centre tap, (k - 1) // 2 along an axis of k taps, and zeros elsewhere. In
    `EinsumDense` and attention, I and O are the flattened input and output axes.

    `ZerO` uses the same matrix, but only for O > I, with the identity elsewhere, rows in natural order (which makes
    units equal: 4 of 96 differ from 3 inputs, here 8) and a factor of 1 / sqrt(p).

    Example:
        >>> print(keras.ops.convert_to_numpy(Hadamard()((2, 4))))
        [[ 0.5 -0.5  0.5 -0.5]
         [ 0.5  0.5 -0.5 -0.5]]

    Args:
        gain: norm of the vectors of the smaller side, above 0. Default 1.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `gain` is not positive or the shape has less than 2 axes.

    Reference:
        Joseph L. Walsh, "A Closed Set of Normal Orthogonal Functions", 1923, https://doi.org/10.2307/2387224
    """

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        larger, smaller = max(layout.inputs, layout.outputs), min(layout.inputs, layout.outputs)
        rows = _telling_rows(larger)[:smaller]
        matrix = self.gain / math.sqrt(larger) * hadamard(rows, np.arange(larger))
        return kernel_of(matrix if layout.inputs <= layout.outputs else matrix.T, layout)


@keras.saving.register_keras_serializable(package="keras_initkit")
class DCT(_Basis):
    """Cosines: an orthonormal basis for any width, with filters of all spatial frequencies.

    With I inputs, O units, K = ∏k taps (1 for a dense kernel) and n = K · I:

    - O <= n: unit o is the product of a cosine over the inputs and one over each axis of the window,
      W[t, c, o] = gain · C(f, I, c) · ∏_a C(b_a, k_a, t_a), with the orthonormal type II cosines
      C(0, N, x) = 1 / sqrt(N) and C(f, N, x) = sqrt(2 / N) · cos(π f (2x + 1) / (2N)). Its frequency over the inputs is
      f = o mod I; over the window it is number (⌊o / I⌋ + f) mod K of the K frequencies b, low ones first (by Σ b_a /
      k_a). Every b meets every f once, so columns are orthonormal. A dense kernel is the first O columns of the DCT.
    - O > n: unit o is one cosine over all n inputs, taps running fastest, at O different frequencies:
      W[r, o] = gain · sqrt(2 / O) · cos(π (r + 1) (2o + 1) / (2O)). Rows are orthonormal. The constant row is left
      out, because it would give all units the same sign, and from 1 input the same value.

    All singular values of the kernel, flattened to (n, O), equal `gain`, and all units differ. From one input channel,
    as in the first layer for grey images, the filters are the DCT of the window from low to high frequencies, as in
    harmonic networks. With more channels, counting off low frequencies for all of them first would leave a layer with
    O = I nothing but box filters; hence the shift by f. In `EinsumDense` and attention, I and O are the flattened
    input and output axes.

    Example:
        >>> print(keras.ops.convert_to_numpy(DCT()((3, 2))).round(3))
        [[ 0.577  0.707]
         [ 0.577  0.   ]
         [ 0.577 -0.707]]

    Args:
        gain: the singular value, above 0. Default 1.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `gain` is not positive or the shape has less than 2 axes.

    Reference:
        Matej Ulicny, Vladimir A. Krylov, Rozenn Dahyot, "Harmonic Networks with Limited Training Samples", 2019,
        https://arxiv.org/abs/1812.03205 (filters are learned sums of these; here they start as one each)
    """

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        rows, units = inputs_per_unit(layout), layout.outputs
        if units > rows:
            return from_patches(self.gain * _cosines(units, np.arange(1, rows + 1)).T, layout)
        window = _window_cosines(layout.spatial)
        frequency, turn = np.arange(units) % layout.inputs, np.arange(units) // layout.inputs
        filters = window[:, (turn + frequency) % len(window)]
        mixed = self.gain * filters[:, None, :] * _cosines(layout.inputs, frequency)
        return from_canonical(np.broadcast_to(mixed.reshape(layout.canonical[1:]), layout.canonical), layout)


def _telling_rows(larger: int) -> NDArray[np.integer]:
    """Return the row numbers of the Hadamard matrix of the order for `larger`, as `Hadamard` sorts them."""
    numbers = np.arange(1 << (larger - 1).bit_length())
    half = len(numbers) // 2
    power = np.bitwise_count(numbers) == 1
    return numbers[np.lexsort((numbers, numbers == 0, numbers > half, ~power))]


def _cosines(size: int, frequencies: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return C(f, size, x) of the orthonormal DCT with a row for each x and a column for each frequency f."""
    angle = (2 * np.arange(size)[:, None] + 1) * frequencies % (4 * size)  # in integers, so that no digits are lost
    matrix = np.cos(math.pi / (2 * size) * angle)
    matrix *= np.where(frequencies == 0, 1.0, math.sqrt(2.0)) / math.sqrt(size)
    return matrix


def _window_cosines(spatial: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the DCT basis of a window as columns, taps in C order, low frequencies first."""
    basis: NDArray[Any] = np.ones((1, 1))
    frequencies, taps = np.zeros(1, dtype=int), math.prod(spatial)
    for size in spatial:
        basis = np.kron(basis, _cosines(size, np.arange(size)))
        frequencies = np.add.outer(frequencies, np.arange(size) * (taps // size)).ravel()
    return basis[:, np.argsort(frequencies, kind="stable")]
