"""A fresh value for every variable, although the seed is fixed."""

from collections import Counter
from typing import Any, ClassVar

import keras

from keras_initkit.initializers.base import Seed, Tensor
from keras_initkit.initializers.drawing import derived_seed
from keras_initkit.initializers.wrapping import Axes, WrapperInitializer


class CountingSeed(int):
    """An integer seed that all copies of a configuration share, with the number of calls made so far.

    Keras copies initializers by `from_config(get_config())` within one process. An int of this class passes through
    with its counts; JSON writes it as the plain number, so that a copy from a file starts over.
    """

    counts: Counter[tuple[int, ...]]

    def __new__(cls, value: int) -> "CountingSeed":
        """Return the seed itself if it counts already."""
        if isinstance(value, cls):
            return value
        seed = super().__new__(cls, value)
        seed.counts = Counter()
        return seed

    def next(self, shape: tuple[int, ...]) -> int:
        """Return the seed of the next call for a shape."""
        number = self.counts[shape]
        self.counts[shape] = number + 1
        seed: int = derived_seed(int(self), number, *shape)
        return seed


@keras.saving.register_keras_serializable(package="keras_initkit")
class Distinct(WrapperInitializer):
    """The wrapped initializer with new values at each call, reproducible from one integer.

    In Keras an initializer with an integer seed gives the same values at each call, and so do the copies of it that
    attention layers make for query, key and value, and `Bidirectional` for its two directions: with
    `GlorotUniform(seed=1)` the three kernels of an attention layer are equal, bit for bit. A `SeedGenerator` does not
    help, since each copy restarts it.

    Here the n-th call for a shape draws with a seed derived from (seed, shape, n), and all copies made in the process
    count together. The same program with the same seed gives the same model; no two variables are equal. A copy that
    was written to a file and read again starts over, which matters only to code that builds new layers from it.

    Example:
        >>> shared = Distinct("glorot_uniform", seed=1)
        >>> attention = keras.layers.MultiHeadAttention(2, 4, kernel_initializer=shared)
        >>> attention.build((None, 3, 8), (None, 3, 8))
        >>> query, key = attention.query_dense.kernel, attention.key_dense.kernel
        >>> bool(keras.ops.any(query == key))
        False

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        seed: see `CheckedInitializer`. A seed given to the wrapped initializer instead becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if both initializers have a seed, or the seed is a `SeedGenerator`.
    """

    outermost: ClassVar[bool] = True

    def __init__(self, initializer: Any, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        if isinstance(self.seed, keras.random.SeedGenerator):
            raise ValueError(
                "Expected `seed` to be an integer or None: Distinct counts its calls itself, and the copies that Keras "
                "makes of a `SeedGenerator` would all start over. Received: a SeedGenerator."
            )
        self._counting = CountingSeed(self.seed)
        self.seed = self._counting  # the attribute that `EinsumDense` copies

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        return self._wrapped(shape, dtype, seed=self._counting.next(shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer; copies made from it count together with this one."""
        config = super().get_config()
        return config if config["seed"] is None else {**config, "seed": self._counting}
