"""Singular values of a convolution as a linear map."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import describe


def convolution_singular_values(kernel: NDArray[np.floating], size: Sequence[int]) -> NDArray[np.float64]:
    """Compute all singular values of a stride-1 convolution with circular padding.

    Circular convolution is block diagonal in the Fourier basis: at each frequency ω it multiplies the I input channels
    by the (I, O) matrix Σ_t kernel[t] exp(-iωt), so the singular values of the whole map are those of these matrices.
    An isometry has all of them equal to 1.

    Args:
        kernel: array of shape (*k, I, O): d spatial axes, then inputs, then outputs.
        size: the d sizes of the image; each at least as large as the kernel's.

    Returns:
        Array of shape (*size, min(I, O)), descending along the last axis, all at least 0.

    Raises:
        ValueError: if the sizes do not fit the kernel.

    Example:
        >>> identity = np.zeros((3, 1, 1))
        >>> identity[1] = 1
        >>> convolution_singular_values(identity, (4,)).ravel()
        array([1., 1., 1., 1.])

    Reference:
        Hanie Sedghi, Vineet Gupta, Philip M. Long, "The Singular Values of Convolutional Layers", 2019,
        https://arxiv.org/abs/1805.10408
    """
    kernel = np.asarray(kernel, dtype=np.float64)
    window = kernel.shape[:-2]
    size = tuple(size)
    if kernel.ndim < 2 or len(size) != len(window) or any(n < k for n, k in zip(size, window, strict=True)):
        raise ValueError(
            "Expected `size` to hold one image size per spatial axis of `kernel`, none smaller than the kernel. "
            f"Received: size={size}, kernel={describe(kernel)}."
        )
    spectrum = np.fft.fftn(kernel, s=size, axes=tuple(range(len(size)))) if size else kernel
    return np.asarray(np.linalg.svd(spectrum, compute_uv=False))
