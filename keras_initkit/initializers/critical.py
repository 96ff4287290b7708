"""Kernels and biases that put a deep network at the edge of chaos; one is not right without the other."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_initkit._checks import check_choice, check_number
from keras_initkit.initializers.activation_gain import kept_number, named_activation
from keras_initkit.initializers.base import BiasInitializer, Seed, Tensor
from keras_initkit.initializers.drawing import DISTRIBUTIONS, unit_draws
from keras_initkit.initializers.variance import VarianceKernel
from keras_initkit.theory.critical_line import critical_point


class _Critical:
    """What kernel and bias have in common: the same arguments lead to the same critical point."""

    activation: str
    bias_variance: float
    weight_variance: float | None
    distribution: str
    _weight_variance: float

    def _find(self, activation: Any, bias_variance: float, distribution: str, weight_variance: float | None) -> None:
        self.bias_variance = check_number("bias_variance", bias_variance, minimum=0.0)
        self.distribution = check_choice("distribution", distribution, DISTRIBUTIONS)
        named = named_activation(activation, weight_variance)
        self.activation = named.name
        self._weight_variance = kept_number(
            "weight_variance",
            weight_variance,
            named,
            lambda f: critical_point(f, self.bias_variance).weight_variance,
        )
        self.weight_variance = weight_variance if named.known else self._weight_variance

    def _point_config(self) -> dict[str, Any]:
        return {
            "activation": self.activation,
            "bias_variance": self.bias_variance,
            "distribution": self.distribution,
            "weight_variance": self.weight_variance,
        }


@keras.saving.register_keras_serializable(package="keras_initkit")
class CriticalKernel(_Critical, VarianceKernel):
    """Weights at the edge of chaos, for biases from `CriticalBias` with the same arguments.

    W has mean 0 and variance sigma_w² / fan_in. sigma_w² follows from the activation f and the variance sigma_b² of the
    biases: with h ~ N(0, q), both q = sigma_w² E f(h)² + sigma_b² and sigma_w² E f'(h)² = 1 hold, see
    `keras_initkit.theory.critical_point`. Signals then keep their variance q, nearby inputs neither merge nor scatter,
    and gradients neither vanish nor explode, up to depths that grow with the width. For tanh, sigma_b² = 0.05 gives
    sigma_w² = 1.761 and q = 0.570; for relu sigma_b² = 0 is the only choice, and the kernel is He's.

    The first layer sees the inputs of the network in place of f(h); scale these to the mean square of f(h), or accept
    that the variance takes a few layers to settle.

    Example:
        >>> pair = {"activation": "tanh", "bias_variance": 0.05}
        >>> layer = keras.layers.Dense(
        ...     8, "tanh", kernel_initializer=CriticalKernel(**pair), bias_initializer=CriticalBias(**pair)
        ... )
        >>> print(round(CriticalKernel(**pair).variance(fan_in=100, fan_out=1), 7))
        0.0176095

    Args:
        activation: the activation of the network: a name in `keras_initkit.theory.ACTIVATIONS`, one of Keras'
            functions, an activation layer, or an elementwise function of your own in NumPy or `keras.ops`. The
            configuration of one that has no name keeps what it is called and sigma_w², so that models load without it.
        bias_variance: sigma_b², at least 0.
        distribution: one of `"untruncated_normal"` (default, as in the paper), `"truncated_normal"`, `"uniform"`.
        weight_variance: sigma_w², above 0, if it is known. None (default) computes it.
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if an argument is none of these, the function is not elementwise, there is no such point for this
            `bias_variance`, or the shape has less than 2 axes.

    Reference:
        Samuel S. Schoenholz, Justin Gilmer, Surya Ganguli, Jascha Sohl-Dickstein, "Deep Information Propagation", 2017,
        https://arxiv.org/abs/1611.01232
    """

    def __init__(
        self,
        activation: str | Callable[..., Any],
        bias_variance: float,
        distribution: str = "untruncated_normal",
        weight_variance: float | None = None,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self._find(activation, bias_variance, distribution, weight_variance)

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return sigma_w² / fan_in."""
        return self._weight_variance / fan_in

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, sigma_w² in place of a function without a name."""
        return {**self._point_config(), **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class CriticalBias(_Critical, BiasInitializer):
    """Random biases at the edge of chaos, for kernels from `CriticalKernel` with the same arguments.

    b has mean 0 and variance sigma_b² = `bias_variance`. The activation does not change the values; it is there so that
    both initializers of a layer take the same arguments, and it is checked that they have a critical point.

    Example:
        >>> bias = CriticalBias("tanh", bias_variance=0.05, seed=0)((1000,))
        >>> print(f"{keras.ops.convert_to_numpy(bias).std():.1f}, sqrt(0.05) = {0.05**0.5:.2f}")
        0.2, sqrt(0.05) = 0.22

    Args:
        activation: as for `CriticalKernel`.
        bias_variance: sigma_b², at least 0; 0 gives zeros.
        distribution: one of `"untruncated_normal"` (default, as in the paper), `"truncated_normal"`, `"uniform"`.
        weight_variance: sigma_w², above 0, if it is known; not used for the values. None (default) computes it.
        seed: see `CheckedInitializer`.

    Raises:
        ValueError: if an argument is none of these, the function is not elementwise, or there is no such point for this
            `bias_variance`.

    Reference:
        Samuel S. Schoenholz, Justin Gilmer, Surya Ganguli, Jascha Sohl-Dickstein, "Deep Information Propagation", 2017,
        https://arxiv.org/abs/1611.01232
    """

    def __init__(
        self,
        activation: str | Callable[..., Any],
        bias_variance: float,
        distribution: str = "untruncated_normal",
        weight_variance: float | None = None,
        seed: Seed = None,
    ) -> None:
        super().__init__(seed=seed)
        self._find(activation, bias_variance, distribution, weight_variance)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return self.bias_variance**0.5 * unit_draws(self._draws(dtype), self.distribution, shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, sigma_w² in place of a function without a name."""
        return {**self._point_config(), **super().get_config()}
