"""Another initializer's values, larger or smaller."""

from typing import Any

import keras

from keras_initkit._checks import check_number
from keras_initkit.initializers.base import Seed, Tensor
from keras_initkit.initializers.wrapping import Axes, WrapperInitializer


@keras.saving.register_keras_serializable(package="keras_initkit")
class Scaled(WrapperInitializer):
    """The wrapped initializer's values times a constant: W = gain · V.

    The draw uses `seed` itself, so V are the unwrapped values of the same seed and two gains can be compared pair by
    pair. For the gain of an activation take `gain=keras_initkit.theory.gain("gelu")`: weights of variance
    gain² / fan_in, `Scaled("lecun_normal", gain)`, then keep the second moment of signals.

    Example:
        >>> recurrent = Scaled("identity", 0.5)
        >>> print(keras.ops.convert_to_numpy(recurrent((2, 2))))
        [[0.5 0. ]
         [0.  0.5]]

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        gain: the factor, any finite number.
        seed: see `KernelInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if `gain` is no finite number, both initializers have a seed, or the wrapped scheme is not defined
            for the shape.
    """

    def __init__(
        self, initializer: Any, gain: float, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.gain = check_number("gain", gain)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return self.gain * self._wrapped(shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"gain": self.gain, **super().get_config()}
