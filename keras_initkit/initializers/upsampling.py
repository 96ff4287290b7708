"""Kernels that make a layer enlarge images as interpolation does."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_initkit._checks import check_choice, check_integer
from keras_initkit.initializers.base import KernelInitializer, Seed, Tensor
from keras_initkit.initializers.wrapping import WrapperInitializer

_ORDERS = ("depth_to_space", "pixel_shuffle")


@keras.saving.register_keras_serializable(package="keras_initkit")
class Bilinear(KernelInitializer):
    """Transposed convolution that starts as linear interpolation of each channel.

    W[t, o, i] = ∏_a (1 - |t_a - (k_a - 1) / 2| / f_a) if o = i, else 0, where t is the tap, k_a the number of taps
    along axis a, and f_a = ⌈k_a / 2⌉. Kernels are those of `Conv1DTranspose` to `Conv3DTranspose`, (*k, O, I), with
    O = I.

    With strides s, k = 2s - s mod 2 along each axis and `padding="same"`, the layer enlarges images s times exactly as
    `keras.ops.image.resize(..., interpolation="bilinear")` does, except near the border, where padding counts as
    zeros. For such k this is also the kernel of Caffe, MXNet and Paddle, whose formula for the centre is lopsided for
    some other k.

    Channels stay apart: put a convolution before or after to mix them or to change their number.

    Example:
        >>> kernel = Bilinear()((4, 1, 1))
        >>> print(keras.ops.convert_to_numpy(kernel).ravel())
        [0.25 0.75 0.75 0.25]

    Args:
        input_axes: as in `KernelInitializer`; a kernel with given axes has no taps and is refused.
        output_axes: likewise.

    Raises:
        ValueError: if the shape has less than 3 axes, or its last two differ.

    Reference:
        Jonathan Long, Evan Shelhamer, Trevor Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015,
        https://arxiv.org/abs/1411.4038
    """

    seeded: ClassVar[bool] = False
    minimum_rank: ClassVar[int] = 3

    def __init__(self, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        check_convolution(self, shape)
        if shape[-1] != shape[-2]:
            raise ValueError(
                "Expected `shape` to be (*k, O, I) with O = I: Bilinear enlarges each channel by itself. "
                f"Received: shape={shape}, from {shape[-1]} to {shape[-2]} channels. Change the number of channels in "
                "a convolution of its own, before or after."
            )
        window = reduce(np.multiply.outer, [_triangle(size) for size in shape[:-2]])
        return np.multiply.outer(window, np.eye(shape[-1]))


@keras.saving.register_keras_serializable(package="keras_initkit")
class ICNR(WrapperInitializer):
    """Convolution before a `depth_to_space` that starts as enlargement by repeating pixels, without checkerboards.

    W[..., q] = V[..., q mod C], where V are values of the wrapped initializer for the kernel (*k, I, C), d = len(k),
    r = `scale` and C = O / r^d. `keras.ops.depth_to_space` (and TensorFlow's) puts channel q = b · C + c of a pixel at
    position b of an r × r block of channel c, so that all pixels of a block start equal: the output is the one of the
    convolution V, enlarged by its nearest neighbours. Independent weights would give a grid of r^d different filters,
    the checkerboard. torch's `pixel_shuffle` numbers q = c · r^d + b, which is `order="pixel_shuffle"`.

    Fans are those of (*k, I, C). The r^d units of a channel are equal by design. Their outputs land on different
    pixels, so that they separate in the first step, by their outgoing weights or by the errors of those pixels.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(ICNR("he_normal", scale=2, seed=0)((3, 3, 8, 12)))
        >>> bool((kernel[..., :3] == kernel[..., 9:]).all()), bool((kernel[..., 0] == kernel[..., 1]).any())
        (True, False)

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        scale: factor r of the enlargement, the `block_size` of `depth_to_space`; at least 1.
        order: which channels form a block: `"depth_to_space"` (default) or `"pixel_shuffle"`.
        seed: see `CheckedInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: as in `KernelInitializer`; a kernel with given axes has no taps and is refused.
        output_axes: likewise.

    Raises:
        ValueError: if an argument is out of range, both initializers have a seed, the shape has less than 3 axes, or
            r^d does not divide O.

    Reference:
        Andrew Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017,
        https://arxiv.org/abs/1707.02937
    """

    minimum_rank: ClassVar[int] = 3

    def __init__(
        self,
        initializer: Any,
        scale: int,
        order: str = "depth_to_space",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.scale = check_integer("scale", scale, 1)
        self.order = check_choice("order", order, _ORDERS)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        check_convolution(self, shape)
        block = self.scale ** (len(shape) - 2)
        if shape[-1] % block:
            raise ValueError(
                f"Expected the number of filters to be a multiple of {block}, which is `scale` to the power of the "
                f"{len(shape) - 2} spatial axes. Received: shape={shape}, scale={self.scale}. Give the layer {block} "
                "times the channels wanted after `depth_to_space`."
            )
        values = self._wrapped((*shape[:-1], shape[-1] // block), dtype, plain=True)
        if self.order == "pixel_shuffle":
            return ops.repeat(values, block, axis=-1)
        return ops.tile(values, (*(1 for _ in shape[:-1]), block))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"scale": self.scale, "order": self.order, **super().get_config()}


def check_convolution(initializer: KernelInitializer, shape: tuple[int, ...]) -> None:
    """Refuse a kernel of `EinsumDense`, whose axes are told and none of which is a tap."""
    if initializer.input_axes is not None:
        name = type(initializer).__name__
        raise ValueError(
            f"Expected the kernel of a convolution: {name} needs spatial axes. Received: shape={shape} with "
            f"input_axes={initializer.input_axes}. Use {name} for convolutions only."
        )


def _triangle(size: int) -> Tensor:
    """Return the weights of linear interpolation along an axis of `size` taps."""
    return 1.0 - np.abs(np.arange(size) - (size - 1) / 2) / math.ceil(size / 2)
