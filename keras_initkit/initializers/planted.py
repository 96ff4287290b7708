"""Kernels with a planted symmetry, and the noise that breaks one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_initkit._checks import check_choice, check_integer, check_number
from keras_initkit.initializers.base import Seed, Tensor, from_canonical, to_canonical, to_numpy64
from keras_initkit.initializers.drawing import derived_seed, draws
from keras_initkit.initializers.wrapping import WrapperInitializer
from keras_initkit.theory.fans import fans


@keras.saving.register_keras_serializable(package="keras_initkit")
class Tiled(WrapperInitializer):
    """A chosen number of distinct units, each repeated.

    W[:, j] = V[:, j mod n], where n = `distinct` and V are the values that the wrapped initializer draws for the whole
    shape, so fans and variance are those of the full width and the first n units equal the unwrapped ones of the same
    seed. A layer with fewer than n units keeps all of them as they are.

    What a unit is depends on `axis`:

    - `"units"` (default): the outputs of this layer. Columns repeat, so units have equal incoming weights;
    - `"inputs"`: the inputs of this layer, that is the units of the layer before. Rows repeat, so those units have
      equal outgoing weights;
    - `"both"`.

    Units that are equal in both incoming (bias included) and outgoing weights stay equal under gradient descent; units
    equal in one of them separate at the first step. To lock a hidden layer, use `"units"` there and `"inputs"` in the
    layer that follows, with the same `distinct`.

    Convolution kernels repeat whole filters (last axis) or input channels (second last axis). `EinsumDense` and
    attention kernels repeat along the flattened output or input axes: heads repeat if the size of a head divides n. An
    LSTM or GRU kernel holds its gates side by side, so cells repeat if n divides the number of cells; all gates of a
    cell are then equal too. In a transposed convolution the roles of the two axes are exchanged, and a depthwise kernel
    repeats only within a channel. A vector (bias) has only units.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(Tiled(2, seed=0)((3, 6)))
        >>> bool((kernel[:, 0] == kernel[:, 4]).all()), bool((kernel[:, 0] == kernel[:, 1]).all())
        (True, False)

    Args:
        distinct: number n of distinct units, at least 1.
        initializer: whatever `keras_initkit.initializers.get` takes. Default `"glorot_uniform"`.
        axis: one of `"units"`, `"inputs"`, `"both"`.
        seed: see `KernelInitializer`. It determines the wrapped draw; a seed given to the wrapped initializer instead
            becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if an argument is out of range, both initializers have a seed, the wrapped scheme is not defined
            for the shape, or the inputs of a vector are asked for.
    """

    minimum_rank: ClassVar[int] = 1

    def __init__(
        self,
        distinct: int,
        initializer: Any = "glorot_uniform",
        axis: str = "units",
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.distinct = check_integer("distinct", distinct, 1)
        self.axis = check_choice("axis", axis, ("units", "inputs", "both"))

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        vector = len(shape) == 1 and self.input_axes is None
        if vector and self.axis != "units":
            raise ValueError(
                f"Expected `shape` to have at least 2 axes, as a vector has no inputs. Received: shape={shape} for "
                f"Tiled(axis={self.axis!r}). Use axis='units' for biases."
            )
        values = self._wrapped(shape, dtype)
        if not shape or vector:
            return self._repeated(values, -1) if shape else values
        layout = self._layout(shape)
        values = to_canonical(values, layout)
        if self.axis in ("units", "both"):
            values = self._repeated(values, -1)
        if self.axis in ("inputs", "both"):
            values = self._repeated(values, -2)
        return from_canonical(values, layout)

    def _repeated(self, values: Tensor, axis: int) -> Tensor:
        return ops.take(values, np.arange(values.shape[axis]) % self.distinct, axis=axis)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"distinct": self.distinct, "axis": self.axis, **super().get_config()}


@keras.saving.register_keras_serializable(package="keras_initkit")
class Perturbed(WrapperInitializer):
    """Another initializer's values plus noise of a stated relative size.

    W = V + scale · r · N, where V are the wrapped initializer's values, N is standard normal noise of the same shape
    and r = sqrt(mean(V²)) is the root mean square of the values. Where V is all zeros there is nothing to be relative
    to, and r = 1 / sqrt(fan_in), the standard deviation of LeCun's initializer (for a vector of n entries 1 / sqrt(n)).

    The wrapped draw uses `seed` itself, so V equals the unwrapped values of the same seed; the noise uses a stream
    derived from it, another one at each level of nesting.

    Example:
        >>> kernel = keras.ops.convert_to_numpy(Perturbed("ones", scale=0.01, seed=0)((400, 400)))
        >>> round(float(kernel.std()), 3)
        0.01

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        scale: relative size of the noise, at least 0. Default 0.01.
        seed: see `KernelInitializer`. It determines both draws; a seed given to the wrapped initializer instead
            becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if `scale` is negative, both initializers have a seed, or the wrapped scheme is not defined for the
            shape.
    """

    excluded: ClassVar[Mapping[str, str]] = {
        "Portable": "The noise would still be the backend's; write Portable(Perturbed(...))."
    }

    def __init__(
        self,
        initializer: Any,
        scale: float = 0.01,
        seed: Seed = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(initializer, seed=seed, input_axes=input_axes, output_axes=output_axes)
        self.scale = check_number("scale", scale, minimum=0.0)

    def _values(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        values = self._wrapped(shape, dtype)
        noise = draws(derived_seed(self.seed, _depth(self)), dtype)
        xp = noise.xp
        values = to_numpy64(values) if xp is np else values
        rms = xp.sqrt(xp.mean(xp.square(values)))
        fan_in, _ = fans(shape, self.input_axes, self.output_axes)
        size = xp.where(rms > 0, rms, xp.full_like(rms, 1.0 / math.sqrt(fan_in)))
        return values + self.scale * size * noise.normal(shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"scale": self.scale, **super().get_config()}


def _depth(initializer: Any) -> int:
    """Return how many initializers are wrapped inside one another."""
    inner = getattr(initializer, "initializer", None)
    return 0 if inner is None else 1 + _depth(inner)
