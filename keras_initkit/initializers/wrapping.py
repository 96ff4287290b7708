"""What initializers that wrap another one have in common: one seed, the axes passed on."""

from collections.abc import Sequence
from typing import Any

from keras_initkit._checks import describe
from keras_initkit.initializers.base import Seed, Tensor
from keras_initkit.initializers.registry import get
from keras_initkit.initializers.seeding import rebuilt


def adopt(initializer: Any, seed: Seed) -> tuple[Any, Seed]:
    """Return the initializer to wrap, without a seed, and the one seed of the whole.

    The seed may be given to the wrapper or to the wrapped initializer. Given to both, one would have to be ignored.

    Raises:
        ValueError: if both have a seed, or `initializer` is none.
    """
    wrapped = get(initializer)
    if wrapped is None:
        raise ValueError(f"Expected `initializer` to be an initializer. Received: initializer={describe(initializer)}.")
    config = wrapped.get_config() if hasattr(wrapped, "get_config") else {}
    inner = config.get("seed")
    if inner is None:
        return wrapped, seed
    if seed is not None:
        raise ValueError(
            "Expected one seed, for the wrapper or for the initializer it wraps. "
            f"Received: seed={describe(seed)} and initializer={type(wrapped).__name__}(seed={inner!r}). "
            "Drop the latter."
        )
    return rebuilt(wrapped, {"seed": None}), inner


def draw(
    initializer: Any,
    shape: tuple[int, ...],
    dtype: str,
    seed: Seed,
    axes: tuple[Sequence[int] | None, Sequence[int] | None],
) -> Tensor:
    """Return the wrapped initializer's values, drawn with the wrapper's seed and read by its axes.

    Input and output axes go to initializers that know them and have none of their own.
    """
    changes: dict[str, Any] = {"seed": seed}
    if axes[0] is not None and getattr(initializer, "input_axes", None) is None:
        changes |= {"input_axes": axes[0], "output_axes": axes[1]}
    return rebuilt(initializer, changes)(shape, dtype=dtype)
