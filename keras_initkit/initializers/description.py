"""An initializer as a plain record, for tables and for tracking."""

from typing import Any

import keras

from keras_initkit._registry import BY_NAME
from keras_initkit.initializers.registry import get


def describe(initializer: Any) -> dict[str, Any]:
    """Return what determines an initializer's values, in a form that JSON can hold.

    Args:
        initializer: whatever `get` takes.

    Returns:
        A dict with the keys

        - `"name"`: the name in snake case, as `get` and `keras-initkit list` use it, or a function's own name;
        - `"class"`: the class name, `"function"` for a plain function or an array;
        - `"config"`: the arguments, the seed as it was given; empty for a function;
        - `"seed"`: the int in use. With `seed=None` it is the one drawn from Python's `random`, with a `SeedGenerator`
          the one it started from. None if there is no seed.

    Raises:
        ValueError: if the initializer is unknown.

    Example:
        >>> describe(keras.initializers.RandomNormal(stddev=0.1, seed=3))
        {'name': 'random_normal', 'class': 'RandomNormal', 'config': {'seed': 3, 'mean': 0.0, 'stddev': 0.1}, 'seed': 3}
    """
    found = get(initializer)
    if not isinstance(found, keras.initializers.Initializer):
        name = getattr(found, "__qualname__", type(found).__name__)
        return {"name": name, "class": "function", "config": {}, "seed": None}
    cls = type(found).__name__
    return {
        "name": BY_NAME[cls].alias if cls in BY_NAME else cls,
        "class": cls,
        "config": keras.saving.serialize_keras_object(found.get_config()),
        "seed": resolved_seed(getattr(found, "seed", None)),
    }


def resolved_seed(seed: Any) -> int | None:
    """Return the int behind a seed: itself, the start of a generator, or None."""
    if isinstance(seed, keras.random.SeedGenerator):
        return int(keras.ops.convert_to_numpy(seed.state[0]))
    return int(seed) if isinstance(seed, int) else None
