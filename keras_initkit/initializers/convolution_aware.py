"""Random convolution kernels whose filters are orthogonal in Fourier space."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_number
from keras_initkit.initializers.base import KernelInitializer, Seed, Tensor
from keras_initkit.initializers.haar import haar
from keras_initkit.initializers.precision import cast, constant, exact_products


@keras.saving.register_keras_serializable(package="keras_initkit")
class ConvolutionAware(KernelInitializer):
    """Convolution whose filters for different input channels are orthogonal in Fourier space.

    For a kernel (*k, I, O), N = ∏k, let F be the frequencies of an image of size k up to their signs: a real filter
    has the same spectrum at f and -f but for conjugation. For each output channel o,

        V[t, i, o] = (1/N) Σ_{f in F} m_f · A_o[i, f] · cos(2π Σ_a f_a t_a / k_a) + ε,   W = c · V,

    where the rows of A_o (I, |F|) are those of random orthogonal matrices (Haar), a new one for each |F| channels; m_f
    is 1 where f = -f and 2 elsewhere; ε ~ N(0, eps_std²); and c makes the mean square of all weights exactly
    2 / (N·I), He's variance. The filters of up to |F| input channels thus respond to different mixtures of
    frequencies, where independent weights overlap by chance.

    For image recognition with small kernels, by the paper. The noise does not follow the size of the kernel, while the
    filters shrink with it: with the default 0.05 it makes up 10 % of the variance at 3 x 3 taps, but three quarters
    at 7 x 7. There are no frequencies in a 1 x 1 kernel, which gets independent normal weights. Dense kernels are
    refused.

    Differs from the authors' code: A is Haar there only approximately (eigenvectors of a symmetrised Gaussian matrix),
    and F has both f and -f along the first axes, which the inverse transform averages, so that filters of two and
    three axes are not quite orthogonal.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(ConvolutionAware(eps_std=0.0, seed=0)((4, 2, 1)))[:, :, 0]
        >>> first, second = np.fft.rfft(kernel, axis=0).T
        >>> print(f"overlap {abs(first @ second.conj()):.4f}")
        overlap 0.0000

    Args:
        eps_std: standard deviation of the noise, at least 0. Default 0.05.
        seed: see `KernelInitializer`.
        input_axes: not used by Keras for convolutions; see `KernelInitializer`.
        output_axes: likewise.

    Raises:
        ValueError: if `eps_std` is negative, or the shape is not that of a convolution.

    Reference:
        Armen Aghajanyan, "Convolution Aware Initialization", 2017, https://arxiv.org/abs/1702.06295
    """

    minimum_rank: ClassVar[int] = 3

    def __init__(
        self,
        eps_std: float = 0.05,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.eps_std = check_number("eps_std", eps_std, minimum=0.0)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if self.input_axes is not None:
            raise ValueError(
                "Expected the kernel of a convolution: ConvolutionAware is not defined for EinsumDense and attention. "
                f"Received: shape={shape}, input_axes={self.input_axes}, output_axes={self.output_axes}. "
                "Use ScaledOrthogonal there."
            )
        *window, inputs, outputs = shape
        taps = math.prod(window)
        draws = self._draws(dtype)
        xp = draws.xp
        if taps == 1:
            values = draws.normal((1, inputs, outputs))
        else:
            waves = half_spectrum_waves(window)
            size = len(waves)
            bases = -(-inputs // size)
            spectra = xp.reshape(haar(outputs * bases, size, size, draws), (outputs, bases * size, size))[:, :inputs]
            noise = self.eps_std * draws.normal((taps, inputs, outputs))
            with exact_products(spectra) as precise:
                rows = cast(spectra, precise)
                filters = cast(xp.matmul(rows, constant(waves, rows)), spectra.dtype)
            values = xp.transpose(filters, (2, 1, 0)) + noise
        scale = xp.sqrt(2.0 / (taps * inputs) / xp.mean(xp.square(values)))
        return xp.reshape(scale * values, shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"eps_std": self.eps_std, **super().get_config()}


def half_spectrum_waves(window: Sequence[int]) -> NDArray[np.float64]:
    """Return the real filters of which each has one frequency, up to its sign, with real coefficient 1.

    Args:
        window: sizes k of the spatial axes.

    Returns:
        Array of shape (|F|, ∏k), the taps flattened.
    """
    waves = []
    for frequency in itertools.product(*map(range, window)):
        mirrored = tuple(-f % k for f, k in zip(frequency, window, strict=True))
        if frequency <= mirrored:
            spectrum = np.zeros(tuple(window))
            spectrum[frequency] = spectrum[mirrored] = 1.0
            waves.append(np.fft.ifftn(spectrum).real.ravel())
    return np.array(waves)
