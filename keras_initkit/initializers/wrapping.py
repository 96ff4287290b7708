"""What initializers that wrap another one have in common: one seed, the axes passed on."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras

from keras_initkit._checks import describe
from keras_initkit.initializers.base import CheckedInitializer, KernelInitializer, Seed, Tensor
from keras_initkit.initializers.drawing import PortableSeed
from keras_initkit.initializers.keras_draws import portable_values
from keras_initkit.initializers.registry import get, serialize
from keras_initkit.initializers.seeding import rebuilt, redrawn

Axes = Sequence[int] | None


class WrapperInitializer(KernelInitializer):
    """Base class of initializers that change what another one draws.

    Args:
        initializer: whatever `keras_initkit.initializers.get` takes.
        seed: see `KernelInitializer`. It determines the wrapped draw; a seed given to the wrapped initializer instead
            becomes this one.
        input_axes: set by `EinsumDense`; passed on to the wrapped initializer.
        output_axes: set by `EinsumDense`; passed on to the wrapped initializer.

    Raises:
        ValueError: if `initializer` is none or does not belong inside this wrapper, or both have a seed.
    """

    minimum_rank: ClassVar[int] = 0
    outermost: ClassVar[bool] = False  # whether wrapping it would undo what it does
    excluded: ClassVar[Mapping[str, str]] = {}  # class that must not be wrapped inside -> what to write instead

    def __init__(self, initializer: Any, seed: Seed = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        self.initializer, seed = _adopted(initializer, seed)
        self._check_wrapped()
        super().__init__(seed=seed, input_axes=input_axes, output_axes=output_axes)

    def _wrapped(self, shape: tuple[int, ...], dtype: str, seed: Seed = None, plain: bool = False) -> Tensor:
        """Return values of the wrapped initializer.

        Args:
            shape: the shape to ask for.
            dtype: float32 or float64.
            seed: the seed of this draw. None means the wrapper's own, so that the values are those of the wrapped
                initializer with the same seed; for one of several draws give `derived_seed(self.seed, number)`.
            plain: True if `shape` is not the kernel's own, so that the axes do not apply to it.
        """
        changes: dict[str, Any] = {}
        if not plain and self.input_axes is not None and getattr(self.initializer, "input_axes", None) is None:
            changes |= {"input_axes": self.input_axes, "output_axes": self.output_axes}
        seed = self.seed if seed is None else seed
        if isinstance(seed, PortableSeed) and not isinstance(self.initializer, CheckedInitializer):
            return portable_values(redrawn(self.initializer, **changes), shape, dtype, seed)
        return redrawn(self.initializer, seed=seed, **changes)(shape, dtype=dtype)

    def _check_wrapped(self) -> None:
        """Refuse what would silently lose its meaning inside this wrapper, at any depth."""
        inner = self.initializer
        while inner is not None:
            name, wrong = type(self).__name__, type(inner).__name__
            if getattr(inner, "outermost", False):
                raise ValueError(
                    f"Expected {wrong} to be the outermost wrapper, since another one would ask it anew for each draw. "
                    f"Received: initializer={wrong}(...). Wrap the initializer inside it, and put {wrong} around the "
                    "whole."
                )
            if wrong in self.excluded:
                instead = self.excluded[wrong]
                raise ValueError(f"Expected no {wrong} inside {name}. Received: initializer={wrong}(...). {instead}")
            inner = getattr(inner, "initializer", None)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this initializer, the wrapped one serialised."""
        return {"initializer": serialize(self.initializer), **super().get_config()}


def _adopted(initializer: Any, seed: Seed) -> tuple[Any, Seed]:
    """Return the initializer to wrap, without a seed, and the one seed of the whole.

    The seed may be given to the wrapper or to the wrapped initializer. Given to both, one would have to be ignored.
    """
    wrapped = get(initializer)
    if wrapped is None:
        raise ValueError(f"Expected `initializer` to be an initializer. Received: initializer={describe(initializer)}.")
    config = wrapped.get_config() if hasattr(wrapped, "get_config") else {}
    inner = config.get("seed")
    if inner is None:
        return wrapped, seed
    if isinstance(getattr(wrapped, "seed", None), keras.random.SeedGenerator):
        inner = wrapped.seed  # itself: a copy would start over
    if seed is not None:
        raise ValueError(
            "Expected one seed, for the wrapper or for the initializer it wraps. "
            f"Received: seed={describe(seed)} and initializer={type(wrapped).__name__}(seed={inner!r}). "
            "Drop the latter."
        )
    return rebuilt(wrapped, {"seed": None}), inner
