"""Gap and growth against pairwise loops, closed forms, and an unstable map that is iterated."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_initkit.symmetry.separation import SATURATED, class_gap, class_signs, growth_rate, steps_until_apart


def gap_by_pairs(vectors, labels):
    worst = math.nan
    for label in set(labels):
        members = [vectors[:, i] for i in range(len(labels)) if labels[i] == label]
        size = max(np.abs(member).max() for member in members)
        for one, other in combinations(members, 2):
            gap = np.abs(one - other).max() / size if size else 0.0
            worst = gap if math.isnan(worst) else max(worst, gap)
    return worst


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 4), st.integers(1, 6))
def test_the_gap_is_the_largest_of_all_pairs_in_a_class(seed, units, inputs, classes):
    rng = np.random.default_rng(seed)
    vectors, labels = rng.standard_normal((inputs, units)), rng.integers(0, classes, units) * 7 - 3
    expected = gap_by_pairs(vectors, labels.tolist())
    np.testing.assert_allclose(class_gap(vectors, labels), expected, rtol=1e-12)
    order = rng.permutation(units)
    np.testing.assert_allclose(class_gap(vectors[:, order], labels[order]), expected, rtol=1e-12)
    np.testing.assert_allclose(class_gap(vectors.T * 1e-30, labels, axis=0), expected, rtol=1e-12)


def test_copies_have_no_gap_and_one_unit_in_the_last_place_is_seen():
    kernel = np.tile(np.float32([[0.3], [-0.7]]), (1, 4))
    assert class_gap(kernel, [0, 0, 1, 1]) == 0
    kernel[1, 3] = np.nextafter(kernel[1, 3], np.float32(0))
    assert class_gap(kernel, [0, 0, 1, 1]) == pytest.approx(2**-24 / 0.7)
    assert class_gap(kernel, [0, 0, 1, 2]) == 0  # the unit that differs is alone


def test_each_class_is_measured_by_its_own_size():
    assert class_gap([[1000.0, 1001.0, 0.5, 0.25]], [0, 0, 1, 1]) == 0.5


def test_units_without_company_have_no_gap_and_zeros_have_none_between_them():
    assert math.isnan(class_gap([[1.0, 2.0]], [0, 1]))
    assert class_gap(np.zeros((3, 2)), [5, 5]) == 0
    assert class_gap([[0.0, 1.0]], [0, 0]) == 1
    assert class_gap([[-1.0, 1.0]], [0, 0]) == 2


def test_mirrored_units_are_compared_on_one_side():
    kernel = np.array([[1.0, -1.0, 2.0, 0.0], [2.0, -2.0, 2.0, 0.0]])
    labels = [0, 0, 1, 0]
    signs = class_signs(kernel, labels)
    np.testing.assert_array_equal(signs, [1, -1, 1, 1])
    assert class_gap(kernel[:, :2], labels[:2], signs=signs[:2]) == 0
    assert class_gap(kernel[:, :2], labels[:2]) == 2
    np.testing.assert_array_equal(class_signs(kernel.T, labels, axis=0), signs)


@pytest.mark.parametrize("factor", [1.5, 150.0, 0.5])
def test_the_rate_of_a_gap_that_grows_by_a_factor_is_its_logarithm(factor):
    steps = [0, 1, 3, 7]
    gaps = [1e-20 * factor**step for step in steps]
    np.testing.assert_allclose(growth_rate(steps, gaps), math.log(factor))


def test_the_rate_is_the_least_squares_slope_of_the_logarithm():
    rng = np.random.default_rng(0)
    steps, gaps = np.arange(8.0), np.exp(rng.normal(-12, 2, 8))
    np.testing.assert_allclose(growth_rate(steps, gaps), np.polyfit(steps, np.log(gaps), 1)[0])


def test_gaps_that_are_zero_missing_or_grown_up_do_not_count():
    assert growth_rate([0, 1, 2, 3, 4, 5], [0.0, 1e-6, math.nan, 1e-4, SATURATED, 1.4]) == pytest.approx(math.log(10))
    for steps, gaps in (([], []), ([1], [1e-3]), ([0, 1], [0.0, 1e-3]), ([1, 2], [1e-3, 0.9]), ([2, 2], [1e-6, 1e-5])):
        assert math.isnan(growth_rate(steps, gaps))


def test_the_forecast_is_right_for_an_unstable_map():
    """Two copies at the unstable point of x -> x + 0.8 x (1 - x²) leave it as predicted."""
    pair, gaps = np.array([0.0, 1e-9]), []
    while (gap := abs(pair[1] - pair[0])) < 0.5:
        gaps.append(gap)
        pair = pair + 0.8 * pair * (1 - pair**2)
    rate = growth_rate(range(10), gaps[:10])
    assert math.exp(rate) == pytest.approx(1.8)
    assert steps_until_apart(gaps[9], rate, target=0.5) == pytest.approx(len(gaps) - 9, abs=1)


def test_the_steps_until_apart():
    assert steps_until_apart(1e-4, math.log(10)) == pytest.approx(4)
    assert steps_until_apart(1e-4, math.log(10), target=1e-2) == pytest.approx(2)
    assert steps_until_apart(1.0, 3.0) == steps_until_apart(1.5, -1.0) == 0
    assert steps_until_apart(0.0, 3.0) == steps_until_apart(1e-7, 0.0) == steps_until_apart(1e-7, -1.0) == math.inf
    assert math.isnan(steps_until_apart(math.nan, 1.0))
    assert math.isnan(steps_until_apart(1e-3, math.nan))


def test_bad_arguments_are_refused_with_what_was_expected():
    with pytest.raises(ValueError, match=r"one entry for each of the 3 units. Received: labels of shape \(2,\)"):
        class_gap(np.zeros((2, 3)), [0, 0])
    with pytest.raises(ValueError, match="Expected `vectors` to hold finite numbers"):
        class_gap([[math.nan, 1.0]], [0, 0])
    with pytest.raises(ValueError, match="as many `steps` as `gaps`. Received: 2 steps and 1 gaps"):
        growth_rate([0, 1], [1e-3])
    with pytest.raises(ValueError, match="Expected `target` to be a finite number above 0"):
        steps_until_apart(1e-3, 1.0, target=0.0)
