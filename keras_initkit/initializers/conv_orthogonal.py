"""Random convolutions that are isometries of images: with one tap, and with all of them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_integer, check_number
from keras_initkit.initializers.base import KernelInitializer, Seed, Tensor, at_centre, from_canonical
from keras_initkit.initializers.drawing import Draws
from keras_initkit.initializers.haar import haar
from keras_initkit.initializers.identity import outputs_per_group
from keras_initkit.initializers.precision import cast, exact_products


class ConvolutionIsometry(KernelInitializer):
    """Base class: kernels of orthonormal rows or columns at each frequency, one for each group of channels."""

    def __init__(
        self,
        gain: float = 1.0,
        groups: int = 1,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.gain = check_number("gain", gain, minimum=0.0, exclusive=True)
        self.groups = check_integer("groups", groups, 1)

    @abstractmethod
    def _kernels(self, count: int, window: tuple[int, ...], inputs: int, outputs: int, draws: Draws) -> Tensor:
        """Return `count` independent kernels of shape (count, *window, inputs, outputs) and gain 1."""

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        per_group = outputs_per_group(layout, self.groups)
        draws = self._draws(dtype)
        xp = draws.xp
        kernels = self._kernels(layout.blocks * self.groups, layout.spatial, layout.inputs, per_group, draws)
        kernels = xp.reshape(kernels, (layout.blocks, self.groups, *layout.spatial, layout.inputs, per_group))
        kernels = xp.reshape(xp.moveaxis(kernels, 1, -2), layout.canonical)
        return from_canonical(self.gain * kernels, layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"gain": self.gain, "groups": self.groups, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class DeltaOrthogonal(ConvolutionIsometry):
    """Convolution that starts as a random orthogonal map of the channels.

    The centre tap, (k - 1) // 2 along an axis of k taps, is gain · Q with Q (I, O) orthonormal in its columns (rows,
    if O > I) and uniform over all such matrices; all other taps are 0. With stride 1, all singular values of the
    convolution equal `gain`, both with circular padding and with `padding="same"`. A dense kernel is all centre tap.
    In grouped convolutions each group has a Q of its own, (I, O / groups). In `EinsumDense` and attention, I and O are
    the flattened input and output axes.

    The paper requires I <= O and odd k; here any ratio and any k will do. For I > O the map projects orthogonally.
    For O > I it keeps norms, so the variance per channel falls by I / O; `gain=(O / I) ** 0.5` restores it.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(DeltaOrthogonal(seed=0)((3, 2, 2)))
        >>> print([bool(tap.any()) for tap in kernel])
        [False, True, False]

    Args:
        gain: the singular value, above 0. Default 1; the paper uses the critical one of the activation.
        groups: the `groups` of the convolution, at least 1. Default 1.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `gain` is not positive, `groups` does not divide O, or the shape has less than 2 axes.

    Reference:
        Lechao Xiao, Yasaman Bahri, Jascha Sohl-Dickstein, Samuel S. Schoenholz, Jeffrey Pennington, "Dynamical Isometry
        and a Mean Field Theory of CNNs: How to Train 10,000-Layer Vanilla Convolutional Neural Networks", 2018,
        https://arxiv.org/abs/1806.05393
    """

    def _kernels(self, count: int, window: tuple[int, ...], inputs: int, outputs: int, draws: Draws) -> Tensor:
        return at_centre(haar(count, inputs, outputs, draws), window, draws.xp)


@keras.saving.register_keras_serializable(package="keras_initkit")
class ConvOrthogonal(ConvolutionIsometry):
    """Random orthogonal convolution: an isometry of images that uses every tap.

    A kernel (*k, I, O) is a polynomial in shifts: with z_a for the shift by one pixel along axis a, the convolution is
    W(z) = Σ_t W[t] ∏_a z_a^t_a. Here

        W(z) = gain · Q · ∏_s ∏_a (P_sa + (1 - P_sa) z_a),   s = 1 ... k_a - 1 for axis a,

    where Q (I, O) is random with orthonormal rows (Haar) and the P_sa are random orthogonal projections: P² = P = Pᵀ,
    with uniformly distributed range. For |z_a| = 1 each factor is unitary, so that with circular padding and stride 1
    all singular values of the convolution equal `gain`, on images of any size; constant images (z_a = 1) see Q alone.
    For I > O the kernel is the one from O to I channels with both exchanged, and has orthonormal columns instead. With
    zero padding the map is no isometry near the borders; `DeltaOrthogonal` is one everywhere, but starts without
    spatial structure.

    Kernels of 1, 2, 3 or more spatial axes, even and unequal sizes, and any ratio of channels are served; the paper
    has equal sizes and I <= O. In grouped convolutions each group has a kernel of its own, (*k, I, O / groups). Where
    that leaves one channel on both sides, orthogonal convolutions are shifts, and this is the centre tap (k - 1) // 2
    with a random sign. Dense kernels are Q; in `EinsumDense` and attention, I and O are the flattened axes.

    Differs from the authors' code in the ranks of the n x n projections, n = max(I, O): ceil(n/2) and floor(n/2) in
    turn. There each direction is kept with probability 1/2, so that for few channels a projection is often 0 or 1 and
    leaves taps empty: in half of all draws of 3 x 3 taps from 3 to 4 channels.

    Example:
        >>> from keras_initkit.theory import convolution_singular_values
        >>> kernel = keras.ops.convert_to_numpy(ConvOrthogonal(seed=0)((3, 3, 4, 6)))
        >>> values = convolution_singular_values(kernel, (8, 8))
        >>> print(f"from {values.min():.4f} to {values.max():.4f}")
        from 1.0000 to 1.0000

    Args:
        gain: the singular value, above 0. Default 1; the paper uses the critical one of the activation.
        groups: the `groups` of the convolution, at least 1. Default 1.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `gain` is not positive, `groups` does not divide O, or the shape has less than 2 axes.

    Reference:
        Lechao Xiao, Yasaman Bahri, Jascha Sohl-Dickstein, Samuel S. Schoenholz, Jeffrey Pennington, "Dynamical Isometry
        and a Mean Field Theory of CNNs: How to Train 10,000-Layer Vanilla Convolutional Neural Networks", 2018,
        https://arxiv.org/abs/1806.05393 (algorithm 1)
    """

    def _kernels(self, count: int, window: tuple[int, ...], inputs: int, outputs: int, draws: Draws) -> Tensor:
        few, many = sorted((inputs, outputs))
        kernels = _orthogonal_convolutions(count, window, few, many, draws)
        return draws.xp.swapaxes(kernels, -1, -2) if inputs > outputs else kernels


def _orthogonal_convolutions(blocks: int, window: tuple[int, ...], few: int, many: int, draws: Draws) -> Tensor:
    """Return kernels of shape (B, *k, few, many) whose rows are orthonormal at each frequency.

    Starting from Q costs less than from the projections, whose products are (many, many) matrices. The ranks alternate
    so that energy is spread evenly around the centre tap. Taps that are still zero are computed too: with one shape for
    all steps JAX compiles each function once.
    """
    xp = draws.xp
    matrices = haar(blocks, few, many, draws)
    unfilled = [(0, size - 1) for size in window]
    with exact_products(matrices) as dtype:
        first_tap = xp.reshape(cast(matrices, dtype), (blocks, *(1 for _ in window), few, many))
        kernels = xp.pad(first_tap, [(0, 0), *unfilled, (0, 0), (0, 0)])
        for step in range(max(window, default=1) - 1):
            rank = (many + 1 - step % 2) // 2
            for axis, size in enumerate(window):
                if step < size - 1:
                    directions = cast(haar(blocks, many, (many + 1) // 2, draws)[:, :, :rank], dtype)
                    kept = _projected(kernels, directions, xp)
                    kernels = kept + xp.roll(kernels - kept, 1, axis=1 + axis)
    return cast(kernels, matrices.dtype)


def _projected(kernels: Tensor, directions: Tensor, xp: Any) -> Tensor:
    """Project the rows of all taps on the span of orthonormal columns (B, n, r)."""
    rows = xp.reshape(kernels, (kernels.shape[0], -1, kernels.shape[-1]))
    rows = xp.matmul(xp.matmul(rows, directions), xp.transpose(directions, (0, 2, 1)))
    return xp.reshape(rows, kernels.shape)
