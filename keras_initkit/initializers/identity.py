"""Deterministic kernels that start a layer as the identity, or as close to it as the widths allow."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_initkit._checks import check_choice, check_integer
from keras_initkit.initializers.base import KernelInitializer, Tensor, at_centre, from_canonical
from keras_initkit.theory.fans import KernelLayout


@keras.saving.register_keras_serializable(package="keras_initkit")
class Dirac(KernelInitializer):
    """Identity on the channels, at the centre tap of a convolution.

    For each group g of G and each d < min(I, O / G): W[c, d, g·O/G + d] = 1, all else 0. I is the number of input
    channels of a group (the kernel's second last axis), O the number of all output channels, and c the centre tap,
    (k - 1) // 2 along an axis of k taps. With stride 1 and `padding="same"` the first min(I, O / G) channels of each
    group pass unchanged, for even k too. A dense kernel (I, O) has no taps: it becomes the identity matrix, cut or
    padded with zeros. In `EinsumDense` and attention, I and O are the flattened input and output axes.

    Units beyond the inputs get only zeros: where O / G > I they are identical, and stay so unless what follows tells
    them apart.

    Example:
        >>> kernel = Dirac()((2, 3, 3))
        >>> print(keras.ops.convert_to_numpy(kernel)[0])
        [[1. 0. 0.]
         [0. 1. 0.]
         [0. 0. 1.]]

    Args:
        groups: the `groups` of the convolution, at least 1. Default 1.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `groups` is not a positive integer or does not divide O, or the shape has less than 2 axes.

    Reference:
        Sergey Zagoruyko, Nikos Komodakis, "DiracNets: Training Very Deep Neural Networks Without Skip-Connections",
        2017, https://arxiv.org/abs/1706.00388 (without the trained weights that the paper adds to the identity)
    """

    seeded: ClassVar[bool] = False

    def __init__(
        self, groups: int = 1, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)
        self.groups = check_integer("groups", groups, 1)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        per_group = outputs_per_group(layout, self.groups)
        matrix = np.tile(np.eye(layout.inputs, per_group, dtype=dtype), (1, self.groups))
        return kernel_of(matrix, layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"groups": self.groups, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class ZerO(KernelInitializer):
    """Identity and Hadamard kernels: weights without random numbers.

    With I inputs and O outputs the matrix is

    - the identity, cut or padded with zero rows, if O <= I;
    - c · H[:I, :O] if O > I, where H is the Hadamard matrix of order p = 2^m, m = ceil(log2 O), with entries
      H[i, j] = (-1)^(number of ones that i and j share in binary).

    A convolution has this matrix at its centre tap, (k - 1) // 2 along an axis of k taps, and zeros elsewhere. In
    `EinsumDense` and attention, I and O are the flattened input and output axes.

    With the default c = 2^(-m/2) the rows are orthonormal where O is a power of two. Elsewhere columns are cut, which
    lowers singular values: to no less than sqrt(1/2) for I <= p / 2, but down to sqrt(2 / p) where I and O both lie
    just above p / 2, as from 129 to 130 units. The values are the same bits on every backend.

    Not all units differ: min(O, 2^ceil(log2 I)) columns are distinct, 4 of 96 from 3 inputs. Equal ones separate in
    training only if their outgoing weights differ. The paper also sets the last kernel of each residual branch and the
    classifier to zero, which is the user's choice.

    Example:
        >>> kernel = ZerO()((2, 4))
        >>> print(keras.ops.convert_to_numpy(kernel))
        [[ 0.5  0.5  0.5  0.5]
         [ 0.5 -0.5  0.5 -0.5]]

    Args:
        scaling: `"code"` (default) for c = 2^(-m/2), which the authors' code uses and which keeps norms, or
            `"paper"` for c = 2^(-(m-1)/2), which the paper prints and which is larger by sqrt(2).
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if `scaling` is unknown or the shape has less than 2 axes.

    Reference:
        Jiawei Zhao, Florian Schäfer, Anima Anandkumar, "ZerO Initialization: Initializing Neural Networks with only
        Zeros and Ones", 2022, https://arxiv.org/abs/2110.12661
    """

    seeded: ClassVar[bool] = False

    def __init__(
        self, scaling: str = "code", input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(input_axes=input_axes, output_axes=output_axes)
        self.scaling = check_choice("scaling", scaling, ("code", "paper"))

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        if layout.outputs <= layout.inputs:
            matrix = np.eye(layout.inputs, layout.outputs, dtype=dtype)
        else:
            order = math.ceil(math.log2(layout.outputs))
            exponent = order if self.scaling == "code" else order - 1
            corner = hadamard(np.arange(layout.inputs), np.arange(layout.outputs))
            matrix = (2.0 ** (-exponent / 2) * corner).astype(dtype)
        return kernel_of(matrix, layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"scaling": self.scaling, **super().get_config()}


def hadamard(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the rows and columns of these numbers from Sylvester's Hadamard matrix, without building the whole."""
    shared = rows[:, None].astype(np.uint32) & columns.astype(np.uint32)
    return 1.0 - 2.0 * (np.bitwise_count(shared) % 2)


def outputs_per_group(layout: KernelLayout, groups: int) -> int:
    """Return O / G, or say that the groups do not divide the outputs."""
    if layout.outputs % groups:
        raise ValueError(
            f"Expected `groups` to divide the {layout.outputs} output channels. Received: groups={groups}. "
            "Give the initializer the `groups` of its layer."
        )
    return layout.outputs // groups


def kernel_of(matrix: NDArray[Any], layout: KernelLayout) -> Tensor:
    """Return the kernel with a matrix (I, O) at its centre tap, the same for all of its blocks."""
    matrices = np.broadcast_to(matrix, (layout.blocks, *matrix.shape))
    return from_canonical(at_centre(matrices, layout.spatial, np), layout)
