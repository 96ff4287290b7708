"""Kernels from a hidden state to itself: what one step does, many steps repeat."""

import keras
import numpy as np

from keras_initkit.initializers.base import KernelInitializer, Tensor, from_canonical
from keras_initkit.initializers.precision import cast, constant, exact_products
from keras_initkit.theory.fans import KernelLayout


@keras.saving.register_keras_serializable(package="keras_initkit")
class NormalizedPositive(KernelInitializer):
    """Positive definite recurrent kernel whose largest eigenvalue is 1 (np-RNN).

    W = (A + 1) / λ_max(A + 1), A = RᵀR / U, where R (U, U) has independent entries from N(0, 1), 1 is the identity
    and λ_max the largest eigenvalue. A has eigenvalues from 0 to about 4, so those of W lie between 1/5 and 1: without
    input, a state fades along all directions but one, along which it neither grows nor fades. Being symmetric and
    positive, W cannot turn states around.

    Meant for the recurrent kernel of a `SimpleRNN` with relu, as a kernel that, unlike the identity, connects the units
    and needs less care with learning rates. For the gates of LSTM and GRU use it in `PerGate`.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(NormalizedPositive(seed=0)((8, 8)))
        >>> values = np.linalg.eigvalsh(kernel)
        >>> print(bool(values.min() > 0), f"{values.max():.4f}")
        True 1.0000

    Args:
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if the kernel is not a square matrix.

    Reference:
        Sachin S. Talathi, Aniket Vartak, "Improving performance of recurrent neural network with relu nonlinearity",
        2015, https://arxiv.org/abs/1511.03771
    """

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = _checked_layout(self, self._layout(shape), shape)
        units = layout.inputs
        draws = self._draws(dtype)
        xp = draws.xp
        gaussian = draws.normal((layout.blocks, units, units))
        with exact_products(gaussian) as precise:
            factor = cast(gaussian, precise)
            positive = xp.matmul(xp.transpose(factor, (0, 2, 1)), factor) / units
            positive = positive + constant(np.eye(units), positive)
            largest = xp.linalg.eigh(positive)[0][:, -1]
            values = positive / xp.reshape(largest, (-1, 1, 1))
        return from_canonical(values, layout)


@keras.saving.register_keras_serializable(package="keras_initkit")
class BlockRotation(KernelInitializer):
    """Orthogonal recurrent kernel of rotations in planes.

    W is block diagonal with blocks [[cos θ, sin θ], [-sin θ, cos θ]], one independent θ ~ U(-π, π) for each pair of
    units; where U is odd, the last unit keeps its value. All eigenvalues, exp(±iθ), lie on the unit circle, so that
    without input a state keeps its norm for ever, while pairs of units turn at speeds of their own: a memory of many
    time scales. A Haar orthogonal kernel has eigenvalues on the circle too, which repel each other, and connects all
    units from the start.

    Meant for recurrent kernels with a linear or nearly linear activation, and for the orthogonal parametrisations of
    the references, whose starting point it is. For the gates of LSTM and GRU use it in `PerGate`.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(BlockRotation(seed=0)((3, 3)))
        >>> print((kernel @ kernel.T).round(4) + 0.0, kernel[2])
        [[1. 0. 0.]
         [0. 1. 0.]
         [0. 0. 1.]] [0. 0. 1.]

    Args:
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if the kernel is not a square matrix.

    Reference:
        Mikael Henaff, Arthur Szlam, Yann LeCun, "Recurrent Orthogonal Networks and Long-Memory Tasks", 2016,
        https://arxiv.org/abs/1602.06662; in this form Mario Lezcano-Casado, David Martínez-Rubio, "Cheap Orthogonal
        Constraints in Neural Networks: A Simple Parametrization of the Orthogonal and Unitary Group", 2019,
        https://arxiv.org/abs/1901.08428
    """

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = _checked_layout(self, self._layout(shape), shape)
        units = layout.inputs
        draws = self._draws(dtype)
        xp = draws.xp
        if units == 1:
            return from_canonical(np.ones((layout.blocks, 1, 1)), layout)
        angles = xp.repeat(draws.uniform((layout.blocks, units // 2), -np.pi, np.pi), 2, axis=1)
        angles = xp.pad(angles, [(0, 0), (0, units % 2)])  # an angle of 0 for the unit that is left over
        turned = np.zeros((units, units))
        first = np.arange(0, units - 1, 2)
        turned[first, first + 1], turned[first + 1, first] = 1.0, -1.0
        kept, turned = (constant(matrix, angles) for matrix in (np.eye(units), turned))
        values = xp.expand_dims(xp.cos(angles), -1) * kept + xp.expand_dims(xp.sin(angles), -1) * turned
        return from_canonical(values, layout)


def _checked_layout(initializer: KernelInitializer, layout: KernelLayout, shape: tuple[int, ...]) -> KernelLayout:
    if layout.inputs != layout.outputs or layout.spatial:
        name = type(initializer).__name__
        raise ValueError(
            f"Expected `shape` to be that of a square matrix: {name} maps a state to itself. Received: shape={shape}. "
            f"Use {name} as `recurrent_initializer` of a SimpleRNN, and PerGate({name}()) for LSTM (4 gates) and GRU "
            "(3 gates)."
        )
    return layout
