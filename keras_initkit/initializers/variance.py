"""Independent weights of one distribution whose variance follows from the fans."""

import math
from abc import abstractmethod

from keras_initkit.initializers.base import KernelInitializer, Tensor
from keras_initkit.initializers.drawing import unit_draws
from keras_initkit.theory.fans import fans


class VarianceKernel(KernelInitializer):
    """Base class: independent weights of mean 0 and a variance that is a function of the fans.

    Subclasses say what the variance is. `LayerFans` asks the same question with the fans of another kind of layer.
    """

    distribution: str  # one of `DISTRIBUTIONS`, set after Keras' own `__init__`, which sets another

    @abstractmethod
    def variance(self, fan_in: float, fan_out: float) -> float:
        """Return the variance of a weight in a layer with these fans."""

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        std = math.sqrt(self.variance(*fans(shape, self.input_axes, self.output_axes)))
        return std * unit_draws(self._draws(dtype), self.distribution, shape)
