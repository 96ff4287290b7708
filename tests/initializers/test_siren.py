"""SIREN: bounds, the variance that pre-activations settle at, the growth of gradients."""

import math

import keras
import numpy as np
import pytest
from keras import layers
from scipy import optimize, stats

from keras_initkit.initializers import SIREN, LayerFans

OMEGA = 30.0
CONSTANT = {False: 6.0, True: 6.939}


@pytest.mark.parametrize(
    ("initializer", "shape", "bound"),
    [
        (SIREN(first=True, seed=0), (2, 5000), 1 / 2),
        (SIREN(seed=0), (200, 300), math.sqrt(6 / 200) / 30),
        (SIREN(omega=5.0, exact=True, seed=0), (200, 300), math.sqrt(6 / -math.expm1(-2) / 200) / 5),
        (SIREN(first=True, exact=True, seed=0), (3, 5000), 1 / 3),
        (SIREN(seed=0), (3, 3, 20, 100), math.sqrt(6 / 180) / 30),
        (LayerFans(SIREN(seed=0), "depthwise_conv"), (3, 3, 100, 50), math.sqrt(6 / 9) / 30),
    ],
)
def test_bounds_and_distribution(array, initializer, shape, bound):
    values = array(initializer(shape)).ravel()
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    assert stats.kstest(values, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4


def test_exact_constant():
    ratio = SIREN(exact=True).variance(10, 10) / SIREN().variance(10, 10)
    assert ratio == pytest.approx(6.939 / 6, abs=1e-4)
    for c, fixed_point in ((6.0, 0.7968), (6 * ratio, 1.0)):
        found = optimize.brentq(lambda v, c=c: c / 6 * -math.expm1(-2 * v) - v, 0.1, 3)
        assert found == pytest.approx(fixed_point, abs=1e-4)


def run(array, exact, hidden=7, width=1024, points=256):
    """Return the pre-activations omega · x W of each layer, and a random readout's gradients with respect to them."""
    h = np.random.default_rng(0).uniform(-1, 1, (points, 2))
    kernels, states = [], []
    for depth in range(1 + hidden):
        initializer = SIREN(first=depth == 0, exact=exact, seed=depth)
        kernels.append(array(initializer((h.shape[1], width))))
        states.append(OMEGA * h @ kernels[-1])
        h = np.sin(states[-1])
    gradient = np.random.default_rng(1).standard_normal((points, width)) * np.cos(states[-1])
    gradients = [gradient]
    for depth in range(hidden, 0, -1):
        gradient = OMEGA * (gradient @ kernels[depth].T) * np.cos(states[depth - 1])
        gradients.insert(0, gradient)
    return states, gradients


@pytest.mark.parametrize("exact", [False, True])
def test_variance_settles_at_the_fixed_point(array, exact):
    """Against v' = c/6 (1 - exp(-2v)), from v = c/6 after a first layer of many periods.

    A layer of 1024 units has the variance to about sqrt(2 / 1024) = 4 % for one point, less over many points.
    """
    states, _ = run(array, exact)
    measured = [state.var() for state in states[1:]]
    c = CONSTANT[exact]
    expected = [c / 6]
    while len(expected) < len(measured):
        expected.append(c / 6 * -math.expm1(-2 * expected[-1]))
    np.testing.assert_allclose(measured, expected, rtol=0.04)
    low, high = (0.98, 1.05) if exact else (0.79, 0.84)
    assert all(low < value < high for value in measured[2:])


@pytest.mark.parametrize("exact", [False, True])
def test_gradients_grow_as_stated(array, exact):
    """By sqrt(c/6 (1 + exp(-2v))) a layer back: 1.097 and 1.146; so within 1.5 over the 4 steps of a usual network."""
    _, gradients = run(array, exact)
    sizes = [np.sqrt(np.mean(gradient**2)) for gradient in gradients[1:]]
    growth = (sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1))
    assert growth == pytest.approx(1.146 if exact else 1.097, rel=0.02)
    if not exact:
        assert sizes[-5] / sizes[-1] < 1.5


def test_sines_of_the_first_layer_follow_the_arcsine_law(array):
    """With 4 coordinates, 30 x W spreads over many periods; every sample has weights and coordinates of its own."""
    n = 20_000
    kernel = array(SIREN(first=True, seed=5)((4, n)))
    x = np.random.default_rng(0).uniform(-1, 1, (n, 4))
    sines = np.sin(OMEGA * np.einsum("ni,in->n", x, kernel))
    assert stats.kstest(sines, stats.arcsine(-1, 2).cdf).pvalue > 1e-4
    narrow = np.sin(np.einsum("ni,in->n", x, kernel))  # without omega it does not
    assert stats.kstest(narrow, stats.arcsine(-1, 2).cdf).pvalue < 1e-4


def test_a_keras_network_keeps_its_size(array):
    """The same in layers: after six of them the sines have the second moment 0.4."""
    sine = layers.Activation(lambda z: keras.ops.sin(OMEGA * z))
    model = keras.Sequential([keras.Input((2,))])
    for depth in range(6):
        model.add(layers.Dense(256, kernel_initializer=SIREN(first=depth == 0, seed=depth)))
        model.add(sine)
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype("float32")
    assert np.mean(array(model(x)) ** 2) == pytest.approx(0.7968 / 2, rel=0.1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: SIREN(0), "`omega` to be a finite number above 0"),
        (lambda: SIREN(first=1), "`first` to be True or False. Received: first=1"),
        (lambda: SIREN(exact="yes"), "`exact` to be True or False"),
        (lambda: SIREN()((5,)), "at least 2 axes: SIREN is not defined for vectors"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
