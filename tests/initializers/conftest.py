"""Helpers for the tests of single initializers."""

import keras
import numpy as np
import pytest


@pytest.fixture
def array():
    """Return a function from tensors and Keras variables to float64 arrays."""
    return lambda tensor: np.asarray(keras.ops.convert_to_numpy(tensor + 0), dtype=np.float64)
