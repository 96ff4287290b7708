"""Single statistics computed on their own: against those of all pairs, at every shape, type and magnitude."""

import doctest
import functools
import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_initkit.symmetry import (
    cosine_matrix,
    mean_cosine,
    pair_sums,
    participation_ratio,
    rms_cosine,
    similarity,
    unit_similarity,
)

ALONE = {"mean": mean_cosine, "rms": rms_cosine, "participation": participation_ratio}
EPS = 2.0**-24  # unit roundoff of float32

# Few inputs and many units on purpose: the Gram matrix of the inputs serves there.
WHOLE = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 13)), elements=st.integers(-2, 2))


def gaussian(inputs, units, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((inputs, units)).astype(dtype)


def by_matrix(vectors):
    """The statistics from the full matrix of cosines in float64."""
    cosines = cosine_matrix(vectors)
    units = len(cosines)
    pairs = cosines[np.triu_indices(units, 1)]
    squares = math.fsum(pairs**2)
    if units == 1:
        return {"mean": math.nan, "rms": math.nan, "participation": 1.0}
    return {
        "mean": math.fsum(pairs) / len(pairs),
        "rms": math.sqrt(squares / len(pairs)),
        "participation": units**2 / (units + 2 * squares),
    }


@given(WHOLE)
def test_the_matrix_of_cosines(vectors):
    expected = by_matrix(vectors)
    for name, alone in ALONE.items():
        assert alone(vectors) == pytest.approx(expected[name], abs=1e-12, nan_ok=True), name
    # The root turns an error of 1e-16 in the mean square into 1e-8 where that is 0.
    assert rms_cosine(vectors) ** 2 == pytest.approx(expected["rms"] ** 2, abs=1e-14, nan_ok=True)


@pytest.mark.parametrize(("inputs", "units"), [(3, 700), (30, 61), (30, 59), (64, 64), (200, 40), (300, 1100)])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_shapes_on_both_sides_of_the_choice(inputs, units, dtype):
    vectors = gaussian(inputs, units).astype(dtype)
    vectors[:, 5] = 0
    vectors[:, 7] = -2 * vectors[:, 6]
    expected = by_matrix(vectors)
    error = 1e-13 if dtype == np.float64 else 8 * EPS
    for order in (vectors, np.asfortranarray(vectors), np.ascontiguousarray(vectors)[::-1]):
        assert mean_cosine(order) == pytest.approx(expected["mean"], abs=error)
        assert rms_cosine(order) == pytest.approx(expected["rms"], rel=10 * error)
        assert participation_ratio(order) == pytest.approx(expected["participation"], rel=10 * error)
        assert unit_similarity(order).mean == mean_cosine(order)


@given(WHOLE, st.randoms(use_true_random=False), st.data())
@settings(deadline=None)
def test_what_changes_them(vectors, random, data):
    units = vectors.shape[1]
    order = random.sample(range(units), units)
    scales = data.draw(st.lists(st.floats(1e-3, 1e3), min_size=units, max_size=units))
    flips = np.array(data.draw(st.lists(st.sampled_from([-1, 1]), min_size=units, max_size=units)))
    turn = np.linalg.qr(np.random.default_rng(units).standard_normal((len(vectors),) * 2))[0]
    for name, alone in ALONE.items():
        expected = pytest.approx(alone(vectors), abs=1e-7, nan_ok=True)
        assert alone(vectors[:, order]) == expected, name
        assert alone(vectors * scales) == expected, name
        assert alone(turn @ vectors) == expected, name
        assert alone(-vectors) == expected, name
        if name != "mean":
            assert alone(vectors * flips) == expected, name


def test_signs_change_the_mean_alone():
    vectors = np.abs(gaussian(20, 100)) + 0.1
    flips = np.where(np.arange(100) % 2, -1, 1).astype(np.float32)
    assert mean_cosine(vectors) > 0.5
    assert mean_cosine(vectors * flips) < 0
    assert rms_cosine(vectors * flips) == pytest.approx(rms_cosine(vectors), rel=1e-6)


@pytest.mark.parametrize("units", [2, 510, 4096])
@pytest.mark.parametrize("order", ["alternating", "one half after the other"])
def test_the_mean_where_all_cancels(units, order):
    # Of n units on one line half are opposite: the mean is -1/(n - 1) although every |cosine| is 1.
    line = gaussian(33, 1)
    signs = np.where(np.arange(units) % 2 if order == "alternating" else np.arange(units) < units // 2, 1, -1)
    vectors = (line * signs).astype(np.float32)
    assert mean_cosine(vectors) == pytest.approx(-1 / (units - 1), abs=1e-11 if units > 2 else 1e-6)
    assert rms_cosine(vectors) == pytest.approx(1, abs=1e-6)


def test_the_mean_of_random_units_is_as_exact_as_in_float64():
    for inputs, units in ((64, 5000), (3000, 200)):
        vectors = gaussian(inputs, units)
        exact = mean_cosine(vectors.astype(np.float64))
        assert abs(exact) < 1e-3
        assert mean_cosine(vectors) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e-44), (np.float32, 3e37), (np.float64, 1e-320)])
def test_huge_and_tiny_weights(dtype, size):
    whole = np.random.default_rng(3).integers(-3, 4, (3, 30)).astype(np.float64)
    power = 2.0 ** math.floor(math.log2(size))
    mixed = whole * np.where(np.arange(30) % 3, power, 1)
    for vectors in ((whole * power).astype(dtype), mixed.astype(dtype)):
        for name, alone in ALONE.items():
            assert alone(vectors) == pytest.approx(by_matrix(whole)[name], rel=1e-5), name


def test_the_input_is_not_changed():
    vectors = gaussian(5, 20) * np.logspace(-30, 30, 20, dtype=np.float32)
    for order in (vectors, np.asfortranarray(vectors)):
        copy = order.copy()
        for measure in (*ALONE.values(), unit_similarity):
            measure(order)
            assert np.array_equal(order, copy)


def test_squares_of_the_diagonal_do_not_drown_small_cosines():
    # The d + 1 corners of a simplex: every cosine is -1/d, while the Gram matrix of the inputs has norm² (d + 1)²/d.
    inputs = 300
    corners = np.linalg.qr(np.concatenate([np.ones((inputs + 1, 1)), np.eye(inputs + 1)[:, 1:]], axis=1))[0][:, 1:]
    assert rms_cosine(corners.T.astype(np.float32)) == pytest.approx(1 / inputs, rel=1e-5)
    assert mean_cosine(corners.T.astype(np.float32)) == pytest.approx(-1 / inputs, rel=1e-5)
    orthogonal = np.linalg.qr(gaussian(200, 150))[0]
    assert rms_cosine(orthogonal) < 1e-6


def test_zero_units():
    for units in (2, 3, 600):
        zeros = np.zeros((5, units), np.float32)
        assert [alone(zeros) for alone in ALONE.values()] == [1, 1, 1]
    assert rms_cosine([[0.0, 1.0], [0.0, 2.0]]) == 0
    assert [alone(np.zeros((0, 3))) for alone in ALONE.values()] == [1, 1, 1]


@pytest.mark.parametrize("alone", ALONE.values())
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite(alone, dtype, bad):
    vectors = np.ones((4, 30), dtype)
    vectors[2, 1] = bad
    with pytest.raises(
        ValueError, match=r"Expected `vectors` to hold finite numbers\. Received: 1 NaN .* the first at index \(2, 1\)"
    ):
        alone(vectors)


@pytest.mark.parametrize("alone", ALONE.values())
def test_other_wrong_arguments(alone):
    with pytest.raises(ValueError, match="at least one unit. Received: vectors with no units"):
        alone(np.ones((3, 0)))
    with pytest.raises(ValueError, match=r"Expected `axis` .* an array with 2 axes\. Received: axis=2\."):
        alone(np.ones((2, 3)), axis=2)


@pytest.mark.parametrize("side", [1, 7, 20, 39, 40, 64])
def test_any_side_of_the_tiles_gives_the_same(monkeypatch, side):
    vectors = gaussian(30, 40, dtype=np.float64)
    vectors[:, 11] = 0
    expected = unit_similarity(vectors)
    monkeypatch.setattr(pair_sums, "_TILES", ((0, side),))
    found = unit_similarity(vectors)
    np.testing.assert_allclose(found.nearest, expected.nearest, atol=1e-14)
    for name in ("rms", "mean_abs", "participation"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-13), name


def peak_bytes(function, vectors):
    function(vectors)  # tables that are made once
    tracemalloc.start()
    function(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_no_matrix_of_pairs_is_held():
    units, inputs = 4096, 128
    vectors = gaussian(inputs, units)
    weights, matrix = 4 * units * inputs, 4 * units * units
    tile = 4 * 1024**2
    assert matrix == 32 * weights
    for activation in (None, "tanh", "relu"):
        measure = functools.partial(unit_similarity, activation=activation)
        assert peak_bytes(measure, vectors) < 1.25 * tile < matrix / 12
        # Units that are equal are compared entry by entry.
        assert peak_bytes(measure, np.repeat(vectors[:, :8], units // 8, axis=1)) < tile + 4 * weights < matrix / 5
    assert peak_bytes(mean_cosine, vectors) < weights / 4
    for gram in (rms_cosine, participation_ratio):
        assert peak_bytes(gram, vectors) < 1.5 * weights


def test_examples():
    found = doctest.testmod(similarity)
    assert found.failed == 0
    assert found.attempted == 6
