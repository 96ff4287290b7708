"""Helpers for the tests of single initializers."""

import inspect

import keras
import numpy as np
import pytest

KERAS_PASSES_AXES = "input_axes" in inspect.signature(keras.initializers.VarianceScaling.__init__).parameters


@pytest.fixture
def keras_passes_axes():
    """Skip a test of attention kernels where Keras (before 3.15) does not say which of their axes are inputs."""
    if not KERAS_PASSES_AXES:
        pytest.skip("this version of Keras passes no axes to initializers")


@pytest.fixture
def array():
    """Return a function from tensors and Keras variables to float64 arrays."""
    return lambda tensor: np.asarray(keras.ops.convert_to_numpy(tensor + 0), dtype=np.float64)
