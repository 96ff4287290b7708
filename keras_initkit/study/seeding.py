"""What a seed means in a study: everything random while a model is built, and the order of the data."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from keras.src.backend.common import global_state
from numpy.typing import NDArray

from keras_initkit.study.thread_randomness import randomness_of_this_thread

_GENERATOR = "global_seed_generator"  # where Keras keeps the generator of `keras.random` calls without a seed


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Leave Python's `random`, NumPy's legacy generator and Keras' global generator as they were before the block."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    keras_generator = global_state.get_global_attribute(_GENERATOR)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        global_state.set_global_attribute(_GENERATOR, keras_generator)


@contextmanager
def replica_randomness(seed: int) -> Iterator[None]:
    """Make everything that is drawn inside the block depend on `seed` alone, and leave no trace behind.

    Keras draws the seeds of unseeded initializers and dropout layers from Python's `random`, and `keras.random` without
    a seed uses one global generator. Both, and NumPy's legacy generator, are seeded as `keras.utils.set_random_seed`
    does it, so a model built here has the weights it has after that call. The generators of the backend itself
    (`tf.random.normal` without a seed) are not touched. Other threads that draw from `random` meanwhile do not disturb.
    """
    with randomness_of_this_thread(), untouched_randomness():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        global_state.set_global_attribute(_GENERATOR, None)  # made anew from Python's `random` when needed
        yield


def data_order(seed: int, epoch: int, samples: int) -> NDArray[np.intp]:
    """Return the order of the samples in one epoch; it depends on nothing but its arguments.

    Replicas with the same seed see the same batches, whatever their initializer, so that comparisons are paired.
    """
    return np.random.default_rng([seed, epoch]).permutation(samples)
