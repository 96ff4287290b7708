"""Every random state that running a model can move, kept and put back."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

# Where Keras keeps the generator of `keras.random` calls without a seed, and how often it gave out each name.
_GENERATOR = "global_seed_generator"
_NAMES = "object_name_uids"


@contextmanager
def preserved_randomness() -> Iterator[None]:
    """Leave the random states of Python, NumPy, Keras and the backend as they were before the block.

    The state inside Keras' global generator is a variable, and belongs to `preserved`. Keras' counters of automatic
    names are put back as well, so that layers made later are called what they would have been called.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    keras_generator = global_state.get_global_attribute(_GENERATOR)
    names = dict(global_state.get_global_attribute(_NAMES) or {})
    restore_backend = {"tensorflow": _tensorflow, "torch": _torch}.get(keras.backend.backend(), _stateless)()
    try:
        yield
    finally:
        restore_backend()
        global_state.set_global_attribute(_GENERATOR, keras_generator)
        counters = global_state.get_global_attribute(_NAMES)
        if counters is not None:
            counters.clear()
            counters.update(names)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def global_generators() -> list[Any]:
    """Return the global generators of Keras and the backend that hold their state in a variable and exist already."""
    found = [global_state.get_global_attribute(_GENERATOR)]
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.ops import stateful_random_ops

        found.append(stateful_random_ops.global_generator)
    return [generator for generator in found if generator is not None]


def _stateless() -> Callable[[], None]:
    return lambda: None


def _tensorflow() -> Callable[[], None]:
    from tensorflow.python.eager import context
    from tensorflow.python.ops import stateful_random_ops

    eager, variable_state = context.context(), stateful_random_ops.global_generator
    # There is no such generator before a seed is set.
    seed, generator = eager._seed, getattr(eager, "_rng", None)
    state = generator and generator.getstate()

    def restore() -> None:
        now = getattr(eager, "_rng", None)
        if now is not generator or (now is not None and now.getstate() != state):
            eager._seed, eager._rng = seed, generator
            if generator is not None:
                generator.setstate(state)
            # Kernels keep a counter of their own; a seed given out again must start a fresh one.
            eager.clear_kernel_cache()
        stateful_random_ops.global_generator = variable_state

    return restore


def _torch() -> Callable[[], None]:
    import torch

    state = torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def restore() -> None:
        torch.set_rng_state(state)
        if devices:
            torch.cuda.set_rng_state_all(devices)

    return restore
