"""RandomWalk: the mean logarithm of the gradient's squared norm does not drift."""

import math

import numpy as np
import pytest
from scipy import special, stats

from keras_initkit.initializers import RandomWalk


def drift(activation, width):
    """Return E log(|Wᵀ D d|² / |d|²) exactly, for normal d, D the random half of the units that relu lets through.

    |Wᵀ v|² is |v|² times the variance times a chi squared of `width` degrees, and |D d|² / |d|² is the share of M of
    them. Taken over two layers that is one chi squared of M degrees per layer, E log = digamma(M / 2) + log 2, with M
    binomial, given that any unit is left.
    """
    variance = RandomWalk(activation).variance(width, width)
    if activation == "linear":
        return math.log(variance) + special.digamma(width / 2) + math.log(2)
    active = np.arange(1, width + 1)
    weights = stats.binom.pmf(active, width, 0.5)
    logarithms = special.digamma(active / 2) + math.log(2)
    return math.log(variance) + float(weights @ logarithms / weights.sum())


@pytest.mark.parametrize("width", [8, 20, 50, 100, 300])
@pytest.mark.parametrize(("activation", "plain"), [("relu", 2.5), ("linear", 1.0)])
def test_no_drift(activation, plain, width):
    """What is left of the drift of plain scaling, about -plain / N, is a small part of it."""
    assert abs(drift(activation, width)) < 0.1 * plain / width


def test_a_deep_narrow_network(array):
    """200 linear layers of 20 units: log |x|² moves by its spread of sqrt(200 · 2 / 20) = 4.5, LeCun's by -10 as well.

    The mean over 40 networks has a standard error of 0.7.
    """
    moves = []
    for network in range(40):
        x = np.random.default_rng(network).standard_normal(20)
        before = math.log(x @ x)
        kernels = array(RandomWalk("linear", seed=network)((20, 20 * 200)))  # fan_in 20, one draw for all layers
        for kernel in np.split(kernels, 200, axis=1):
            x = x @ kernel
        moves.append(math.log(x @ x) - before)
    assert abs(np.mean(moves)) < 5 * 0.7


def test_formula():
    assert RandomWalk("relu").variance(100, 3) == pytest.approx(2 * math.exp(2.4 / 97.6) / 100)
    assert RandomWalk("relu").variance(2, 3) == pytest.approx(2 * math.exp(2.4 / 3.6) / 2)
    assert RandomWalk("linear").variance(10, 3) == pytest.approx(math.exp(0.1) / 10)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`activation` to be one of 'relu', 'linear'"):
        RandomWalk("tanh")
