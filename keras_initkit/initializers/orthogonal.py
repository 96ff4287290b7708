"""Random kernels with orthonormal rows or columns."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_initkit._checks import check_integer, check_number
from keras_initkit.initializers.activation_gain import kept_number, named_activation
from keras_initkit.initializers.base import KernelInitializer, Seed, Tensor, at_centre, from_canonical
from keras_initkit.initializers.haar import haar
from keras_initkit.initializers.identity import outputs_per_group
from keras_initkit.theory.gains import gain as gain_of


@keras.saving.register_keras_serializable(package="keras_initkit")
class ScaledOrthogonal(KernelInitializer):
    """Random orthogonal kernel, scaled so that signals keep their size through activations and changes of width.

    W = gain · g · max(1, sqrt(n_out / n_in)) · Q, where

    - Q is (n_in, n_out) with orthonormal columns (rows, if n_out > n_in), uniform over all such matrices (Haar):
      the Q factor of a Gaussian matrix, its columns multiplied by the signs of diag(R);
    - g = 1 / sqrt(E f(z)²), z ~ N(0, 1), is the forward gain of the activation f, see `keras_initkit.theory.gain`;
    - the last factor undoes the shrinking of a wide layer, where each unit sees a projection of too small a norm.
      Keras' `Orthogonal` leaves it out: from 64 to 256 units it quarters the variance.

    A convolution kernel (*k, I, O) is flattened to n_in = ∏k · I rows and n_out = O columns, as in Keras; it is not an
    isometry of images, for which there is `DeltaOrthogonal`. In `EinsumDense` and attention, the flattened input and
    output axes count.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(ScaledOrthogonal(seed=0)((3, 12)))
        >>> print((kernel @ kernel.T).round(4) + 0.0)
        [[4. 0. 0.]
         [0. 4. 0.]
         [0. 0. 4.]]

    Args:
        activation: the activation that the layer's inputs came through, which in a plain stack is that of every hidden
            layer: None (default, g = 1), a name in `keras_initkit.theory.ACTIVATIONS`, one of Keras' functions, an
            activation layer such as `keras.layers.LeakyReLU(0.3)`, or an elementwise function of your own in NumPy or
            `keras.ops`. The configuration of one that has no name keeps what it is called and its gain, so that models
            load without it.
        gain: further factor, above 0. Default 1.
        activation_gain: g, above 0, if it is known. None (default) computes it.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if the activation is unknown or not elementwise, a gain is not positive, or the shape has less than
            2 axes.

    Reference:
        Andrew M. Saxe, James L. McClelland, Surya Ganguli, "Exact solutions to the nonlinear dynamics of learning in
        deep linear neural networks", 2014, https://arxiv.org/abs/1312.6120. The factor for wide layers is that of
        James Martens et al., "Rapid training of deep neural networks without skip connections or normalization layers
        using Deep Kernel Shaping", 2021, https://arxiv.org/abs/2110.01765
    """

    def __init__(
        self,
        activation: str | Callable[..., Any] | None = None,
        gain: float = 1.0,
        activation_gain: float | None = None,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.gain = check_number("gain", gain, minimum=0.0, exclusive=True)
        self.activation, self.activation_gain, self._activation_gain = None, activation_gain, activation_gain or 1.0
        if activation is not None:
            named = named_activation(activation, activation_gain)
            self.activation = named.name
            self._activation_gain = kept_number("activation_gain", activation_gain, named, gain_of)
            self.activation_gain = activation_gain if named.known else self._activation_gain

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        rows, columns = math.prod(layout.spatial) * layout.inputs, layout.outputs
        scale = self.gain * self._activation_gain * math.sqrt(max(1.0, columns / rows))
        return from_canonical(scale * haar(layout.blocks, rows, columns, self._draws(dtype)), layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        config = {"activation": self.activation, "gain": self.gain, "activation_gain": self.activation_gain}
        return {**config, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class DeltaOrthogonal(KernelInitializer):
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

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        layout = self._layout(shape)
        per_group = outputs_per_group(layout, self.groups)
        draws = self._draws(dtype)
        xp = draws.xp
        taps = haar(layout.blocks * self.groups, layout.inputs, per_group, draws)
        taps = xp.reshape(taps, (layout.blocks, self.groups, layout.inputs, per_group))
        taps = xp.reshape(xp.transpose(taps, (0, 2, 1, 3)), (layout.blocks, layout.inputs, layout.outputs))
        return from_canonical(at_centre(self.gain * taps, layout, xp), layout)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"gain": self.gain, "groups": self.groups, **super().get_config()}
