"""Kernels of transposed convolutions."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from keras_initkit.initializers.base import Seed, Tensor, from_canonical
from keras_initkit.initializers.independent import independent_draws
from keras_initkit.initializers.wrapping import Axes, WrapperInitializer


@keras.saving.register_keras_serializable(package="keras_initkit")
class Transposed(WrapperInitializer):
    """The wrapped initializer with inputs and outputs exchanged.

    The kernel of `Conv2DTranspose` is (*k, O, I), outputs before inputs, and every initializer reads it the other way
    round. Here V is drawn for (*k, I, O) and W[t, o, i] = V[t, i, o]. Variance scaling then sees the true inputs (for
    strides see `LayerFans`), and what holds for a convolution with the kernel V holds for the transposed one: with
    stride 1 and `padding="same"`, `Transposed("dirac")` returns its input, `Transposed("delta_orthogonal")` is an
    isometry, and `Transposed("sparse")` gives every unit its number of inputs.

    In `EinsumDense` and attention, the flattened input and output axes are exchanged in the same way: W is the
    transpose of the matrix that the wrapped initializer draws for n_out inputs and n_in outputs.

    Example:
        >>> print(Transposed("sparse")((3, 3, 8, 16)).shape == (3, 3, 8, 16))
        True

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        seed: see `KernelInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; the wrapped initializer draws with inputs and outputs exchanged.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if both initializers have a seed, the shape has less than 2 axes, or the wrapped scheme is not
            defined for the exchanged shape.
    """

    minimum_rank: ClassVar[int] = 2
    excluded: ClassVar[Mapping[str, str]] = {
        "LayerFans": "The exchanged kernel has plain fans; wrap the scheme without it, or use LayerFans alone."
    }

    def __init__(self, initializer: Any, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if self.input_axes is None:
            *window, outputs, inputs = shape
            return ops.swapaxes(self._wrapped((*window, inputs, outputs), dtype, plain=True), -1, -2)
        layout = self._layout(shape)
        exchanged = (layout.outputs, layout.inputs)
        matrices = independent_draws(self.initializer, layout.blocks, exchanged, dtype, self.seed)
        return from_canonical(ops.swapaxes(matrices, -1, -2), layout)
