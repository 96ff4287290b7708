"""IDInit: the repeated identity, nothing empty, and the symmetry that it plants."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_initkit.initializers import IDInit, Perturbed


def values_of(shape, **arguments):
    return np.asarray(keras.ops.convert_to_numpy(IDInit(**arguments)(shape)), dtype=np.float64)


def flattened(kernel):
    """Return a kernel (*k, I, O) as torch would flatten it: (O, I, *k) in rows, here as columns."""
    return np.moveaxis(np.moveaxis(kernel, -1, 0), -1, 1).reshape(kernel.shape[-1], -1).T


@settings(deadline=None, max_examples=60)
@given(
    window=st.lists(st.integers(1, 4), max_size=2),
    inputs=st.integers(1, 12),
    outputs=st.integers(1, 40),
    tau=st.sampled_from([1.0, 1e-6, 3.0]),
)
def test_the_identity_is_repeated(window, inputs, outputs, tau):
    """Copies of the identity side by side, the last one cut, are what the modulo in the formula means."""
    kernel = values_of((*window, inputs, outputs), tau=tau)
    matrix = flattened(kernel)
    rows = math.prod(window) * inputs
    period = min(rows, outputs)
    copies = -(-max(rows, outputs) // period)
    expected = tau * np.tile(np.eye(period), (copies, copies))[:rows, :outputs]
    np.testing.assert_array_equal(matrix, expected.astype("float32"))
    assert matrix.any(axis=0).all()
    assert matrix.any(axis=1).all()
    assert len(np.unique(matrix, axis=1).T) == period
    repeats = np.square(np.linalg.svd(matrix, compute_uv=False) / tau)
    full, rest = divmod(max(rows, outputs), period)
    np.testing.assert_allclose(repeats, [full + 1] * rest + [full] * (period - rest), rtol=1e-5)


def test_neighbouring_units_take_other_taps():
    """The identity on channels would give unit o channel o at the centre only."""
    kernel = values_of((3, 3, 4, 4))
    assert all(kernel[..., unit].any() for unit in range(4))
    assert (kernel.sum(axis=(-2, -1)) > 0).all(), "every tap of the window is used"
    assert np.count_nonzero(kernel) == 36


def test_default_is_the_identity_of_the_paper():
    np.testing.assert_array_equal(values_of((6, 6)), np.eye(6))
    np.testing.assert_array_equal(values_of((6, 6), tau=1e-6), np.float32(1e-6) * np.eye(6))


def distinct_after_training(width, outgoing):
    """Train widths 3, 9, `width`, the hidden layer starting with IDInit, and count its distinct units."""
    x = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    hidden = keras.layers.Dense(9, "tanh", kernel_initializer=IDInit())
    model = keras.Sequential([hidden, keras.layers.Dense(width, kernel_initializer=outgoing)])
    model.compile("sgd", "mse")
    model.fit(x, np.random.default_rng(1).standard_normal((64, width)), epochs=3, verbose=0, shuffle=False)
    kernel = np.asarray(keras.ops.convert_to_numpy(hidden.kernel + 0))
    return len(np.unique(kernel.round(6), axis=1).T)


def test_units_of_widths_3_9_3_are_locked_and_noise_frees_them():
    assert distinct_after_training(3, IDInit()) == 3
    assert distinct_after_training(3, Perturbed(IDInit(), 0.05, seed=0)) == 9
    assert distinct_after_training(4, IDInit()) == 9, "4 divides neither 3 nor 6"


def test_branches_that_start_near_zero_still_learn():
    """With tau=1e-6 the last kernel of a branch passes a gradient back; zeros would not."""
    x = np.random.default_rng(0).standard_normal((32, 6)).astype("float32")
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(6, "relu", kernel_initializer=IDInit(), name="first")(inputs)
    branch = keras.layers.Dense(6, kernel_initializer=IDInit(tau=1e-6))(hidden)
    model = keras.Model(inputs, keras.layers.Add()([inputs, branch]))
    np.testing.assert_allclose(np.asarray(model.predict(x, verbose=0)), x, atol=1e-5)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(x, 0 * x, epochs=2, verbose=0, batch_size=32)
    first = keras.ops.convert_to_numpy(model.get_layer("first").kernel + 0)
    assert np.abs(first - np.eye(6)).max() > 1e-3


@pytest.mark.parametrize("tau", [0, -1, math.inf, "1"])
def test_bad_arguments(tau):
    with pytest.raises(ValueError, match="`tau` to be a finite number above 0"):
        IDInit(tau=tau)
