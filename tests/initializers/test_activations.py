"""The NumPy activations are Keras' activations."""

import keras
import numpy as np
import pytest

from keras_initkit.theory import ACTIVATIONS

SHARED = sorted(name for name in ACTIVATIONS if hasattr(keras.activations, name))


def test_only_two_names_are_not_keras_activations():
    assert set(ACTIVATIONS) - set(SHARED) == {"sin", "erf"}


@pytest.mark.parametrize("name", SHARED)
def test_values(name):
    z = np.linspace(-8, 8, 4001)
    expected = keras.ops.convert_to_numpy(getattr(keras.activations, name)(z.astype("float32")))
    np.testing.assert_allclose(ACTIVATIONS[name](z), expected, rtol=2e-5, atol=2e-6)
