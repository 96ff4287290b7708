"""Portable: the distribution of the wrapped scheme, from numbers that no backend draws."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from keras_initkit.initializers import Perturbed, Portable, Scaled, ScaledOrthogonal

SHAPE = (120, 150)

KERAS_SCHEMES = [
    (keras.initializers.RandomNormal(mean=1.0, stddev=0.2), stats.norm(1.0, 0.2)),
    (keras.initializers.RandomUniform(-0.5, 2.0), stats.uniform(-0.5, 2.5)),
    (keras.initializers.TruncatedNormal(stddev=0.3), stats.truncnorm(-2, 2, scale=0.3)),
    (keras.initializers.HeNormal(), stats.truncnorm(-2, 2, scale=math.sqrt(2 / 120) / 0.8796256610)),
    (keras.initializers.GlorotUniform(), stats.uniform(-math.sqrt(6 / 270), 2 * math.sqrt(6 / 270))),
    (
        keras.initializers.VarianceScaling(3.0, "fan_out", "untruncated_normal"),
        stats.norm(0, math.sqrt(3 / 150)),
    ),
]


@pytest.mark.parametrize(("scheme", "distribution"), KERAS_SCHEMES, ids=lambda case: type(case).__name__)
def test_distributions_of_keras_schemes(array, scheme, distribution):
    """Kolmogorov-Smirnov at a false-alarm rate of 1e-4."""
    values = array(Portable(scheme, seed=1)(SHAPE)).ravel()
    assert stats.kstest(values, distribution.cdf).pvalue > 1e-4


def test_orthogonal_of_keras(array):
    kernel = array(Portable(keras.initializers.Orthogonal(gain=2.0), seed=1)((3, 8, 10)))
    np.testing.assert_allclose(np.linalg.svd(kernel.reshape(24, 10), compute_uv=False), 2.0, rtol=1e-6)
    np.testing.assert_allclose(
        np.linalg.svd(array(Portable("orthogonal", seed=1)((4, 9))), compute_uv=False), 1.0, rtol=1e-6
    )


@pytest.mark.usefixtures("keras_passes_axes")
def test_axes_reach_the_wrapped_scheme(array):
    kernel = array(Portable("glorot_uniform", seed=1, input_axes=[0], output_axes=[1, 2])((64, 4, 16)))
    assert np.abs(kernel).max() == pytest.approx(math.sqrt(6 / 128), rel=1e-2)
    overlapping = keras.initializers.HeNormal(input_axes=[0, 1], output_axes=[0, 1, 3])
    depthwise = array(Portable(overlapping, seed=1)((3, 3, 64, 8)))
    assert depthwise.var() == pytest.approx(2 / 9, rel=0.1)


def test_deterministic_schemes_pass_unchanged(array):
    np.testing.assert_array_equal(array(Portable("ones", seed=1)((2, 3))), 1.0)
    np.testing.assert_array_equal(array(Portable("identity", seed=1)((2, 2))), np.eye(2))
    with pytest.raises(ValueError, match="at least two-dimensional"):
        Portable("orthogonal", seed=1)((4,))


def test_seeds(array):
    def values(seed):
        return array(Portable(ScaledOrthogonal(), seed=seed)((5, 5)))

    np.testing.assert_array_equal(values(3), values(3))
    assert not np.array_equal(values(3), values(4))
    shared = Portable("he_normal", seed=keras.random.SeedGenerator(3))
    first, second = array(shared((5, 5))), array(shared((5, 5)))
    assert not np.array_equal(first, second)
    again = Portable("he_normal", seed=keras.random.SeedGenerator(3))
    np.testing.assert_array_equal(array(again((5, 5))), first)


def test_unknown_random_schemes_are_refused():
    class Mine(keras.initializers.RandomNormal):
        def __call__(self, shape, dtype=None):
            return keras.random.normal(shape, dtype=dtype, seed=self.seed)

    class Seedless(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return keras.random.normal(shape, dtype=dtype)

        def get_config(self):
            return {}

    def function(shape, dtype=None):
        return keras.random.normal(shape, dtype=dtype)

    for unknown in (Mine(), Seedless(), function):
        with pytest.raises(ValueError, match="Expected an initializer of the kit or of Keras, whose draws are known"):
            Portable(unknown)((2, 2))


def test_noise_around_portable_values_is_refused():
    with pytest.raises(ValueError, match=r"Expected no Portable inside Perturbed.*write Portable\(Perturbed"):
        Perturbed(Scaled(Portable("he_normal"), 2.0))
