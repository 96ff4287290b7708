"""What PyTorch's linear and convolution layers start from, for models that are brought over."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_initkit._checks import check_integer
from keras_initkit.initializers.base import BiasInitializer, Seed, Tensor
from keras_initkit.initializers.variance import VarianceKernel


@keras.saving.register_keras_serializable(package="keras_initkit")
class TorchDefault(VarianceKernel):
    """The kernels of `torch.nn.Linear` and `torch.nn.Conv1d`, `Conv2d`, `Conv3d`.

    W ~ U(-b, b), b = 1 / sqrt(fan_in), so the variance is 1 / (3 fan_in): a sixth of He's and a third of LeCun's.
    PyTorch writes it `kaiming_uniform_(a=sqrt(5))`. Biases are drawn too, by `TorchDefaultBias`.

    Fans are read from the shape as Keras reads them. For a transposed kernel (*k, O, I) that gives fan_in = ∏k · O,
    which is what PyTorch takes as well. A depthwise convolution needs `LayerFans(TorchDefault(), "depthwise_conv")`.
    Recurrent layers of PyTorch use b = 1 / sqrt(units) for all weights, embeddings N(0, 1).

    Example:
        >>> kernel = keras.ops.convert_to_numpy(TorchDefault(seed=0)((100, 50)))
        >>> print(f"{abs(kernel).max():.2f}")
        0.10

    Args:
        seed: see `KernelInitializer`.
        input_axes: set by `EinsumDense`; see `KernelInitializer`.
        output_axes: set by `EinsumDense`.

    Raises:
        ValueError: if the shape has less than 2 axes.

    Reference:
        PyTorch, `torch.nn.Linear`, https://pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """

    def __init__(
        self, seed: Seed = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.distribution = "uniform"

    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return 1 / (3 fan_in)."""
        return 1.0 / (3.0 * fan_in)


@keras.saving.register_keras_serializable(package="keras_initkit")
class TorchDefaultBias(BiasInitializer):
    """The biases of `torch.nn.Linear` and `torch.nn.Conv1d`, `Conv2d`, `Conv3d`.

    b ~ U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), where fan_in is that of the layer's kernel. A bias does not show it: it
    must be given. For the recurrent layers of PyTorch it is the number of units.

    Example:
        >>> bias = keras.ops.convert_to_numpy(TorchDefaultBias(fan_in=100, seed=0)((500,)))
        >>> print(f"{abs(bias).max():.2f}")
        0.10

    Args:
        fan_in: inputs of a unit, at least 1: I for a dense kernel (I, O), ∏k · I for a convolution (*k, I, O), see
            `keras_initkit.theory.fans`.
        seed: see `CheckedInitializer`.

    Raises:
        ValueError: if `fan_in` is not a positive integer.

    Reference:
        PyTorch, `torch.nn.Linear`, https://pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """

    def __init__(self, fan_in: int, seed: Seed = None) -> None:
        super().__init__(seed=seed)
        self.fan_in = check_integer("fan_in", fan_in, 1)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        bound = 1.0 / math.sqrt(self.fan_in)
        return self._draws(dtype).uniform(shape, -bound, bound)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer."""
        return {"fan_in": self.fan_in, **super().get_config()}
