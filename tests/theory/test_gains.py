"""Gains against closed forms, published integrals and Monte Carlo; each kind of bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_initkit.theory import ACTIVATIONS, expectation, gain

PHI = math.exp(-0.5) / math.sqrt(2 * math.pi)  # normal density at 1
TAIL = 0.5 * math.erfc(1 / math.sqrt(2))  # P(z > 1)

CLOSED_FORMS = [
    ("linear", "forward", 1.0),
    ("relu", "forward", math.sqrt(2)),
    ("relu", "backward", math.sqrt(2)),
    ("relu", "variance", 1 / math.sqrt(0.5 - 1 / (2 * math.pi))),
    ("leaky_relu", "forward", math.sqrt(2 / (1 + 0.2**2))),
    ("selu", "forward", 1.0),
    ("selu", "variance", 1.0),
    ("sin", "forward", 1 / math.sqrt((1 - math.exp(-2)) / 2)),
    ("sin", "backward", 1 / math.sqrt((1 + math.exp(-2)) / 2)),
    ("exponential", "forward", math.exp(-1)),
    ("exponential", "variance", 1 / math.sqrt(math.exp(2) - math.e)),
    ("erf", "forward", 1 / math.sqrt(2 / math.pi * math.asin(2 / 3))),
    ("erf", "backward", 1 / math.sqrt(4 / math.pi / math.sqrt(5))),
    ("hard_tanh", "backward", 1 / math.sqrt(1 - 2 * TAIL)),
    ("hard_tanh", "forward", 1 / math.sqrt(1 - 2 * PHI)),  # 1 - 2(φ + T) inside, 2T outside
]

# Integrals computed independently, to the five digits given.
TABLE = [
    ("tanh", 1.59254, 1.59254, 1.46741),
    ("sigmoid", 1.84623, 4.80131, 4.72265),
    ("elu", 1.24520, 1.27084, 1.22343),
    ("gelu", 1.53353, 1.70093, 1.48111),
    ("silu", 1.67653, 1.78719, 1.62332),
    ("softplus", 1.04187, 1.91913, 1.84623),
    ("softsign", 2.33753, 2.33753, 2.09578),
]


@pytest.mark.parametrize(("activation", "mode", "expected"), CLOSED_FORMS)
def test_closed_forms(activation, mode, expected):
    assert gain(activation, mode) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("activation", "forward", "variance", "backward"), TABLE)
def test_table(activation, forward, variance, backward):
    assert gain(activation) == pytest.approx(forward, abs=6e-6)
    assert gain(activation, "variance") == pytest.approx(variance, abs=6e-6)
    assert gain(activation, "backward") == pytest.approx(backward, abs=6e-6)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_second_moment_and_variance_agree_with_monte_carlo(activation):
    z = np.random.default_rng(0).standard_normal(400_000)
    values = ACTIVATIONS[activation](z)
    square = np.square(values)
    error = 5 * square.std() / math.sqrt(z.size)
    assert 1 / gain(activation) ** 2 == pytest.approx(square.mean(), abs=error)
    centred = np.square(values - values.mean())
    assert 1 / gain(activation, "variance") ** 2 == pytest.approx(centred.mean(), abs=5 * centred.std() / z.size**0.5)


@settings(deadline=None, max_examples=50)
@given(kink=st.floats(-3, 3), slope=st.floats(-1, 1))
def test_a_kink_anywhere_is_found(kink, slope):
    """E f'² of a function with slope 1 above the kink and another below is a mixture of the two."""
    below = 0.5 * math.erfc(-kink / math.sqrt(2))
    moment = (1 - below) + slope**2 * below

    def bent(z):
        return np.where(z > kink, z - kink, slope * (z - kink))

    assert gain(bent, "backward") == pytest.approx(1 / math.sqrt(moment), rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(factor=st.floats(0.01, 100), mode=st.sampled_from(["forward", "variance", "backward"]))
def test_gain_is_inverse_to_the_scale_of_the_activation(factor, mode):
    assert gain(lambda z: factor * np.tanh(z), mode) == pytest.approx(gain("tanh", mode) / factor, rel=1e-6)


@pytest.mark.parametrize("power", [2, 4, 6, 8])
def test_expectation_gives_normal_moments(power):
    assert expectation(lambda z: z**power) == pytest.approx(math.prod(range(1, power, 2)), rel=1e-9)


def test_a_jump_is_integrated_forward():
    assert gain(np.sign) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize(
    ("activation", "mode", "text"),
    [
        ("rellu", "forward", "Did you mean 'relu'"),
        ("relu", "upward", "one of 'forward', 'variance', 'backward'"),
        (3, "forward", "a name or a function of a NumPy array"),
        (lambda z: z[:1], "forward", "of shape"),
        (lambda z: z[:1], "backward", "of shape"),
        (np.log, "forward", "finite real numbers"),
        (lambda z: 1j * z, "forward", "finite real numbers"),
        (lambda z: np.exp(z * z / 3), "forward", "finite moments"),
        (lambda z: 0 * z, "forward", "that varies"),
        (lambda z: 0 * z + 3, "variance", "that varies"),
        (lambda z: 0 * z + 3, "backward", "that varies"),
        (np.sign, "backward", "jumps at z"),
        (lambda z: np.maximum(z, 0) + 1e-3 * (z > 0.123), "backward", r"jumps at z = 0\.123"),
        ("hard_shrink", "backward", "jumps at z = -0.5"),
        (lambda z: z.astype("float32"), "backward", "computes in float64"),
    ],
)
def test_bad_input(activation, mode, text):
    with pytest.raises(ValueError, match=text):
        gain(activation, mode)
