"""Where an initializer keeps the seeds that were drawn for it, and what else in it came from them."""

import functools
import random
import types
from collections.abc import Container
from typing import Any

import keras
import numpy as np

from keras_initkit.study.seeding import untouched_randomness

_TRUSTED = ("keras", "keras_initkit")  # packages whose initializers keep nothing of a seed but the seed
_REBUILDS = 8


def holds_seed(value: Any, seeds: Container[int]) -> bool:
    """Return whether an initializer, or something that one holds, has a drawn seed or a generator in it."""
    if type(value) is int:
        return value in seeds
    if isinstance(value, keras.random.SeedGenerator):
        return True
    return any(holds_seed(part, seeds) for part in _parts(value))


def attribute_from_seed(initializer: Any, seeds: Container[int]) -> str:
    """Return the name of an attribute that an initializer computed from its seed; "" if there is none.

    Such an attribute is another one for another seed, while a copy with a new seed would keep it. Eight initializers
    built from the same configuration with seeds of their own show it: one bit of the seed escapes with probability
    1 / 256. Where the configuration loses an argument, that argument is named.
    """
    if type(initializer).__module__.partition(".")[0] in _TRUSTED:
        return ""
    with untouched_randomness():
        for number in range(_REBUILDS):
            random.seed(number)
            rebuilt = type(initializer).from_config(initializer.get_config())
            if name := _differing(initializer, rebuilt, seeds):
                return name
    return ""


def _parts(value: Any) -> list[Any]:
    if isinstance(value, keras.initializers.Initializer):
        return list(vars(value).values())
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or ()]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    return []


def _differing(one: Any, other: Any, seeds: Container[int]) -> str:
    for name, value in vars(one).items():
        if not _equal(value, vars(other).get(name), seeds):
            return name
    return ""


def _equal(one: Any, other: Any, seeds: Container[int]) -> bool:
    """Return whether two attributes are equal apart from seeds and generators; objects of other kinds are not read."""
    if isinstance(one, keras.random.SeedGenerator) or (type(one) is int and one in seeds):
        return True
    if isinstance(one, keras.initializers.Initializer):
        return type(one) is type(other) and not _differing(one, other, seeds)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(_equal(a, b, seeds) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key], seeds) for key in one)
    if one is None or isinstance(one, (bool, int, float, str, np.number, np.ndarray)):
        return type(one) is type(other) and np.array_equal(np.asarray(one), np.asarray(other))
    return True
