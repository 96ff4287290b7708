"""Functions of the user as activations, and constants under functions of which little is known."""

import keras
import numpy as np
import pytest

from keras_initkit.units.functions import treats_features_alike, zero_or_unknown

ops = keras.ops


@pytest.mark.parametrize(
    ("function", "alike"),
    [
        (lambda z: z * ops.tanh(z), True),
        (keras.activations.softmax, True),
        (lambda z: z - ops.mean(z, axis=-1, keepdims=True), True),
        (lambda z: z * np.arange(4, dtype="float32"), False),
        (lambda z: ops.cumsum(z, axis=-1), False),
        (lambda z: ops.flip(z, axis=-1), False),
        (keras.activations.glu, False),
        (lambda z: ops.reshape(z, (3, 3)), False),
    ],
)
def test_functions_that_exchange_what_they_give_with_what_they_get_treat_features_alike(function, alike):
    assert treats_features_alike(function, 4) is alike


def test_of_zero_and_other_constants_only_zero_stays_known():
    value, slope = zero_or_unknown(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(value, [0.0, np.nan])
    np.testing.assert_array_equal(slope, [1.0, 1.0])
