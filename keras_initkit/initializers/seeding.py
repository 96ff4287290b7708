"""Copies of an initializer with another seed."""

import copy
from collections.abc import Mapping
from typing import Any

import keras

from keras_initkit.initializers.base import Seed, checked_seed
from keras_initkit.initializers.registry import get


def reseeded(initializer: Any, seed: Seed) -> Any:
    """Return a copy of an initializer with another seed.

    A wrapper such as `Perturbed` hands its seed to the initializer it wraps, so all draws follow. An initializer
    without a seed (deterministic classes, plain functions, arrays) is returned as it is.

    Args:
        initializer: whatever `get` takes.
        seed: an int, None for one drawn from Python's `random`, or a `keras.random.SeedGenerator`.

    Returns:
        An initializer of the same class with the same other arguments; the given one is not changed.

    Raises:
        ValueError: if the initializer is unknown or the seed is none of these.

    Example:
        >>> reseeded("glorot_uniform", 7).seed
        7
    """
    return rebuilt(get(initializer), {"seed": checked_seed(seed)})


def fresh_per_call(initializer: Any) -> Any:
    """Return a copy of an initializer that gives new values at each call, also when one instance serves many layers.

    `Distinct` does the same with a seed of its own, and is what a model of one's own should use. This keeps the class.

    The copy's config says `seed: None`, so copies that Keras makes from it (attention, `Bidirectional`, loading a saved
    model) are unseeded and differ. The copy itself draws from a `keras.random.SeedGenerator` that starts from Python's
    `random`, which is Keras' rule for unseeded initializers: after `keras.utils.set_random_seed(n)` or `random.seed(n)`
    the same model gets the same weights. An initializer without a seed is returned as it is.

    Args:
        initializer: whatever `get` takes. Its own seed is dropped.

    Returns:
        An initializer of the same class with the same other arguments; the given one is not changed.

    Raises:
        ValueError: if the initializer is unknown.

    Example:
        >>> shared = fresh_per_call("glorot_uniform")
        >>> bool(keras.ops.all(shared((2, 2)) == shared((2, 2))))
        False
    """
    unseeded = reseeded(initializer, None)
    if isinstance(getattr(unseeded, "seed", None), int) and not getattr(unseeded, "outermost", False):
        unseeded.seed = keras.random.SeedGenerator()
    return unseeded


def rebuilt(initializer: Any, changes: Mapping[str, Any]) -> Any:
    """Return a copy with some arguments changed, as far as the initializer has them; see `reseeded`."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    known = {key: value for key, value in changes.items() if key in config}
    return type(initializer).from_config({**config, **known}) if known else initializer


def redrawn(initializer: Any, **changes: Any) -> Any:
    """Return a copy for one draw, with attributes changed as far as the initializer has them.

    Unlike `rebuilt` it does not go through the configuration, where an initializer wrapped inside is unseeded, and
    would draw a seed from Python's `random` that nobody asked for.
    """
    known = {name: value for name, value in changes.items() if hasattr(initializer, name)}
    if not isinstance(initializer, keras.initializers.Initializer) or ("seed" in changes and "seed" not in known):
        return rebuilt(initializer, changes)
    if "seed" in known and initializer.seed is None:
        del known["seed"]  # takes none
    copied = copy.copy(initializer)
    for name, value in known.items():
        setattr(copied, name, value)
    return copied
