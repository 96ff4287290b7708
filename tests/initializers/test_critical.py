"""CriticalKernel and CriticalBias: chi_1 = 1, and networks that follow the maps of infinite width."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from keras_initkit.initializers import CriticalBias, CriticalKernel, LayerFans
from keras_initkit.theory import MeanField, critical_point

WIDTH = 1000
PAIR = {"activation": "tanh", "bias_variance": 0.05}


@pytest.mark.parametrize(
    ("activation", "bias_variance"),
    [("tanh", 0.05), ("erf", 0.2), ("selu", 0.1), ("gelu", 0.3), ("sigmoid", 0.0), ("relu", 0.0)],
)
def test_the_pair_is_critical(activation, bias_variance):
    kernel = CriticalKernel(activation, bias_variance)
    phase = MeanField(activation, 100 * kernel.variance(100, 7), bias_variance)
    assert phase.chi_1 == pytest.approx(1.0, abs=1e-6)


def test_values(array):
    """Variances within 5 standard errors, normal (Kolmogorov-Smirnov at a level of 1e-6)."""
    kernel, bias = array(CriticalKernel(**PAIR, seed=0)((400, 300))), array(CriticalBias(**PAIR, seed=0)((40_000,)))
    for values, variance in ((kernel.ravel(), 1.760955 / 400), (bias, 0.05)):
        assert np.mean(values**2) == pytest.approx(variance, rel=5 * math.sqrt(2 / values.size))
        assert stats.kstest(values / math.sqrt(variance), "norm").pvalue > 1e-6
    assert not array(CriticalBias("relu", 0.0, seed=0)((5,))).any()
    uniform = array(CriticalBias(**PAIR, distribution="uniform", seed=0)((10_000,)))
    assert 0.99 * math.sqrt(0.15) < np.abs(uniform).max() <= math.sqrt(0.15)


def network(array, pair, first, second, depth, width=WIDTH):
    """Yield the pre-activations of two batches of inputs after each of `depth` layers of tanh."""
    for layer in range(depth):
        kernel = array(CriticalKernel(**pair, seed=layer)((width, width)))
        bias = array(CriticalBias(**pair, seed=100 + layer)((width,)))
        first, second = np.tanh(first) @ kernel + bias, np.tanh(second) @ kernel + bias
        yield first, second


@pytest.mark.parametrize(
    ("q", "c", "spread_of_q", "spread_of_c"),
    [(2.0, 0.3, 0.007, 0.008), (0.57, 0.9, 0.008, 0.002), (0.1, -0.5, 0.011, 0.021)],
)
def test_variance_and_correlation_maps(array, q, c, spread_of_q, spread_of_c):
    """Five layers of 1000 units with 100 pairs of inputs.

    The biases are one draw for all inputs and make most of the error. The spreads are the largest over the five layers
    among 30 such networks drawn with NumPy; five of them are allowed.
    """
    rng = np.random.default_rng(0)
    first = rng.standard_normal((100, WIDTH))
    second = c * first + math.sqrt(1 - c * c) * rng.standard_normal((100, WIDTH))
    phase = MeanField("tanh", critical_point(**PAIR).weight_variance, 0.05)
    for u, v in network(array, PAIR, math.sqrt(q) * first, math.sqrt(q) * second, 5):
        c, q = phase.correlation_map(c, q), phase.variance_map(q)
        found = np.mean(u**2), np.mean(u * v) / math.sqrt(np.mean(u**2) * np.mean(v**2))
        assert found[0] == pytest.approx(q, abs=5 * spread_of_q)
        assert found[1] == pytest.approx(c, abs=5 * spread_of_c)


def test_small_differences_keep_their_size(array):
    """In 30 layers of 400 units the distance of two near inputs changes by chi_1^15 = 1.

    Its logarithm spreads by sqrt(30 · 3 / 400) / 2 = 0.24; in an ordered network of sigma_w² = 1 it would be -4.1.
    """
    q = critical_point(**PAIR).q
    first = math.sqrt(q) * np.random.default_rng(0).standard_normal((20, 400))
    second = first + 1e-4 * np.random.default_rng(1).standard_normal((20, 400))
    for pre_activations in network(array, PAIR, first, second, 30, 400):
        u, v = pre_activations
    assert abs(math.log(np.sqrt(np.mean((u - v) ** 2)) / 1e-4)) < 5 * 0.24


def test_layer_fans_applies():
    kernel = LayerFans(CriticalKernel(**PAIR), "lstm")
    assert kernel.initializer.variance(10, 99) == pytest.approx(0.1760955, rel=1e-6)


@pytest.mark.parametrize("kind", [CriticalKernel, CriticalBias])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("relu", 0.05), "as for relu, it is 0"),
        (("gelu", 0.0), "from about 0.173 up"),
        (("tanh", -0.1), "`bias_variance` to be a finite number of at least 0"),
        (("tanh", 0.1, "normal"), "`distribution` to be one of"),
        (("tanh", 0.1, "uniform", 0.0), "`weight_variance` to be a finite number above 0"),
        (("softmax", 0.1), "elementwise"),
        ((keras.layers.Softmax(), 0.1), "elementwise"),
    ],
)
def test_bad_arguments(kind, arguments, text):
    with pytest.raises(ValueError, match=text):
        kind(*arguments)
