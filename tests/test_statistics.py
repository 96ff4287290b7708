"""Intervals over seeds: coverage by simulation and by summation, SciPy as the oracle."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from keras_initkit.convergence import convergence_metrics
from keras_initkit.statistics import Interval, mean_interval, success_rate

# Success rate ---------------------------------------------------------------------------------------------------------


def wilson(successes, trials, confidence):
    """The roots of (p̂ - p)² = z² p(1 - p)/n."""
    z2 = stats.norm.ppf((1 + confidence) / 2) ** 2
    share = successes / trials
    roots = np.roots([1 + z2 / trials, -2 * share - z2 / trials, share**2])
    return sorted(np.clip(roots.real, 0, 1))


@given(st.integers(1, 300), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_wilson(trials, data, confidence):
    successes = data.draw(st.integers(0, trials))
    found = success_rate(successes, trials, confidence)
    assert found.estimate == successes / trials
    # A double root at 0 or 1 loses half the digits.
    np.testing.assert_allclose(found[1:], wilson(successes, trials, confidence), atol=1e-7)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.high - found.low > 0


@given(st.integers(1, 60), st.data())
def test_successes_and_failures_mirror_each_other(trials, data):
    successes = data.draw(st.integers(0, trials))
    found, mirrored = success_rate(successes, trials), success_rate(trials - successes, trials)
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low))


@pytest.mark.parametrize("trials", [5, 10, 32])
def test_coverage_of_wilson(trials):
    """Exact coverage, averaged over all success probabilities; for single ones it swings about the nominal value."""
    intervals = [success_rate(k, trials) for k in range(trials + 1)]
    probabilities = (np.arange(2000) + 0.5) / 2000
    coverage = sum(
        stats.binom.pmf(k, trials, probabilities) * ((interval.low <= probabilities) & (probabilities <= interval.high))
        for k, interval in enumerate(intervals)
    )
    assert 0.93 <= coverage.mean() <= 0.97
    assert coverage.min() >= 0.83


def test_impossible_counts():
    with pytest.raises(ValueError, match="Expected at most `trials` successes. Received: successes=6, trials=5"):
        success_rate(6, 5)
    with pytest.raises(ValueError, match="Expected `trials` to be an integer of at least 1. Received: trials=0"):
        success_rate(0, 0)
    with pytest.raises(ValueError, match="Expected `successes` to be an integer of at least 0. Received: successes=-1"):
        success_rate(-1, 5)


# Mean -----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.sampled_from([0.5, 0.95, 0.99]))
def test_student(values, confidence):
    found = mean_interval(values, confidence)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(confidence) if np.ptp(values) else found[1:]
    size = max(map(abs, values))
    assert found.estimate == pytest.approx(math.fsum(values) / len(values), abs=1e-14 * size)
    np.testing.assert_allclose(found[1:], expected, rtol=1e-9, atol=1e-12 * size)
    assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize("replicas", [3, 5, 10])
def test_coverage_of_student(replicas):
    samples = 4000
    rng = np.random.default_rng(replicas)
    covered = 0
    for values in rng.normal(7.0, 3.0, (samples, replicas)):
        interval = mean_interval(values)
        covered += interval.low <= 7.0 <= interval.high
    # The standard error of the coverage is 0.0034.
    assert 0.93 <= covered / samples <= 0.97


@pytest.mark.parametrize(("replicas", "lowest"), [(5, 0.86), (10, 0.88), (32, 0.91)])
def test_coverage_for_skewed_values_falls_short_by_little(replicas, lowest):
    samples = 3000
    rng = np.random.default_rng(replicas)
    intervals = np.array([mean_interval(values) for values in rng.exponential(2.0, (samples, replicas))])
    coverage = ((intervals[:, 1] <= 2.0) & (intervals[:, 2] >= 2.0)).mean()
    assert lowest <= coverage <= 0.95


@given(st.floats(-1e3, 1e3), st.integers(2, 9))
def test_equal_values_have_no_width(value, replicas):
    found = mean_interval([value] * replicas)
    assert found == pytest.approx((value, value, value), abs=1e-12)


def test_one_value_has_no_interval():
    found = mean_interval([3.0])
    assert found.estimate == 3.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_not_left_out(bad):
    with pytest.raises(ValueError, match="Received: 1 NaN or infinite values .* would flatter the mean"):
        mean_interval([1.0, bad, 2.0])


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 1.0])
def test_no_values(values):
    with pytest.raises(ValueError, match="Expected `values` to be a sequence of at least one number. Received: array"):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1, math.nan])
def test_bad_confidence(confidence):
    for call in (lambda: mean_interval([1.0, 2.0], confidence), lambda: success_rate(1, 2, confidence)):
        with pytest.raises(ValueError, match="Expected `confidence` to be between 0 and 1. Received: confidence="):
            call()


def test_intervals_are_tuples_with_names():
    interval = Interval(1.0, 0.5, 1.5)
    assert interval == (1.0, 0.5, 1.5)
    assert interval._fields == ("estimate", "low", "high")


# Restricted mean time to target ---------------------------------------------------------------------------------------


def area_under_kaplan_meier(times, reached, budget):
    """Integrate the product-limit estimate from 0 to the budget."""
    data = stats.CensoredData.right_censored(times, ~reached)
    survival = stats.ecdf(data).sf
    edges = np.concatenate([[0.0], survival.quantiles[survival.quantiles < budget], [budget]])
    return float(np.diff(edges) @ survival.evaluate(edges[:-1]))


@pytest.mark.parametrize("seed", range(20))
def test_the_mean_of_the_capped_metric_is_the_restricted_mean(seed):
    """Curves that fall at different rates, reach the target or not, diverge or end early; one budget for all."""
    rng = np.random.default_rng(seed)
    budget, replicas = 15, 12
    found = []
    for _ in range(replicas):
        curve = 2.0 * np.exp(-rng.exponential(0.2) * np.arange(budget + 1)) * rng.uniform(0.9, 1.1, budget + 1)
        if rng.random() < 0.2:
            curve[rng.integers(1, budget) :] = math.nan
        elif rng.random() < 0.2:
            curve = curve[: rng.integers(2, budget)]
        found.append(convergence_metrics(curve, budget=budget, target=0.5))
    capped = np.array([metrics["epochs_to_target_capped"] for metrics in found])
    reached = np.array([metrics["reached_target"] == 1 for metrics in found])
    assert 0 < reached.sum() < replicas or seed != 0
    assert mean_interval(capped).estimate == pytest.approx(area_under_kaplan_meier(capped, reached, budget))
