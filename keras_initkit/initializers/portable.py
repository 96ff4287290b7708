"""The same random values for the same seed on TensorFlow, JAX and torch."""

from typing import Any

import keras

from keras_initkit.initializers.base import Seed, Tensor
from keras_initkit.initializers.drawing import PortableSeed
from keras_initkit.initializers.wrapping import Axes, WrapperInitializer


@keras.saving.register_keras_serializable(package="keras_initkit")
class Portable(WrapperInitializer):
    """The wrapped initializer, drawing numbers that do not depend on the backend.

    Keras' backends have generators of their own, so `GlorotUniform(seed=1)` gives other weights on JAX than on
    TensorFlow. With this wrapper the numbers come from NumPy's Philox counter generator, whose raw sequence is fixed by
    definition; they are made uniform or normal, and factorised where the scheme does that, in float64, and rounded
    once. The distribution is that of the wrapped scheme. Values are the same bits on every backend of one machine; a QR
    decomposition may differ in the last bits of float64 between processors, of which float32 rarely shows anything.

    The draws run on the CPU, at 30 to 100 ns per number several times as slowly as those of a backend.

    Example:
        >>> kernel = Portable("he_normal", seed=1)((2, 3))
        >>> print(keras.ops.convert_to_numpy(kernel).round(4))
        [[ 0.9307 -1.0581  1.6281]
         [-0.5517  1.9838 -0.077 ]]

    Args:
        initializer: one of the kit's or of Keras' initializers; whatever `keras_initkit.initializers.get` takes.
        seed: see `CheckedInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if both initializers have a seed, or the wrapped one draws in a way that is not known here.

    Reference:
        John K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011,
        https://doi.org/10.1145/2063384.2063405
    """

    def __init__(self, initializer: Any, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return self._wrapped(shape, dtype, seed=_portable(self.seed))


def _portable(seed: Seed) -> PortableSeed:
    if isinstance(seed, PortableSeed):
        return seed
    if isinstance(seed, keras.random.SeedGenerator):
        try:
            return PortableSeed(tuple(int(number) for number in keras.ops.convert_to_numpy(seed.next())))
        except Exception as error:  # every backend has an error of its own
            raise ValueError(
                "Expected an integer `seed` for Portable inside a compiled function, where a `SeedGenerator` has no "
                "numbers. Received: a SeedGenerator."
            ) from error
    return PortableSeed((seed,))
