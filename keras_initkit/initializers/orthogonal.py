"""Random kernels with orthonormal rows or columns."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_initkit._checks import check_number, describe
from keras_initkit.initializers.activation_gain import kept_number, named_activation
from keras_initkit.initializers.base import KernelInitializer, Seed, Tensor, from_canonical
from keras_initkit.initializers.haar import haar
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
        self.activation: str | None = None
        self.activation_gain: float | None = None
        self._activation_gain = 1.0
        if activation is None and activation_gain is not None:
            raise ValueError(
                "Expected `activation` with `activation_gain`, which is its gain. "
                f"Received: activation=None, activation_gain={describe(activation_gain)}. For a factor use `gain`."
            )
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
