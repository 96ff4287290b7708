"""What all initializers of the kit share: seeds, axes, dtypes, configurations."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_initkit._checks import describe
from keras_initkit.initializers.drawing import Draws, PortableSeed, draws
from keras_initkit.theory.fans import KernelLayout

Seed = Any  # None, an int, a keras.random.SeedGenerator or its serialised form; inside the kit also a PortableSeed
Tensor = Any


class CheckedInitializer(keras.initializers.VarianceScaling):
    """Base class: subclasses compute values at float32 or better, this class checks seed, shape and dtype.

    It derives from `VarianceScaling` for one reason: `EinsumDense`, and with it the attention layers, tells only these
    initializers which axes of a kernel are inputs and which are outputs, by rebuilding them from `get_config()` plus
    the keys `seed`, `input_axes` and `output_axes`. Keras versions that pass no axes work too; a kernel of three axes
    is then read as that of a one-dimensional convolution. `scale`, `mode` and `distribution` mean nothing here.

    Args:
        seed: None, an int from 0 to 2³² - 1, or a `keras.random.SeedGenerator`. With None an int is drawn from Python's
            `random`, as in Keras. An int gives the same values at each call, a generator gives new ones. Classes with
            `seeded = False` take no seed; their `seed` attribute is None.

    Raises:
        ValueError: for any other seed.
    """

    seed: Any
    seeded: ClassVar[bool] = True
    minimum_rank: ClassVar[int] = 1

    def __init__(self, seed: Seed = None) -> None:
        seed = checked_seed(seed)
        from_keras = self.seeded and not isinstance(seed, PortableSeed)
        super().__init__(seed=seed if from_keras else 0)
        if not from_keras:
            self.seed = seed if self.seeded else None

    @abstractmethod
    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Return the values as a tensor or array of `shape`; `dtype` is float32 or float64, no axis is empty."""

    def _draws(self, dtype: str) -> Draws:
        """Return the random numbers of one call."""
        return draws(self.seed, dtype)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        """Return a tensor of initial values.

        There is no `layout` argument: under a `keras.distribution` Keras then computes the values as always and shards
        them itself. With the argument, Keras on JAX would call this method under a mesh with explicit axes, in which
        the state of a `SeedGenerator` cannot be read.

        Args:
            shape: sizes of the axes, each at least 0. An axis of size 0 gives an empty tensor.
            dtype: a floating dtype; None means `keras.config.floatx()`. Values are computed at float32, or float64
                where that is asked for, and cast last.

        Returns:
            A tensor of that shape and dtype.

        Raises:
            ValueError: if the scheme is not defined for the shape, or the dtype is not floating.
        """
        name = type(self).__name__
        shape = self._checked_shape(shape)
        dtype = keras.backend.standardize_dtype(dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise ValueError(f"Expected `dtype` to be floating: {name} gives fractions. Received: dtype={dtype!r}.")
        if 0 in shape:
            return ops.zeros(shape, dtype=dtype)
        values = self._values(shape, "float64" if dtype == "float64" else "float32")
        if isinstance(values, np.ndarray) and values.dtype == np.float64 and dtype != "float64":
            values = values.astype("float32")  # one rounding, the same on every backend
        return ops.cast(values, dtype)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Build from `get_config()`; a deterministic class ignores the `seed` that `EinsumDense` adds."""
        return cls(**{key: value for key, value in config.items() if cls.seeded or key != "seed"})

    def _checked_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        name = type(self).__name__
        sizes = list(shape) if isinstance(shape, Iterable) else [None]  # TensorFlow's shapes are no sequences
        if not all(isinstance(size, (int, np.integer)) and size >= 0 for size in sizes):
            raise ValueError(f"Expected `shape` to be a tuple of sizes. Received: shape={describe(shape)}.")
        shape = tuple(int(size) for size in sizes if size is not None)
        if getattr(self, "input_axes", None) is not None:
            KernelLayout.of(shape, self.input_axes, self.output_axes)  # refuses axes that the shape does not have
        if getattr(self, "input_axes", None) is None and len(shape) < self.minimum_rank:
            what = "vectors" if len(shape) == 1 else f"{len(shape)} axes"
            raise ValueError(
                f"Expected `shape` to have at least {self.minimum_rank} axes: {name} is not defined for {what}. "
                f"Received: shape={shape}. Use {name} for kernels, and 'zeros' or 'ones' for biases and scales."
            )
        return shape


class BiasInitializer(CheckedInitializer):
    """Base class of initializers for biases, whose entries belong to one unit each."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Build from `get_config()`; a bias has no axes to be told, and its shape says what is wrong with a kernel."""
        return super().from_config({key: value for key, value in config.items() if not key.endswith("put_axes")})

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, with the seed as it was given."""
        return {"seed": super().get_config()["seed"]} if self.seeded else {}


class KernelInitializer(CheckedInitializer):
    """Base class of initializers for kernels.

    Args:
        seed: see `CheckedInitializer`.
        input_axes: axes of the kernel that the layer sums over, or None for Keras' plain reading of shapes.
        output_axes: axes of the kernel that index units, or None.

    Raises:
        ValueError: if the seed is none, or only one of the axes arguments is given.
    """

    minimum_rank: ClassVar[int] = 2

    def __init__(
        self, seed: Seed = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(seed=seed)
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                "Expected `input_axes` and `output_axes` to be given together. "
                f"Received: input_axes={input_axes}, output_axes={output_axes}."
            )
        self.input_axes = _checked_axes("input_axes", input_axes)
        self.output_axes = _checked_axes("output_axes", output_axes)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, with the seed as it was given."""
        config = {"input_axes": self.input_axes, "output_axes": self.output_axes}
        return {"seed": super().get_config()["seed"], **config} if self.seeded else config

    def _layout(self, shape: tuple[int, ...]) -> KernelLayout:
        return KernelLayout.of(shape, self.input_axes, self.output_axes)


def checked_seed(seed: Seed) -> Seed:
    """Return a seed that Keras accepts on every backend, NumPy integers as ints; refuse the rest."""
    if isinstance(seed, np.integer):
        seed = int(seed)
    serialized = isinstance(seed, dict) and seed.get("class_name") == "SeedGenerator"
    if seed is None or serialized or isinstance(seed, (keras.random.SeedGenerator, PortableSeed)):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            "Expected `seed` to be None, an integer from 0 to 4294967295 or a `keras.random.SeedGenerator`. "
            f"Received: seed={describe(seed)}."
        )
    return seed


def _checked_axes(name: str, axes: Any) -> list[int] | None:
    if axes is None:
        return None
    if not isinstance(axes, (list, tuple)) or not all(isinstance(axis, (int, np.integer)) for axis in axes):
        raise ValueError(f"Expected `{name}` to be a list of integers. Received: {name}={describe(axes)}.")
    return [int(axis) for axis in axes]


def from_canonical(values: Tensor, layout: KernelLayout) -> Tensor:
    """Return values of shape (B, *k, I, O), a tensor or an array, in the kernel's own shape."""
    xp = np if isinstance(values, np.ndarray) else ops
    return xp.transpose(xp.reshape(values, layout.ordered), layout.inverse)


def at_centre(matrices: Tensor, window: tuple[int, ...], xp: Any) -> Tensor:
    """Return kernels (N, *window, I, O) with matrices (N, I, O) at their centre taps and zeros elsewhere.

    The centre tap, (k - 1) // 2 along an axis of k taps, is the one that reproduces the input under Keras'
    `padding="same"` with stride 1, for even k too.
    """
    count, inputs, outputs = matrices.shape
    around = [((size - 1) // 2, size // 2) for size in window]
    taps = xp.reshape(matrices, (count, *(1 for _ in window), inputs, outputs))
    return xp.pad(taps, [(0, 0), *around, (0, 0), (0, 0)])


def to_canonical(values: Tensor, layout: KernelLayout) -> Tensor:
    """Return a kernel's values in the shape (B, *k, I, O)."""
    xp = np if isinstance(values, np.ndarray) else ops
    return xp.reshape(xp.transpose(values, layout.order), layout.canonical)


def to_numpy64(values: Tensor) -> NDArray[np.float64]:
    """Return a tensor as a float64 array."""
    return np.asarray(ops.convert_to_numpy(values), dtype=np.float64)
