"""Portable numbers: their distributions, and that every number of a seed counts."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from keras_initkit.initializers.drawing import DISTRIBUTIONS, PortableSeed, derived_seed, draws, unit_draws

N = 20_000


@pytest.mark.parametrize("seed", [3, PortableSeed((3,))], ids=["backend", "portable"])
def test_distributions(seed):
    """Kolmogorov-Smirnov against scipy, at a false-alarm rate of 1e-4."""
    source = draws(seed, "float32")
    expected = {
        "normal": stats.norm(),
        "truncated_normal": stats.truncnorm(-2, 2),
        "uniform": stats.uniform(),
    }
    for name, distribution in expected.items():
        values = np.asarray(keras.ops.convert_to_numpy(getattr(source, name)((N,))), "float64")
        assert stats.kstest(values, distribution.cdf).pvalue > 1e-4
    low, high = (np.asarray(keras.ops.convert_to_numpy(source.uniform((N,), -2.0, 5.0))).take([0, 1]) for _ in "ab")
    assert not np.array_equal(low, high), "each draw of one call has numbers of its own"


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("seed", [3, PortableSeed((3,))], ids=["backend", "portable"])
def test_unit_draws_have_variance_one(seed, distribution):
    values = np.asarray(keras.ops.convert_to_numpy(unit_draws(draws(seed, "float32"), distribution, (N,))), "float64")
    kurtosis = {"truncated_normal": 2.37, "untruncated_normal": 3.0, "uniform": 1.8}[distribution]
    assert abs(values.mean()) < 5 / math.sqrt(N)
    assert abs(values.var() - 1) < 5 * math.sqrt((kurtosis - 1) / N)


def test_the_first_draw_is_that_of_keras():
    ours = keras.ops.convert_to_numpy(draws(7, "float32").normal((5,)))
    np.testing.assert_array_equal(ours, keras.ops.convert_to_numpy(keras.random.normal((5,), seed=7)))


def test_portable_numbers_are_those_of_philox():
    """The raw numbers of the counter generator, made uniform by hand: 53 bits, at the middle of their cell."""
    raw = np.random.Philox(np.random.SeedSequence([2, 5, 9])).random_raw(4)
    by_hand = [(int(number) // 2**11 + 0.5) / 2**53 for number in raw]
    np.testing.assert_array_equal(draws(PortableSeed((5, 9)), "float32").uniform((2, 2)).ravel(), by_hand)


def test_every_number_of_a_derived_seed_counts():
    for start in (0, PortableSeed((0,))):
        seeds = [start, *(derived_seed(start, *stream) for stream in ((0,), (0, 0), (1,), (0, 1), (1, 0)))]
        assert len(set(seeds)) == len(seeds)
        values = [tuple(np.asarray(keras.ops.convert_to_numpy(draws(s, "float32").uniform((3,))))) for s in seeds]
        assert len(set(values)) == len(values)
    generator = keras.random.SeedGenerator(1)
    assert derived_seed(generator, 3) is generator
