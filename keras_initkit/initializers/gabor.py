"""A first layer of oriented edge and line detectors."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_initkit._checks import check_integer, check_number
from keras_initkit.initializers.base import KernelInitializer, Tensor
from keras_initkit.initializers.upsampling import check_convolution

_SHORTEST = 3.0  # pixels; waves of 2 pixels cannot tell their direction


@keras.saving.register_keras_serializable(package="keras_initkit")
class Gabor(KernelInitializer):
    """Bank of Gabor filters for the first `Conv2D` of an image network.

    Filter o is g(x, y) = exp(-(u² + γ² v²) / (2σ²)) · cos(2π u / λ + ψ), with u = x cos θ + y sin θ along the wave and
    v = -x sin θ + y cos θ across it; x (second axis of the window) and y (first) are counted from its centre in
    pixels. From it the multiple of the envelope that makes its sum 0 is taken off, and it is scaled to norm `gain`. All
    I input channels get g / sqrt(I): the filters see brightness, not colour. Units go through a grid,

    - orientation θ = π (o mod N) / N, with N = `orientations`: the direction in which brightness changes;
    - phase ψ = 0 (lines) for N units, then -π / 2 (edges) for the next N;
    - wavelength λ = 3 · ((k + 1) / 3)^((w + 1/2) / M) for the next 2N units each, w = ⌊o / 2N⌋ of M = ⌈O / 2N⌉, with k
      the shorter side of the window: from 3 pixels to a period that just exceeds the window, in equal ratios;
    - σ = λ / π · sqrt(log(2) / 2) · (2^B + 1) / (2^B - 1), B = `bandwidth` being the width of the filter's
      response in octaves of frequency; γ = `aspect` makes the filter longer along its lines.

    All units differ. A window below 5 × 5 cannot tell wavelengths apart, up to 6 digits for edges along an axis, so it
    is served up to 2N filters.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(Gabor(orientations=2)((3, 3, 1, 4)))
        >>> print(kernel[..., 0, 2].round(2) + 0.0)  # the edge from left to right
        [[-0.4   0.    0.4 ]
         [-0.42  0.    0.42]
         [-0.4   0.    0.4 ]]

    Args:
        orientations: number N of directions, at least 1. Default 8.
        bandwidth: B in octaves, above 0. Default 1.
        aspect: γ, above 0. Default 0.5.
        gain: norm of each unit, above 0. Default 1.
        input_axes: as in `KernelInitializer`; a kernel with given axes has no taps and is refused.
        output_axes: likewise.

    Raises:
        ValueError: if an argument is out of range, or the shape is not that of a `Conv2D` kernel with a window of at
            least 3 × 3, and 5 × 5 for more than 2N filters.

    Reference:
        John G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and orientation optimized by
        two-dimensional visual cortical filters", 1985, https://doi.org/10.1364/JOSAA.2.001160
    """

    seeded: ClassVar[bool] = False
    minimum_rank: ClassVar[int] = 4

    def __init__(
        self,
        orientations: int = 8,
        bandwidth: float = 1.0,
        aspect: float = 0.5,
        gain: float = 1.0,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)
        self.orientations = check_integer("orientations", orientations, 1)
        self.bandwidth = check_number("bandwidth", bandwidth, minimum=0.0, exclusive=True)
        self.aspect = check_number("aspect", aspect, minimum=0.0, exclusive=True)
        self.gain = check_number("gain", gain, minimum=0.0, exclusive=True)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        check_convolution(self, shape)
        if len(shape) != 4 or min(shape[:2]) < 3:
            raise ValueError(
                "Expected `shape` to be (h, w, I, O), the kernel of a Conv2D, with a window of at least 3 × 3. "
                f"Received: shape={shape}. Gabor filters are for images; use DCT for other windows."
            )
        height, width, inputs, units = shape
        if min(height, width) < 5 and units > 2 * self.orientations:
            raise ValueError(
                f"Expected at most 2 · `orientations` = {2 * self.orientations} filters in a window below 5 × 5, which "
                f"cannot tell wavelengths apart. Received: shape={shape}. Use a larger window or "
                f"orientations={-(-units // 2)}."
            )
        turn, orientation = np.divmod(np.arange(units), self.orientations)
        step, phase = np.divmod(turn, 2)
        angle = math.pi / self.orientations * orientation
        wavelength = _SHORTEST * ((min(height, width) + 1) / _SHORTEST) ** ((step + 0.5) / (step[-1] + 1))
        octaves = 2.0**self.bandwidth
        sigma = wavelength / math.pi * math.sqrt(math.log(2.0) / 2) * (octaves + 1) / (octaves - 1)

        y = (np.arange(height) - (height - 1) / 2)[:, None, None]
        x = (np.arange(width) - (width - 1) / 2)[:, None]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        envelope = np.exp(-(along**2 + (self.aspect * across) ** 2) / (2 * sigma**2))
        turns = along / wavelength - phase / 4
        wave = envelope * np.cos(2 * math.pi * turns)
        filters = wave - envelope * (wave.sum(axis=(0, 1)) / envelope.sum(axis=(0, 1)))
        filters *= self.gain / np.sqrt(inputs * np.square(filters).sum(axis=(0, 1)))
        return np.broadcast_to(filters[:, :, None, :], shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {
            "orientations": self.orientations,
            "bandwidth": self.bandwidth,
            "aspect": self.aspect,
            "gain": self.gain,
            **super().get_config(),
        }
