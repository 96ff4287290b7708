"""Mean-field maps against closed forms and published numbers; the critical line."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from keras_initkit.theory import ACTIVATIONS, MeanField, critical_point

# sigma_b² -> sigma_w² of tanh at the edge of chaos, computed independently to the digits given.
TANH_LINE = [
    (0.0, 1.0),
    (0.001, 1.18919),
    (0.01, 1.42421),
    (0.05, 1.76095),
    (0.1, 1.98607),
    (0.2, 2.28515),
    (0.3, 2.50513),
]
# q -> (sigma_w², sigma_b²) on the same line.
TANH_BY_Q = [
    (1 / 16, 1.11538, 0.00024),
    (0.25, 1.39396, 0.00813),
    (0.5, 1.68798, 0.03804),
    (1.0, 2.15330, 0.15096),
    (1.5, 2.53248, 0.31407),
]
# tanh with sigma_b² = 0.05: sigma_w², q*, c*, chi_1, xi_q, xi_c, of which the last digit of the depths is rounded.
PHASES = [
    (1.0, 0.19359, 1.0, 0.75903, 1.748, 3.627),
    (1.3, 0.31532, 1.0, 0.88016, 1.785, 7.834),
    (1.5, 0.41804, 1.0, 0.93864, 1.683, 15.79),
    (1.7, 0.53308, 1.0, 0.98674, 1.558, 74.9),
    (2.0, 0.72176, 0.74408, 1.04767, 1.388, 25.2),
    (2.5, 1.06396, 0.44680, 1.13352, 1.180, 11.8),
    (3.0, 1.42801, 0.29932, 1.20893, 1.041, 9.05),
    (4.0, 2.19549, 0.16506, 1.34240, 0.873, 6.98),
]


@pytest.mark.parametrize(("bias_variance", "weight_variance"), TANH_LINE)
def test_critical_line_of_tanh(bias_variance, weight_variance):
    point = critical_point("tanh", bias_variance)
    assert point.weight_variance == pytest.approx(weight_variance, abs=6e-6)
    assert point.bias_variance == bias_variance
    if bias_variance == 0.05:
        assert point.q == pytest.approx(0.57005, abs=6e-6)


@pytest.mark.parametrize(("q", "weight_variance", "bias_variance"), TANH_BY_Q)
def test_critical_line_of_tanh_by_q(q, weight_variance, bias_variance):
    exact = q - weight_variance * MeanField("tanh", 1.0).variance_map(q)
    assert exact == pytest.approx(bias_variance, abs=1e-5)
    point = critical_point("tanh", exact)
    assert point.q == pytest.approx(q, abs=2e-4)
    assert point.weight_variance == pytest.approx(weight_variance, abs=5e-5)


@pytest.mark.parametrize(("weight_variance", "q", "c", "chi_1", "xi_q", "xi_c"), PHASES)
def test_phases_of_tanh(weight_variance, q, c, chi_1, xi_q, xi_c):
    phase = MeanField("tanh", weight_variance, 0.05)
    assert (phase.q, phase.c, phase.chi_1) == pytest.approx((q, c, chi_1), abs=6e-6)
    assert phase.xi_q == pytest.approx(xi_q, abs=6e-4)
    assert phase.xi_c == pytest.approx(xi_c, rel=3e-3)
    assert phase.variance_map(phase.q) == pytest.approx(phase.q, rel=1e-9)
    assert phase.correlation_map(phase.c) == pytest.approx(phase.c, rel=1e-7)


@pytest.mark.parametrize(
    ("activation", "bias_variance", "weight_variance", "q"),
    [
        ("gelu", 0.17292239, 1.98305826, (3 + math.sqrt(17)) / 2),
        ("silu", 0.55514317, 1.98800468, 14.32017362),
    ],
)
def test_half_stable_points(activation, bias_variance, weight_variance, q):
    """Where the slope of V is 1 as well: Roberts, Yaida, Hanin, "The Principles of Deep Learning Theory", 2022.

    Below this bias variance q is repelled, so that it is the first point on the line. Near it q depends on the bias
    variance like a square root, so we start a little above, and the rest moves by less than the tolerances.
    """
    point = critical_point(activation, bias_variance + 1e-7)
    assert point.weight_variance == pytest.approx(weight_variance, abs=1e-6)
    assert point.q == pytest.approx(q, rel=1e-4)
    with pytest.raises(ValueError, match=rf"from about {bias_variance:.3g} up"):
        critical_point(activation, bias_variance - 0.01)


ATTRACTED = [
    *((f, b) for f in ("tanh", "erf", "sin", "softsign", "selu", "elu", "hard_tanh") for b in (0.02, 0.2, 1.0)),
    *(("gelu", 0.2), ("gelu", 1.0), ("silu", 1.0)),
]


@pytest.mark.parametrize(("activation", "bias_variance"), ATTRACTED)
def test_critical_points_are_fixed_points_of_slope_one(activation, bias_variance):
    weight_variance, _, q = critical_point(activation, bias_variance)
    phase = MeanField(activation, weight_variance, bias_variance)
    assert phase.variance_map(q) == pytest.approx(q, rel=1e-8)
    assert phase.q == pytest.approx(q, rel=1e-6)
    assert phase.chi_1 == pytest.approx(1.0, abs=1e-6)
    assert phase.chi_q < 1.0
    assert phase.c == 1.0


def test_erf_has_a_closed_line():
    """E f² = 2/π asin(2q / (1 + 2q)) and E f'² = 4/π / sqrt(1 + 4q)."""
    for q in (0.1, 1.0, 10.0):
        weight_variance = math.pi / 4 * math.sqrt(1 + 4 * q)
        bias_variance = q - weight_variance * 2 / math.pi * math.asin(2 * q / (1 + 2 * q))
        assert critical_point("erf", bias_variance) == pytest.approx((weight_variance, bias_variance, q), rel=1e-6)


def test_homogeneous_activations_have_one_point():
    assert critical_point("relu") == pytest.approx((2.0, 0.0, 1.0), rel=1e-7)
    assert critical_point("leaky_relu") == pytest.approx((2 / 1.04, 0.0, 1.0), rel=1e-7)
    assert critical_point("linear") == pytest.approx((1.0, 0.0, 1.0), rel=1e-7)
    with pytest.raises(ValueError, match="as for relu, it is 0: any bias lets signals grow"):
        critical_point("relu", 0.05)


def test_own_functions_in_float32():
    def tanh(z):
        return np.tanh(z.astype("float32"))

    assert critical_point(tanh, 0.05) == pytest.approx((1.760955, 0.05, 0.570048), abs=1e-5)
    assert critical_point(tanh) == pytest.approx((1.0, 0.0, 0.0), abs=1e-5)
    assert MeanField(tanh, 2.0, 0.05).c == pytest.approx(0.74408, abs=1e-4)


def arccos_kernel(c):
    """E relu(u) relu(v) · 2 for unit normal u, v of correlation c."""
    return (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi


def mixture(a):
    """Return 2 / (1 + a²) E f(u) f(v) for a leaky relu of slope a, which is ((1 - a) relu + a) of z."""
    return lambda c: ((1 - a) ** 2 * arccos_kernel(c) + 2 * a * c) / (1 + a * a)


CORRELATIONS = [
    ("relu", 2.0, 1.0, arccos_kernel, 2e-6),
    ("leaky_relu", 2 / 1.04, 7.0, mixture(0.2), 2e-6),
    ("erf", 3.0, 2.0, lambda c: math.asin(2 * 2 * c / 5) / math.asin(4 / 5), 1e-9),
    ("sin", 2.0, 0.7, lambda c: math.sinh(0.7 * c) / math.sinh(0.7), 1e-9),
    ("linear", 1.0, 3.0, lambda c: c, 1e-9),
]


@pytest.mark.parametrize(("activation", "weight_variance", "q", "expected", "error"), CORRELATIONS)
@pytest.mark.parametrize("c", [-1.0, -0.6, 0.0, 0.3, 0.9, 0.999, 1.0])
def test_correlation_maps(activation, weight_variance, q, expected, error, c):
    found = MeanField(activation, weight_variance).correlation_map(c, q)
    assert found == pytest.approx(expected(c), abs=error)


@settings(deadline=None, max_examples=20)
@given(c=st.floats(-0.95, 0.95), q=st.floats(0.1, 10), kink=st.floats(-1, 1))
def test_correlation_map_at_any_kink(c, q, kink):
    """E H(u - k) H(v - k) is an orthant probability; an integral of it over k gives E relu(u - k) relu(v - k)."""
    phase = MeanField(lambda z: np.maximum(z - kink, 0.0), 1.0)
    z, width = np.linspace(-10, 10, 4001, retstep=True)
    u = math.sqrt(q) * z
    inner = c * u
    spread = math.sqrt(q * (1 - c * c))
    t = (inner - kink) / spread
    conditional = (inner - kink) * norm.cdf(t) + spread * norm.pdf(t)
    product = float(np.sum(norm.pdf(z) * np.maximum(u - kink, 0) * conditional) * width)
    assert phase.correlation_map(c, q) * phase.variance_map(q) == pytest.approx(product, abs=3e-5 * q)


def test_variance_maps():
    assert MeanField("relu", 2.0, 0.1).variance_map(3.0) == pytest.approx(3.1, rel=1e-9)
    assert MeanField("sin", 2.0).variance_map(0.7) == pytest.approx(-math.expm1(-1.4), rel=1e-9)
    assert MeanField("erf", 3.0, 0.5).variance_map(2.0) == pytest.approx(0.5 + 6 / math.pi * math.asin(0.8), rel=1e-9)
    assert MeanField("sigmoid", 1.0).variance_map(0.0) == pytest.approx(0.25, rel=1e-9)


def test_fixed_points_of_relu():
    """q* = sigma_b² / (1 - sigma_w² / 2), both slopes sigma_w² / 2."""
    phase = MeanField("relu", 1.5, 0.3)
    assert phase.q == pytest.approx(1.2, rel=1e-9)
    assert phase.chi_1 == pytest.approx(0.75, rel=1e-7)
    assert phase.chi_q == pytest.approx(0.75, rel=1e-7)
    assert phase.xi_q == pytest.approx(-1 / math.log(0.75), rel=1e-6)
    critical = MeanField("relu", 2.0)
    assert (critical.q, critical.c) == (1.0, 1.0)
    assert critical.xi_q == critical.xi_c == math.inf
    assert MeanField("relu", 1.9).q == 0.0
    with pytest.raises(ValueError, match="grows without bound"):
        _ = MeanField("relu", 2.1).q


def test_selu_is_at_its_fixed_point():
    phase = MeanField("selu", 1.0)
    assert phase.q == pytest.approx(1.0, rel=1e-9)
    assert phase.chi_1 == pytest.approx(1.07157, abs=6e-6)
    shrunk = MeanField("selu", 0.75**2)
    assert shrunk.q == pytest.approx(0.023, abs=5e-4)
    assert shrunk.chi_1 == pytest.approx(1.0037, abs=6e-5)


def test_tanh_with_the_gain_of_torch():
    phase = MeanField("tanh", (5 / 3) ** 2)
    assert phase.q == pytest.approx(1.178, abs=6e-4)
    assert phase.chi_1 == pytest.approx(1.21, abs=6e-3)


def test_signals_that_die_out():
    silent = MeanField("tanh", 0.8)
    assert (silent.q, silent.c) == (0.0, 1.0)
    assert silent.chi_1 == pytest.approx(0.8, rel=1e-6)


def test_iterating_the_maps_ends_at_the_fixed_points():
    phase = MeanField("tanh", 2.5, 0.05)
    q, c = 3.0, 0.6
    for _ in range(40):
        q = phase.variance_map(q)
    for _ in range(60):
        c = phase.correlation_map(c, q)
    assert q == pytest.approx(phase.q, rel=1e-9)
    assert c == pytest.approx(phase.c, abs=2e-3)
    before = abs(c - phase.c)
    for _ in range(12):
        c = phase.correlation_map(c)
    assert abs(c - phase.c) / before == pytest.approx(math.exp(-12 / phase.xi_c), rel=0.02)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: MeanField("tanh", 0.0), "`weight_variance` to be a finite number above 0"),
        (lambda: MeanField("tanh", 1.0, -1.0), "`bias_variance` to be a finite number of at least 0"),
        (lambda: MeanField("tahn", 1.0), "Did you mean 'tanh'"),
        (lambda: MeanField("tanh", 1.0).correlation_map(1.1), "`c` to be a correlation"),
        (lambda: MeanField("tanh", 1.0).correlation_map(0.5, q=0.0), "`q` to be a finite number above 0"),
        (lambda: critical_point("tanh", -0.1), "`bias_variance` to be a finite number of at least 0"),
        (lambda: critical_point("hard_shrink", 0.1), "jumps at z"),
        (lambda: critical_point(np.cumsum, 0.1), "elementwise"),
        (lambda: critical_point("exponential", 0.5), "For this one no bias variance has one"),
    ],
)
def test_bad_arguments(build, text):
    with pytest.raises(ValueError, match=text):
        build()


WITHOUT_BIASES = {
    "linear", "relu", "leaky_relu", "relu6", "elu", "celu", "selu", "tanh", "sigmoid", "softsign", "hard_sigmoid",
    "hard_tanh", "sparse_sigmoid", "sin", "erf",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WITHOUT_BIASES))
def test_activations_that_are_critical_without_biases(name):
    point = critical_point(name)
    assert MeanField(name, point.weight_variance).chi_1 == pytest.approx(1.0, abs=1e-3 if point.q == 0 else 1e-6)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - WITHOUT_BIASES))
def test_the_others_say_why_not(name):
    with pytest.raises(ValueError, match="one that jumps|from about|no bias variance has one"):
        critical_point(name)
