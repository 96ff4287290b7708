"""Kernels that hold several matrices, each drawn by itself: gates, heads, groups of channels."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops

from keras_initkit._checks import check_integer, describe
from keras_initkit.initializers.base import Seed, Tensor, from_canonical
from keras_initkit.initializers.independent import independent_draws
from keras_initkit.initializers.seeding import redrawn
from keras_initkit.initializers.wrapping import Axes, WrapperInitializer
from keras_initkit.theory.fans import KernelLayout

_NO_FANS = {"LayerFans": "Each block is a kernel of its own whose fans are read rightly; wrap the scheme without it."}


@keras.saving.register_keras_serializable(package="keras_initkit")
class PerGate(WrapperInitializer):
    """Every gate of a recurrent kernel drawn by itself.

    The last axis, of n · U entries, is cut into n equal blocks, W = [V_1, ..., V_n]; V_g is a draw of the wrapped
    initializer for the shape (..., U) of one gate, independent of the others. In Keras an LSTM and a ConvLSTM hold the
    gates i, f, c, o (n = 4), a GRU z, r, h (n = 3), and initializers see all of them as one wide matrix:

    - `recurrent_initializer="identity"` puts the identity into the first gate and zeros into the others;
    - `"orthogonal"`, the default, makes the rows of (U, 4U) orthonormal, which leaves the (U, U) matrix of every gate
      with singular values from near 0 to 0.9;
    - Glorot's scheme counts 4U outputs where a gate has U, and gives too small weights.

    Biases (n · U,) and (2, n · U) are cut in the same way. An LSTM asks for the whole of its bias only with
    `unit_forget_bias=False`.

    A `SimpleRNN` has one matrix and needs no `PerGate`. The recipe of the first reference, known as IRNN, is
    `SimpleRNN(units, activation="relu", recurrent_initializer="identity",
    kernel_initializer=RandomNormal(stddev=0.001))` with zero biases.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(PerGate("identity", 4)((3, 12)))
        >>> print([float(gate.trace()) for gate in (kernel[:, :3], kernel[:, 3:6], kernel[:, 6:9], kernel[:, 9:])])
        [3.0, 3.0, 3.0, 3.0]

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        gates: number n of gates, at least 1: 4 for an LSTM or ConvLSTM, 3 for a GRU.
        seed: see `KernelInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if `gates` is no positive integer or does not divide the last axis, both initializers have a seed,
            or the wrapped scheme is not defined for the shape of a gate.

    Reference:
        Quoc V. Le, Navdeep Jaitly, Geoffrey E. Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified
        Linear Units", 2015, https://arxiv.org/abs/1504.00941
    """

    minimum_rank: ClassVar[int] = 1
    excluded: ClassVar[Mapping[str, str]] = _NO_FANS

    def __init__(
        self, initializer: Any, gates: int, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.gates = check_integer("gates", gates, 1)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if shape[-1] % self.gates:
            raise ValueError(
                f"Expected the last axis of `shape` to hold {self.gates} gates of equal size. "
                f"Received: shape={shape}, gates={self.gates}. An LSTM has 4 gates and a GRU 3; the bias of an LSTM is "
                "asked for as a whole only with `unit_forget_bias=False`."
            )
        return _side_by_side(self, self.gates, shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"gates": self.gates, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class Grouped(WrapperInitializer):
    """Every group of a grouped or depthwise convolution drawn by itself.

    - `groups=G`: the kernel (*k, I/G, O) is cut along its last axis into G blocks (*k, I/G, O/G), the outputs of one
      group each, as in `Conv2D(..., groups=G)`;
    - `groups="depthwise"`: the kernel (*k, C, m) of a depthwise convolution is cut along its second last axis into C
      blocks (*k, 1, m), of one channel each.

    Every block is a draw of the wrapped initializer for the shape of the block, independent of the others. Fans, and
    the rows and columns that are to be orthonormal, are then those of the units: He's scheme in a depthwise layer of 64
    channels is 64 times too small in variance without this. For schemes of variance scaling `LayerFans` does the same;
    `Grouped` serves orthogonal, sparse and identity kernels too.

    Example:
        >>> kernel = Grouped("orthogonal", "depthwise", seed=0)((3, 3, 64, 1))
        >>> squares = keras.ops.sum(kernel**2, axis=(0, 1))
        >>> bool(keras.ops.all(abs(squares - 1) < 1e-5))
        True

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        groups: the `groups` of the convolution, at least 1, or `"depthwise"`.
        seed: see `KernelInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if `groups` is neither of these or does not divide O, both initializers have a seed, the shape is
            not that of a convolution, or the wrapped scheme is not defined for the shape of a block.
    """

    minimum_rank: ClassVar[int] = 3
    excluded: ClassVar[Mapping[str, str]] = _NO_FANS

    def __init__(
        self, initializer: Any, groups: int | str, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        if isinstance(groups, str) and groups != "depthwise":
            raise ValueError(f"Expected `groups` to be an integer or 'depthwise'. Received: groups={describe(groups)}.")
        self.groups = groups if isinstance(groups, str) else check_integer("groups", groups, 1)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if isinstance(self.groups, int):
            if shape[-1] % self.groups:
                raise ValueError(
                    f"Expected `groups` to divide the {shape[-1]} output channels. Received: groups={self.groups}, "
                    f"shape={shape}. Give the `groups` of the layer, and 'depthwise' for depthwise layers."
                )
            return _side_by_side(self, self.groups, shape, dtype)
        if self.input_axes is not None:
            raise ValueError(
                "Expected the kernel (*k, C, m) of a depthwise convolution, which has no axes to be told. "
                f"Received: input_axes={self.input_axes}, output_axes={self.output_axes}, shape={shape}. "
                "For kernels of EinsumDense use PerHead."
            )
        *window, channels, multiplier = shape
        blocks = independent_draws(self.initializer, channels, (*window, 1, multiplier), dtype, self.seed)
        return ops.moveaxis(ops.squeeze(blocks, -2), 0, -2)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"groups": self.groups, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class PerHead(WrapperInitializer):
    """Every head of an attention kernel drawn by itself.

    A query, key or value kernel (D, H, K) becomes H matrices (D, K), an output kernel (H, K, D) becomes H matrices (K,
    D); each is a draw of the wrapped initializer for that shape, independent of the others. Keras' `Orthogonal` and
    `Identity` know nothing of heads: the first makes rows orthonormal across heads, so that no head, nor all together,
    is an orthogonal map, and the second refuses the shape.

    Which axes are which comes from `EinsumDense`, and with it the attention layers, from Keras 3.15 on. In general one
    side of the kernel, inputs or outputs, has more than one axis; the last of these is the size of a head, and the
    others, with axes that are on neither side, count the matrices: a fused kernel (D, 3, H, K) holds 3 H of them.

    With K < D every head of an orthogonal query kernel is an isometry on K dimensions, but heads overlap at random.
    `ScaledOrthogonal` makes all heads together one orthogonal matrix instead.

    Example:
        >>> initializer = PerHead("orthogonal", seed=0, input_axes=[0], output_axes=[1, 2])
        >>> kernel = keras.ops.convert_to_numpy(initializer((8, 2, 2)))
        >>> print((kernel[:, 0].T @ kernel[:, 0]).round(4) + 0.0)
        [[1. 0.]
         [0. 1.]]

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        seed: see `KernelInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`. Give them for a kernel outside it, or with Keras before 3.15.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if the axes are not known, no side or both sides of the kernel have more than one, both initializers
            have a seed, or the wrapped scheme is not defined for the shape of a head.
    """

    minimum_rank: ClassVar[int] = 2
    excluded: ClassVar[Mapping[str, str]] = _NO_FANS

    def __init__(self, initializer: Any, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        if self.input_axes is None or self.output_axes is None:
            raise ValueError(
                "Expected `input_axes` and `output_axes`, which EinsumDense gives for its kernel from Keras 3.15 on. "
                f"Received: neither, for shape={shape}. For query, key and value kernels (D, H, K) write "
                "PerHead(..., input_axes=[0], output_axes=[1, 2]), for output kernels (H, K, D) "
                "PerHead(..., input_axes=[0, 1], output_axes=[2]). Biases and dense kernels have no heads."
            )
        layout = KernelLayout.of(shape, *self._axes_of_one_head(shape))
        blocks = independent_draws(self.initializer, layout.blocks, (layout.inputs, layout.outputs), dtype, self.seed)
        return from_canonical(blocks, layout)

    def _axes_of_one_head(self, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
        """Return the axes without those that count heads."""
        KernelLayout.of(shape, self.input_axes, self.output_axes)  # refuses axes that do not fit the shape
        inputs, outputs = self.input_axes or [], self.output_axes or []
        if (len(inputs) > 1) == (len(outputs) > 1):
            raise ValueError(
                "Expected a kernel whose inputs or outputs, not both, have an axis of heads: (D, H, K) or (H, K, D). "
                f"Received: shape={shape}, input_axes={inputs}, output_axes={outputs}. Where both sides have several "
                "axes, as in an attention layer with an `output_shape` of more than one, heads cannot be told: use "
                "ScaledOrthogonal for the layer, or assign that kernel. A kernel without heads needs no PerHead."
            )
        return inputs[-1:], outputs[-1:]


def _side_by_side(wrapper: WrapperInitializer, blocks: int, shape: tuple[int, ...], dtype: str) -> Tensor:
    """Return independent draws of equal shape next to one another along the last axis."""
    drawn: Any = wrapper.initializer
    if wrapper.input_axes is not None and getattr(drawn, "input_axes", None) is None:
        axes = {"input_axes": wrapper.input_axes, "output_axes": wrapper.output_axes}
        drawn = redrawn(drawn, **axes)
    block = (*shape[:-1], shape[-1] // blocks)
    values = independent_draws(drawn, blocks, block, dtype, wrapper.seed)
    return ops.reshape(ops.moveaxis(values, 0, -2), shape)
