"""Scaled: the same draw, larger or smaller."""

import math

import keras
import numpy as np
import pytest

from keras_initkit.initializers import LayerFans, PerGate, Scaled
from keras_initkit.theory import gain


@pytest.mark.parametrize("factor", [2.0, 0.1, -1, 0, np.float32(0.5)])
@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal", "scaled_orthogonal", "identity"])
def test_values_of_the_same_seed_times_the_gain(array, scheme, factor):
    from keras_initkit.initializers import reseeded

    plain = array(reseeded(scheme, 5)((4, 4)))
    np.testing.assert_allclose(array(Scaled(scheme, factor, seed=5)((4, 4))), float(factor) * plain, rtol=1e-6)


def test_gains_multiply(array):
    nested = array(Scaled(Scaled("he_normal", 3.0), 0.5, seed=1)((6, 6)))
    np.testing.assert_allclose(nested, array(Scaled("he_normal", 1.5, seed=1)((6, 6))), rtol=1e-6)
    around = array(Scaled(LayerFans("he_normal", "depthwise_conv"), 2.0, seed=1)((3, 3, 64, 8)))
    assert around.var() == pytest.approx(4 * 2 / 9, rel=5 * math.sqrt(2 / around.size))
    inside = array(PerGate(Scaled("identity", 0.5), 4)((3, 12)))
    np.testing.assert_array_equal(inside, np.tile(0.5 * np.eye(3), (1, 4)))


def test_gain_of_an_activation_keeps_the_second_moment(array):
    """20 layers of 500 gelu units: the moment wanders by a few % a layer; without the gain it falls to 0.43 in each."""
    h = np.random.default_rng(0).standard_normal((50, 500))
    for depth in range(20):
        f = np.asarray(keras.ops.convert_to_numpy(keras.activations.gelu(h, approximate=False))) if depth else h
        h = f @ array(Scaled("lecun_normal", gain("gelu") if depth else 1.0, seed=depth)((500, 500)))
    assert 0.3 < np.mean(h**2) < 3.0


def test_attention_passes_axes_through(array):
    kernel = array(Scaled("scaled_orthogonal", 2.0, seed=1, input_axes=[0], output_axes=[1, 2])((8, 2, 4)))
    np.testing.assert_allclose(np.linalg.svd(kernel.reshape(8, 8), compute_uv=False), 2.0, rtol=1e-5)


@pytest.mark.parametrize("factor", [math.nan, math.inf, "2", None, True])
def test_bad_gains(factor):
    with pytest.raises(ValueError, match="Expected `gain` to be a finite number"):
        Scaled("he_normal", factor)
