"""What chance gives, against SciPy's distributions and simulated layers."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from keras_initkit.symmetry import unit_similarity
from keras_initkit.symmetry.null import (
    expected_absolute,
    expected_mean_square,
    expected_participation,
    is_informative,
    max_abs_quantile,
    mean_square_skewness,
    mean_square_z,
)

GRID = [(4, 4), (4, 27), (8, 3), (8, 64), (16, 5), (16, 27), (32, 3), (32, 16), (64, 9)]


def random_layers(units, inputs, layers, seed):
    """Yield stacks of layers with directions uniform on the sphere, `(layers, units, inputs)`."""
    rng = np.random.default_rng([seed, units, inputs])
    most = max(1, 1_000_000 // (units * max(units, inputs)))
    for start in range(0, layers, most):
        vectors = rng.standard_normal((min(most, layers - start), units, inputs), dtype=np.float32).astype(np.float64)
        yield vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def mean_squares(units, inputs, layers, seed=0):
    """The mean of c² over the pairs of simulated layers, from the Gram matrix of the smaller side."""
    found = []
    for stack in random_layers(units, inputs, layers, seed):
        small = stack if units <= inputs else stack.transpose(0, 2, 1)
        total = ((small @ small.transpose(0, 2, 1)) ** 2).sum(axis=(1, 2))
        found.append((total - units) / (units * (units - 1)))
    return np.concatenate(found)


def assert_probability(hits, probability, *, slack=0.0):
    """Fail if so many hits have a chance below 1e-5 for every probability within `slack` (relative)."""
    low, high = probability * (1 - slack), probability * (1 + slack)
    assert stats.binom(len(hits), low).ppf(1e-5) <= hits.sum() <= stats.binom(len(hits), high).isf(1e-5), hits.mean()


@pytest.mark.parametrize("inputs", [2, 3, 4, 9, 27, 300, 5000])
def test_moments_of_one_cosine(inputs):
    square = stats.beta(0.5, (inputs - 1) / 2)
    assert expected_mean_square(inputs) == pytest.approx(square.mean())
    absolute = integrate.quad(lambda p: math.sqrt(square.ppf(p)), 0, 1)[0]
    assert expected_absolute(inputs) == pytest.approx(absolute, rel=1e-6)
    assert mean_square_skewness(2, inputs) == pytest.approx(float(square.stats("s")), abs=1e-12)


def test_one_input():
    assert expected_absolute(1) == 1
    assert expected_mean_square(1) == 1


def test_a_symmetric_null_needs_no_cube_root():
    # Two units with two inputs: c² has the arcsine law, variance 1/8.
    assert mean_square_z(0.75, 2, 2) == pytest.approx(0.25 / math.sqrt(1 / 8))


@pytest.mark.parametrize("inputs", [10, 100, 10_000])
def test_approximation_of_the_absolute_value(inputs):
    assert expected_absolute(inputs) == pytest.approx(math.sqrt(2 / (math.pi * inputs)), rel=1 / inputs)


@pytest.mark.parametrize("inputs", [2, 3, 10, 100])
def test_skewness_with_many_units_is_that_of_chi_square(inputs):
    # Σ(uuᵀ - I/d) is Gaussian in the (d - 1)(d + 2)/2 dimensions of the symmetric matrices without trace.
    freedom = (inputs - 1) * (inputs + 2) // 2
    assert mean_square_skewness(10**7, inputs) == pytest.approx(float(stats.chi2(freedom).stats("s")), rel=1e-5)


@pytest.mark.parametrize("units", [3, 5, 12])
def test_skewness_with_many_inputs_is_that_of_independent_squares(units):
    freedom = units * (units - 1) // 2
    assert mean_square_skewness(units, 10**9) == pytest.approx(float(stats.chi2(freedom).stats("s")), rel=1e-3)


@pytest.mark.parametrize(("units", "inputs"), [(3, 3), (4, 27), (8, 9), (32, 3)])
def test_moments_of_the_mean_square(units, inputs):
    layers = 40_000
    squares = mean_squares(units, inputs, layers)
    centred = squares - expected_mean_square(inputs)
    deviation = math.sqrt(2 * (inputs - 1) / (inputs**2 * (inputs + 2)) / (units * (units - 1) / 2))
    for power, expected in ((1, 0), (2, 1), (3, mean_square_skewness(units, inputs))):
        moments = (centred / deviation) ** power
        assert abs(moments.mean() - expected) < 5 * moments.std() / math.sqrt(layers)


@pytest.mark.parametrize(("units", "inputs"), GRID, ids=str)
def test_false_alarms_of_the_score(units, inputs):
    layers = 20_000
    z = np.array([mean_square_z(m, units, inputs) for m in mean_squares(units, inputs, layers, seed=1)])
    # 5 standard errors, and 0.05 for what the cube root leaves at few units and inputs
    assert abs(z.mean()) < 0.02 + 5 / math.sqrt(layers)
    assert abs(z.std() - 1) < 0.05 + 5 / math.sqrt(2 * layers)
    for level, slack in ((0.05, 0.05), (0.01, 0.15), (0.001, 0.4)):
        assert_probability(z > stats.norm.isf(level), level, slack=slack)
    assert_probability(z < stats.norm.ppf(0.05), 0.05, slack=0.1)


@pytest.mark.parametrize(("units", "inputs"), [(16, 5), (64, 9), (16, 100)], ids=str)
def test_the_score_is_normal(units, inputs):
    layers = 4000
    z = [mean_square_z(m, units, inputs) for m in mean_squares(units, inputs, layers, seed=2)]
    assert stats.kstest(z, "norm").pvalue > 1e-4


@pytest.mark.parametrize("draw", ["standard_normal", "uniform", "sparse signs"])
def test_layers_measured_as_they_are(draw):
    rng = np.random.default_rng(11)
    layers, units, inputs = 1500, 24, 48
    z = []
    for _ in range(layers):
        if draw == "standard_normal":
            vectors = rng.standard_normal((inputs, units))
        elif draw == "uniform":
            vectors = rng.uniform(-1, 1, (inputs, units))
        else:
            vectors = rng.choice([-1.0, 0.0, 1.0], (inputs, units))
        z.append(unit_similarity(vectors.astype(np.float32)).null_z)
    hits = np.array(z) > stats.norm.isf(0.01)
    assert_probability(hits, 0.01, slack=0.3)
    assert abs(np.mean(z)) < 5 / math.sqrt(layers)


@pytest.mark.parametrize("inputs", [2, 3, 50, 4000])
@pytest.mark.parametrize("units", [2, 3, 40, 4000])
def test_the_score_rises_with_the_mean_square_and_stays_finite(units, inputs):
    z = [mean_square_z(m, units, inputs) for m in np.linspace(0, 1, 201)]
    assert np.isfinite(z).all()
    assert (np.diff(z) > 0).all()
    assert abs(mean_square_z(1 / inputs, units, inputs)) < 0.5


def test_the_score_of_a_wide_layer_counts_standard_deviations():
    units, inputs = 2000, 1000
    deviation = math.sqrt(4 * (inputs - 1) / (inputs**2 * (inputs + 2)) / (units * (units - 1)))
    for x in (-2, 0, 1, 4):
        assert mean_square_z(1 / inputs + x * deviation, units, inputs) == pytest.approx(x, abs=0.03)


@pytest.mark.parametrize(("units", "inputs"), [(1, 5), (0, 5), (5, 1), (5, 0), (1, 1)])
def test_no_score_where_nothing_varies(units, inputs):
    assert math.isnan(mean_square_z(1.0, units, inputs))


@pytest.mark.parametrize(("units", "inputs"), [(64, 9), (32, 64), (128, 27)])
def test_participation(units, inputs):
    squares = mean_squares(units, inputs, 500)
    found = units**2 / (units + units * (units - 1) * squares)
    # Jensen: the mean of the ratio lies above the ratio of the means by Var/mean² of the denominator at most.
    denominator = units + units * (units - 1) * squares
    bias = units**2 / denominator.mean() * denominator.var() / denominator.mean() ** 2
    error = 5 * found.std() / math.sqrt(len(found))
    assert -error < found.mean() - expected_participation(units, inputs) < error + 2 * bias


# The closest pair -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [2, 3, 9, 100])
@pytest.mark.parametrize("alarm", [0.5, 0.01, 1e-6])
def test_quantile_of_one_pair(inputs, alarm):
    # The angle of one random vector with another has density proportional to sin^(d - 2).
    quantile = max_abs_quantile(2, inputs, alarm)
    tail = integrate.quad(lambda t: math.sin(t) ** (inputs - 2), 0, math.acos(quantile), epsabs=0)[0]
    half = integrate.quad(lambda t: math.sin(t) ** (inputs - 2), 0, math.pi / 2, epsabs=0)[0]
    assert tail / half == pytest.approx(alarm, rel=1e-4)


@pytest.mark.parametrize(("units", "inputs"), [(3, 2), (5, 3), (10, 9), (20, 4), (20, 64), (64, 27)], ids=str)
@pytest.mark.parametrize("alarm", [0.5, 0.05, 0.01])
def test_false_alarms_of_the_closest_pair(units, inputs, alarm):
    closest = []
    for stack in random_layers(units, inputs, 4000, seed=3):
        cosines = np.abs(stack @ stack.transpose(0, 2, 1))
        cosines[:, np.arange(units), np.arange(units)] = 0
        closest.append(cosines.max(axis=(1, 2)))
    hits = np.concatenate(closest) > max_abs_quantile(units, inputs, alarm)
    assert hits.sum() <= stats.binom(len(hits), alarm).isf(1e-5)
    assert hits.sum() >= stats.binom(len(hits), 0.8 * alarm).ppf(1e-5)


@pytest.mark.parametrize(
    ("units", "inputs", "median"), [(128, 64, 0.47), (512, 784, 0.17), (256, 27, 0.705), (64, 4, 0.997)]
)
def test_known_medians(units, inputs, median):
    assert max_abs_quantile(units, inputs, 0.5) == pytest.approx(median, abs=0.012)


def test_quantiles_far_out_are_finite_and_ordered():
    quantiles = [max_abs_quantile(8192, 1024, alarm) for alarm in (0.9, 0.5, 1e-2, 1e-6, 1e-12)]
    assert (np.diff(quantiles) > 0).all()
    assert 0.1 < quantiles[0] < quantiles[-1] < 0.4
    assert max_abs_quantile(10, 1, 0.01) == 1.0


@pytest.mark.parametrize(
    ("units", "inputs", "says"),
    [
        (1, 100, False),
        (2, 1, False),
        (64, 1, False),
        (2, 2, False),
        (64, 2, False),
        (2, 3, True),
        (20, 3, True),
        (64, 3, False),
        (64, 4, True),
        (256, 27, True),
        (10**6, 3, False),
        (8192, 1024, True),
    ],
)
def test_where_similarity_says_something(units, inputs, says):
    assert is_informative(units, inputs) is says
