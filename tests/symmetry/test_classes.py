"""Classes of equal units against a brute-force comparison of all pairs."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse.csgraph import connected_components

from keras_initkit.symmetry import classes, equivalence_classes, similar_rows
from keras_initkit.symmetry.classes import rounding_tolerance

WHOLE = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 7)), elements=st.integers(-2, 2))


def distance(a, b, sign):
    apart = max(abs(a - b), default=0.0)
    return min(apart, max(abs(a + b), default=0.0)) if sign else apart


def size(a):
    return max(abs(a), default=0.0)


def by_pairs(vectors, *, sign=False, scale=False, tolerance=0.0):
    """Compare all pairs of columns and join the classes, by the definition."""
    columns = [np.array(column, dtype=np.float64) for column in np.asarray(vectors).T]
    if scale:
        columns = [column / size(column) if size(column) else column for column in columns]
    near = [[distance(a, b, sign) <= tolerance * max(size(a), size(b)) for b in columns] for a in columns]
    return first_seen(connected_components(np.array(near))[1])


def first_seen(labels):
    names = {}
    return [names.setdefault(int(label), len(names)) for label in labels]


@given(WHOLE, st.booleans(), st.booleans())
def test_exact_classes(vectors, sign, scale):
    # Quotients of whole numbers up to 2 by 1 or 2 are exact.
    found = equivalence_classes(vectors, sign=sign, scale=scale)
    assert found.tolist() == by_pairs(vectors, sign=sign, scale=scale)
    assert found.shape == vectors.shape[1:]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.01, 0.1, 0.3]),
)
@settings(max_examples=300)
def test_classes_within_a_tolerance(seed, inputs, units, sign, scale, tolerance):
    vectors = np.random.default_rng(seed).standard_normal((inputs, units))
    found = equivalence_classes(vectors, sign=sign, scale=scale, tolerance=tolerance)
    assert found.tolist() == by_pairs(vectors, sign=sign, scale=scale, tolerance=tolerance)


@pytest.mark.parametrize("inputs", [3, 40])
@pytest.mark.parametrize("sign", [False, True])
def test_planted_near_copies(inputs, sign):
    rng = np.random.default_rng(7)
    originals = rng.standard_normal((inputs, 60))
    copies = originals[:, rng.integers(0, 60, 300)]
    largest = np.abs(copies).max(axis=0)
    copies = copies + 1e-5 * largest * rng.uniform(-0.5, 0.5, copies.shape)
    if sign:
        copies *= rng.choice([-1, 1], 300)
    vectors = np.concatenate([originals, copies], axis=1)[:, rng.permutation(360)]
    assert equivalence_classes(vectors, sign=sign).max() == 359
    found = equivalence_classes(vectors, sign=sign, tolerance=1e-5)
    assert found.tolist() == by_pairs(vectors, sign=sign, tolerance=1e-5)
    assert found.max() == 59


def test_opposites_near_the_hyperplane_that_fixes_the_sign():
    # In a fan of directions one pair of neighbours lies on either side of any hyperplane through the origin.
    angles = np.linspace(0, math.pi, 2001)
    fan = np.stack([np.cos(angles), np.sin(angles)])
    flips = np.random.default_rng(0).choice([-1, 1], 2001)
    assert equivalence_classes(fan * flips, sign=True, tolerance=2e-3).max() == 0


def test_classes_are_closed_transitively():
    chain = np.linspace(1, 2, 101)[None]
    assert equivalence_classes(chain, tolerance=0.0101).max() == 0
    assert equivalence_classes(chain, tolerance=0.0049).max() == 100


def test_the_tolerance_is_relative_to_the_larger_of_the_two():
    assert equivalence_classes([[1e-9, 1.05e-9, 1.0, 1.05]], tolerance=0.06).tolist() == [0, 0, 1, 1]
    assert equivalence_classes([[0.0, 1e-30]], tolerance=0.5).tolist() == [0, 1]


def test_zero_units_are_one_class_whatever_their_sign():
    vectors = np.array([[0.0, -0.0, 1.0, 0.0], [-0.0, 0.0, 0.0, 0.0]])
    for options in ({}, {"sign": True}, {"scale": True}, {"tolerance": 1e-6}, {"sign": True, "scale": True}):
        assert equivalence_classes(vectors, **options).tolist() == [0, 0, 1, 0]


def test_sign_and_scale():
    vectors = np.array([[1.0, -1.0, 2.0, -2.0, 1.0], [3.0, -3.0, 6.0, -6.0, 2.0]])
    assert equivalence_classes(vectors).tolist() == [0, 1, 2, 3, 4]
    assert equivalence_classes(vectors, sign=True).tolist() == [0, 0, 1, 1, 2]
    assert equivalence_classes(vectors, scale=True).tolist() == [0, 1, 0, 1, 2]
    assert equivalence_classes(vectors, sign=True, scale=True).tolist() == [0, 0, 0, 0, 1]


@given(WHOLE, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([0.0, 0.6]))
def test_permuting_the_units(vectors, random, sign, tolerance):
    order = random.sample(range(vectors.shape[1]), vectors.shape[1])
    found = equivalence_classes(vectors, sign=sign, tolerance=tolerance)
    permuted = equivalence_classes(vectors[:, order], sign=sign, tolerance=tolerance)
    assert permuted.tolist() == first_seen(found[order])


@given(WHOLE, st.integers(-40, 40), st.booleans())
def test_one_scale_for_all_units(vectors, power, sign):
    expected = equivalence_classes(vectors, sign=sign).tolist()
    assert equivalence_classes(vectors * 2.0**power, sign=sign).tolist() == expected
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        assert equivalence_classes(vectors.astype(dtype), sign=sign).tolist() == expected


@pytest.mark.parametrize("size", [1e-310, 1e-30, 1e30, 1.7e308])
def test_huge_and_tiny_opposites(size):
    w = np.random.default_rng(0).uniform(-1, 1, (200, 4))
    vectors = size * np.concatenate([w, -w], axis=1)
    assert equivalence_classes(vectors, sign=True).tolist() == [0, 1, 2, 3] * 2


def test_axes_of_kernels():
    kernel = np.random.default_rng(0).integers(0, 2, (2, 1, 2, 30)).astype(np.float32)
    expected = by_pairs(kernel.reshape(4, 30))
    assert equivalence_classes(kernel).tolist() == expected
    assert equivalence_classes(np.moveaxis(kernel, -1, 0), axis=0).tolist() == expected
    assert equivalence_classes(kernel[::-1, :, ::-1]).tolist() == expected
    assert equivalence_classes(np.asfortranarray(kernel), sign=True, tolerance=1e-7).tolist() == expected


def test_empty_arrays():
    assert equivalence_classes(np.zeros((3, 0))).shape == (0,)
    assert equivalence_classes(np.zeros((3, 0)), sign=True, scale=True, tolerance=0.1).shape == (0,)
    assert equivalence_classes(np.zeros((0, 3)), sign=True, scale=True, tolerance=0.1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_tolerance(dtype):
    assert rounding_tolerance(np.dtype(dtype), 2) == 2 * np.finfo(dtype).eps


def test_rounding_tolerance_of_other_types():
    assert rounding_tolerance(np.dtype(ml_dtypes.bfloat16), 1) == 2.0**-7 == float(ml_dtypes.finfo("bfloat16").eps)
    assert rounding_tolerance(np.dtype(">f4"), 1) == 2.0**-23
    assert rounding_tolerance(np.dtype(np.int8), 1) == 2.0**-52


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_rounding_stays_within_the_tolerance(dtype):
    rng = np.random.default_rng(1)
    w, factors = rng.uniform(-1, 1, (64, 200)), rng.uniform(0.1, 10, 200)
    vectors = np.concatenate([w, factors * w], axis=1).astype(dtype)
    found = equivalence_classes(vectors, scale=True, tolerance=rounding_tolerance(np.dtype(dtype)))
    assert found.tolist() == [*range(200), *range(200)]


@pytest.mark.parametrize("tolerance", [-1e-9, math.nan, math.inf, "0", True])
def test_bad_tolerances(tolerance):
    with pytest.raises(ValueError, match="Expected `tolerance` to be a finite number of at least 0. Received: tol"):
        equivalence_classes(np.ones((2, 2)), tolerance=tolerance)


def test_values_that_are_not_finite():
    with pytest.raises(ValueError, match=r"1 NaN or infinite values .* the first at index \(0, 1\)"):
        equivalence_classes([[1.0, math.nan]])


@pytest.mark.parametrize("tolerance", [1e-6, 1e-3, 0.1])
@pytest.mark.parametrize("sign", [False, True])
def test_the_search_for_few_and_for_many_pairs_agree(monkeypatch, tolerance, sign):
    rng = np.random.default_rng(5)
    base = rng.standard_normal((6, 20))
    vectors = np.concatenate([base, base * (1 + 1e-4), -base[:, :7], rng.standard_normal((6, 9))], axis=1)
    few = equivalence_classes(vectors, sign=sign, tolerance=tolerance)
    monkeypatch.setattr(similar_rows, "_FEW", -1)
    np.testing.assert_array_equal(equivalence_classes(vectors, sign=sign, tolerance=tolerance), few)


# A few entries are looked at first ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [17, 40, 700])
@pytest.mark.parametrize("seen", [0.0, 1.0])
@pytest.mark.parametrize("options", [{}, {"sign": True}, {"scale": True}, {"tolerance": 1e-6}], ids=str)
def test_units_that_differ_only_where_nothing_is_looked_at_first(inputs, seen, options):
    vectors = np.full((inputs, 30), seen)
    entries = classes._probes(inputs)[0]
    unseen = np.setdiff1d(np.arange(inputs), entries)
    assert len(entries) == 16
    vectors[unseen[0]] = 2.0 + np.arange(30) // 3
    expected = (np.arange(30) // 3).tolist()
    if options.get("scale") and seen == 0:
        expected = [0] * 30
    assert equivalence_classes(vectors, **options).tolist() == expected


@given(
    st.integers(0, 2**32 - 1),
    st.integers(15, 60),
    st.sampled_from([0.02, 0.3, 1.0]),
    st.sampled_from([1, 4, 20]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 1e-5]),
    st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]),
)
@settings(deadline=None)
def test_planted_copies_among_many_inputs(seed, inputs, density, kinds, sign, scale, tolerance, dtype):
    rng = np.random.default_rng(seed)
    originals = rng.integers(-9, 10, (inputs, kinds)) * (rng.random((inputs, kinds)) < density)
    factors = rng.choice([1, -1, 2, 0.5, -0.0], 12, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    vectors = originals[:, rng.integers(0, kinds, 12)] * factors
    # By powers of two, so that the quotients by the largest entries are equal to the last bit.
    found = equivalence_classes(vectors, sign=sign, scale=scale, tolerance=tolerance)
    assert found.tolist() == by_pairs(vectors, sign=sign, scale=scale, tolerance=tolerance)
    same = equivalence_classes(np.asfortranarray(vectors.astype(dtype)), sign=sign)
    assert same.tolist() == by_pairs(vectors, sign=sign)


def test_random_units_are_told_apart_by_a_few_entries(monkeypatch):
    vectors = np.random.default_rng(9).standard_normal((300, 500)).astype(np.float32)
    vectors[:, 40] = -vectors[:, 400]
    compared = []
    real = classes._exact_labels
    monkeypatch.setattr(classes, "_exact_labels", lambda rows: (compared.append(len(rows)), real(rows))[1])
    assert equivalence_classes(vectors).max() == 499
    assert compared == []
    assert equivalence_classes(vectors, sign=True)[400] == 40
    assert compared == [2]
    assert equivalence_classes(vectors, scale=True, tolerance=1e-6).max() == 499
    assert sum(compared) < 20


def test_opposites_are_found_to_the_last_bit_whatever_their_place():
    rng = np.random.default_rng(10)
    w = rng.standard_normal((33, 700)).astype(np.float32)
    w[:, ::3] = np.where(rng.random((33, 234)) < 0.9, 0, w[:, ::3])  # some lie near any hyperplane
    order = rng.permutation(1400)
    labels = equivalence_classes(np.concatenate([w, -w], axis=1)[:, order], sign=True)
    pairs = np.argsort(order % 700, kind="stable")
    assert (labels[pairs[::2]] == labels[pairs[1::2]]).all()
