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


def leaky_3(z):
    return np.where(z > 0, z, 0.3 * z)


def relu_squared(z):
    return np.square(np.maximum(z, 0.0))


# Integrals computed independently, to the five digits given: E f², forward gain, variance gain, E f'², backward gain.
TABLE = [
    ("relu", 0.50000, 1.41421, 1.71286, 0.50000, 1.41421),
    ("leaky_relu", 0.52000, 1.38675, 1.54646, 0.52000, 1.38675),
    (leaky_3, 0.54500, 1.35457, 1.46331, 0.54500, 1.35457),
    ("tanh", 0.39429, 1.59254, 1.59254, 0.46440, 1.46741),
    ("sigmoid", 0.29338, 1.84623, 4.80131, 0.04484, 4.72265),
    ("elu", 0.64495, 1.24520, 1.27084, 0.66810, 1.22343),
    ("selu", 1.00000, 1.00000, 1.00000, 1.07157, 0.96603),
    ("gelu", 0.42522, 1.53353, 1.70093, 0.45585, 1.48111),
    ("silu", 0.35578, 1.67653, 1.78719, 0.37948, 1.62332),
    ("mish", 0.45234, 1.48685, 1.59203, None, None),
    ("softplus", 0.92125, 1.04187, 1.91913, 0.29338, 1.84623),
    ("softsign", 0.18301, 2.33753, 2.33753, 0.22767, 2.09578),
    ("sin", 0.43233, 1.52087, 1.52087, 0.56767, 1.32725),
    ("erf", 0.46456, 1.46717, 1.46717, 0.56941, 1.32522),
    ("hard_silu", 0.33157, 1.73666, 1.81387, None, None),
    (relu_squared, 1.50000, 0.81650, 0.89443, 2.00000, 0.70711),
]


@pytest.mark.parametrize(("activation", "mode", "expected"), CLOSED_FORMS)
def test_closed_forms(activation, mode, expected):
    assert gain(activation, mode) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("activation", "moment", "forward", "variance", "slope", "backward"), TABLE)
def test_table(activation, moment, forward, variance, slope, backward):
    assert gain(activation) == pytest.approx(forward, abs=6e-6)
    assert gain(activation) ** -2 == pytest.approx(moment, abs=6e-6)
    assert gain(activation, "variance") == pytest.approx(variance, abs=6e-6)
    if backward is not None:
        assert gain(activation, "backward") == pytest.approx(backward, abs=6e-6)
        assert gain(activation, "backward") ** -2 == pytest.approx(slope, abs=6e-6)


@settings(deadline=None, max_examples=30)
@given(q=st.floats(1e-3, 1e3))
def test_any_variance_of_pre_activations(q):
    """For homogeneous activations q does not matter; sin and erf have closed forms at every q."""
    for mode in ("forward", "backward"):
        assert gain("relu", mode, q) == pytest.approx(math.sqrt(2), rel=1e-7)
    assert gain("erf", q=q) == pytest.approx(math.sqrt(q / (2 / math.pi * math.asin(2 * q / (1 + 2 * q)))), rel=1e-7)
    assert gain("erf", "backward", q) == pytest.approx((4 / math.pi / math.sqrt(1 + 4 * q)) ** -0.5, rel=1e-7)
    assert gain("sin", q=min(q, 9)) == pytest.approx(math.sqrt(2 * min(q, 9) / -math.expm1(-2 * min(q, 9))), rel=1e-7)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("linear", 1.0),
        ("relu", math.sqrt(2)),
        (leaky_3, math.sqrt(2 / 1.09)),
        ("tanh", 1.0),
        ("softsign", 1.0),
        ("sin", 1.0),
        ("hard_tanh", 1.0),
        ("elu", 1.0),
        ("erf", math.sqrt(math.pi) / 2),
        ("selu", math.sqrt(2 / (1 + 1.6732632423543772**2)) / 1.0507009873554805),
        (lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1), 1.0),
    ],
)
def test_critical_gain_of_activations_through_zero(activation, expected):
    """With f(0) = 0 it follows from the slopes at 0."""
    assert gain(activation, "critical") == pytest.approx(expected, rel=1e-7)


def test_critical_gain_of_sigmoid():
    """f(0) is not 0: at the gain found, iterating the variance map ends at a q where the slope is 1."""
    found, q = gain("sigmoid", "critical"), 1.0
    assert found == pytest.approx(10.14926, abs=1e-5)
    z, width = np.linspace(-12, 12, 100_001, retstep=True)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * width
    for _ in range(300):
        values = 1 / (1 + np.exp(-math.sqrt(q) * z))
        q = found**2 * float(density @ values**2)
    assert q == pytest.approx(45.624, abs=1e-3)
    assert found**2 * float(density @ (values * (1 - values)) ** 2) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("exact", [ACTIVATIONS[n] for n in ("tanh", "relu", "silu", "hard_tanh", "elu", "sin")])
@pytest.mark.parametrize("q", [0.3, 1.0, 4.0])
def test_functions_that_compute_in_float32(exact, q):
    for mode, error in [("forward", 2e-7), ("variance", 2e-7), ("backward", 2e-6)]:
        for single in (
            lambda z: exact(z.astype("float32")).astype("float32"),
            lambda z: exact(z).astype("float32"),
            lambda z: exact(z.astype("float32")).astype("float64"),  # hides it
        ):
            assert gain(single, mode, q) == pytest.approx(gain(exact, mode, q), rel=error)


@settings(deadline=None, max_examples=25)
@given(kink=st.floats(-3, 3), slope=st.floats(-1, 1))
def test_a_kink_anywhere_is_found_in_float32_too(kink, slope):
    below = 0.5 * math.erfc(-kink / math.sqrt(2))

    def bent(z):
        return np.where(z > kink, z - kink, slope * (z - kink)).astype("float32")

    assert gain(bent, "backward") == pytest.approx(((1 - below) + slope**2 * below) ** -0.5, rel=5e-6)


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
    assert gain(np.sign) == pytest.approx(1.0, rel=1e-8)


@pytest.mark.parametrize(
    ("activation", "mode", "text"),
    [
        ("rellu", "forward", "Did you mean 'relu'"),
        ("relu", "upward", "one of 'forward', 'variance', 'backward', 'critical'"),
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
        (lambda z: np.sign(z).astype("float32"), "backward", "jumps at z"),
        (lambda z: np.exp(z) / np.exp(z).sum(), "forward", "depend on the other inputs"),
        (lambda z: np.cumsum(z), "backward", "depend on the other inputs"),
        (lambda z: z[::-1], "forward", "depend on the other inputs"),
        (lambda z: z + np.random.default_rng().normal(size=z.shape), "forward", "or on chance"),
        ("softplus", "critical", "For this one no bias variance has one"),
        ("exponential", "critical", "no bias variance has one"),
        ("gelu", "critical", r"bias variances from about 0\.173 up"),
        ("hard_shrink", "critical", "jumps at z = -0.5"),
    ],
)
def test_bad_input(activation, mode, text):
    with pytest.raises(ValueError, match=text):
        gain(activation, mode)


@pytest.mark.parametrize("q", [0, -1, math.nan, "1"])
def test_bad_variances(q):
    with pytest.raises(ValueError, match="Expected `q` to be a finite number above 0"):
        gain("tanh", q=q)


def test_the_critical_gain_finds_its_own_variance():
    with pytest.raises(ValueError, match="Expected no `q` for mode='critical'"):
        gain("tanh", "critical", q=2.0)
