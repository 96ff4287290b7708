"""Independent weights scaled for an activation."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_initkit._checks import check_choice
from keras_initkit.initializers.activation_gain import kept_number, named_activation
from keras_initkit.initializers.base import Seed
from keras_initkit.initializers.drawing import DISTRIBUTIONS
from keras_initkit.initializers.variance import VarianceKernel
from keras_initkit.theory.gains import MODES, gain


@keras.saving.register_keras_serializable(package="keras_initkit")
class ActivationScaled(VarianceKernel):
    """Independent weights whose variance is right for any activation.

    W has mean 0 and variance g² / n, where

    - g is the gain of the activation f, `keras_initkit.theory.gain(f, mode)`: with z ~ N(0, 1), 1 / sqrt(E f(z)²) for
      `mode="forward"`, 1 / sqrt(Var f(z)) for `"variance"`, 1 / sqrt(E f'(z)²) for `"backward"`, and the weight scale
      at the edge of chaos without biases for `"critical"`;
    - n is fan_in, and for `"backward"` fan_out. A kernel (*k, I, O) has fan_in = ∏k · I and fan_out = ∏k · O; for other
      layers than dense and convolutional ones wrap it in `LayerFans`.

    He's scheme is the case of relu, LeCun's that of selu and linear. `"forward"` keeps the size of signals at the
    start; for activations that bend (tanh, gelu, silu) gradients then grow or shrink slowly with depth, which
    `"critical"` avoids where it exists.

    Example:
        >>> kernel = ActivationScaled("gelu", seed=0)((400, 300))
        >>> print(f"400 · variance {400 * keras.ops.convert_to_numpy(kernel).var():.1f}, gain² {gain('gelu') ** 2:.2f}")
        400 · variance 2.4, gain² 2.35
        >>> round(ActivationScaled(keras.layers.LeakyReLU(0.3)).variance(fan_in=100, fan_out=50), 5)
        0.01835

    Args:
        activation: the activation that the layer's inputs came through, which in a plain stack is that of every hidden
            layer: a name in `keras_initkit.theory.ACTIVATIONS`, one of Keras' functions, an activation layer such as
            `keras.layers.LeakyReLU(0.3)`, or an elementwise function of your own in NumPy or `keras.ops`. The
            configuration of one that has no name keeps what it is called and its gain, so that models load without it.
        mode: one of `"forward"` (default), `"variance"`, `"backward"`, `"critical"`.
        distribution: one of `"truncated_normal"` (default; cut at 2 standard deviations of the normal distribution
            that it is cut from), `"untruncated_normal"`, `"uniform"`.
        activation_gain: g, above 0, if it is known. None (default) computes it.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if an argument is none of these, the function is not elementwise, has no gain of that mode, or the
            shape has less than 2 axes.

    Reference:
        Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, "Delving Deep into Rectifiers: Surpassing Human-Level
        Performance on ImageNet Classification", 2015, https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self,
        activation: str | Callable[..., Any],
        mode: str = "forward",
        distribution: str = "truncated_normal",
        activation_gain: float | None = None,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.mode = check_choice("mode", mode, MODES)
        self.distribution = check_choice("distribution", distribution, DISTRIBUTIONS)
        named = named_activation(activation, activation_gain)
        self.activation = named.name
        self._gain = kept_number("activation_gain", activation_gain, named, lambda f: gain(f, mode))
        self.activation_gain = activation_gain if named.known else self._gain

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return g² / fan_in, or g² / fan_out for gradients."""
        return self._gain**2 / (fan_out if self.mode == "backward" else fan_in)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the gain in place of a function without a name."""
        return {
            "activation": self.activation,
            "mode": self.mode,
            "distribution": self.distribution,
            "activation_gain": self.activation_gain,
            **super().get_config(),
        }
