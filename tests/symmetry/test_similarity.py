"""Similarity of units against double loops, scikit-learn and closed forms."""

import itertools
import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics.pairwise import cosine_similarity

from keras_initkit.symmetry import cosine_matrix, unit_similarity
from keras_initkit.symmetry.activations import is_odd, is_positively_homogeneous

STATISTICS = ("mean", "rms", "mean_abs", "max_abs", "nearest", "participation")
EPS = 2.0**-24  # unit roundoff of float32

# Small whole numbers, so that zero, equal, opposite and parallel units are frequent and exact.
WHOLE = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(-2, 2))
MANY = WHOLE.filter(lambda array: array.shape[1] >= 2)


def gaussian(inputs, units, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((inputs, units)).astype(dtype)


def cosine_by_loop(a, b):
    """Cosine of two sequences by exact summation, with the kit's convention for zero vectors."""
    length_a, length_b = math.sqrt(math.fsum(x * x for x in a)), math.sqrt(math.fsum(x * x for x in b))
    if length_a == 0 or length_b == 0:
        return 1.0 if length_a == length_b else 0.0
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / (length_a * length_b)


def from_cosines(matrix):
    """Every statistic by a loop over the pairs of a full matrix of cosines."""
    units = len(matrix)
    pairs = [float(matrix[i][j]) for i, j in itertools.combinations(range(units), 2)]
    nearest = [max(abs(float(matrix[i][j])) for j in range(units) if j != i) for i in range(units)]
    squares = math.fsum(c * c for c in pairs)
    return {
        "mean": math.fsum(pairs) / len(pairs),
        "rms": math.sqrt(squares / len(pairs)),
        "mean_abs": math.fsum(map(abs, pairs)) / len(pairs),
        "max_abs": max(nearest),
        "nearest": nearest,
        "participation": units**2 / (units + 2 * squares),
    }


def by_loop(vectors):
    columns = np.asarray(vectors, dtype=np.float64).T.tolist()
    return from_cosines([[cosine_by_loop(a, b) for b in columns] for a in columns])


def assert_statistics(found, expected, error):
    for name in STATISTICS:
        scale = found.units if name == "participation" else 1
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=0, atol=scale * error, err_msg=name)


def assert_same(a, b, error):
    assert_statistics(a, {name: getattr(b, name) for name in STATISTICS}, error)


@given(MANY)
def test_double_loop(vectors):
    found = unit_similarity(vectors)
    assert_statistics(found, by_loop(vectors), 1e-12)
    assert found.zero_units == sum(not any(column) for column in vectors.T)
    assert found.distinct == len({tuple(column) for column in vectors.T.tolist()})
    assert (found.units, found.inputs) == vectors.shape[::-1]


@pytest.mark.parametrize("units", [2, 31, 255, 256, 257, 511, 513, 1024, 1025, 1537])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sklearn_around_the_edges_of_tiles(units, dtype):
    inputs = 9
    vectors = gaussian(inputs, units, dtype=dtype)
    vectors[:, -1] = -2 * vectors[:, 0]  # the closest pair lies in the first and in the last tile
    cosines = cosine_similarity(vectors.T.astype(np.float64))
    upper = cosines[np.triu_indices(units, 1)]
    off = np.abs(cosines) - np.eye(units)
    expected = {
        "mean": upper.mean(),
        "rms": np.sqrt((upper**2).mean()),
        "mean_abs": np.abs(upper).mean(),
        "max_abs": np.abs(upper).max(),
        "nearest": off.max(axis=1),
        "participation": units**2 / (cosines**2).sum(),
    }
    # d products and four roundings of the lengths, each by one unit roundoff at most
    assert_statistics(unit_similarity(vectors), expected, (inputs + 4) * EPS)


@pytest.mark.parametrize("tiles", [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)], ids=str)
def test_one_duplicated_pair_among_many(tiles):
    first, second = 512 * tiles[0] + 3, 512 * tiles[1] + 150
    clean = gaussian(64, 1200)
    vectors = clean.copy()
    vectors[:, second] = vectors[:, first]
    found, before = unit_similarity(vectors), unit_similarity(clean)
    assert found.max_abs == pytest.approx(1, abs=68 * EPS)
    assert set(np.flatnonzero(found.nearest > 0.999)) == {first, second}
    assert found.distinct == 1199
    assert before.max_abs < 0.7
    assert abs(found.mean - before.mean) < 1e-3  # which is why the mean alone is not enough


def test_opposite_units_are_alike_though_their_mean_is_zero():
    line = gaussian(20, 1)
    found = unit_similarity(np.concatenate([line] * 50 + [-line] * 50, axis=1))
    # of 4950 pairs 2500 are opposite: the mean is -50/4950
    assert found.mean == pytest.approx(-1 / 99, abs=1e-6)
    for value in (found.rms, found.mean_abs, found.max_abs, found.participation):
        assert value == pytest.approx(1, abs=1e-5)
    assert found.distinct == 2
    assert found.null_z > 100


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_orthogonal_clusters(clusters):
    size = 12
    found = unit_similarity(np.repeat(np.eye(8)[:, :clusters], size, axis=1))
    units = clusters * size
    share = clusters * math.comb(size, 2) / math.comb(units, 2)
    expected = {"mean": share, "mean_abs": share, "rms": math.sqrt(share), "max_abs": 1.0}
    expected |= {"nearest": np.ones(units), "participation": float(clusters)}
    assert_statistics(found, expected, 1e-12)
    assert found.distinct == clusters


@pytest.mark.parametrize("angle", [0.0, 1e-3, 0.5, math.pi / 2, 3.0, math.pi])
def test_two_units_at_an_angle(angle):
    found = unit_similarity([[1.0, 3 * math.cos(angle)], [0.0, 3 * math.sin(angle)]])
    assert found.mean == pytest.approx(math.cos(angle), abs=1e-15)
    for value in (found.rms, found.mean_abs, found.max_abs, *found.nearest):
        assert value == pytest.approx(abs(math.cos(angle)), abs=1e-15)
    assert found.participation == pytest.approx(4 / (2 + 2 * math.cos(angle) ** 2))


def test_one_unit_has_no_pairs():
    found = unit_similarity(np.ones((5, 1)))
    for value in (found.mean, found.rms, found.mean_abs, found.max_abs, found.null_z):
        assert math.isnan(value)
    assert found.nearest.tolist() == [0.0]
    assert (found.participation, found.distinct, found.zero_units) == (1.0, 1, 0)


def test_one_input_makes_all_units_parallel():
    found = unit_similarity([[1.0, -2.0, 3.0, -4.0]])
    assert (found.rms, found.mean_abs, found.max_abs, found.participation) == (1, 1, 1, 1)
    assert found.mean == pytest.approx(-1 / 3)
    assert math.isnan(found.null_z)
    assert found.distinct == 4


def test_no_inputs():
    found = unit_similarity(np.zeros((0, 3)))
    assert (found.mean, found.participation, found.distinct, found.zero_units) == (1, 1, 1, 3)
    assert math.isnan(found.null_z)


# Zero vectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [2, 5, 513, 1025])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_a_layer_of_zeros_is_maximally_alike(units, dtype):
    found = unit_similarity(np.zeros((7, units), dtype))
    assert (found.mean, found.rms, found.mean_abs, found.max_abs, found.participation) == (1, 1, 1, 1, 1)
    assert (found.distinct, found.zero_units) == (1, units)
    assert found.nearest.tolist() == [1.0] * units
    assert found.null_z > 3


@pytest.mark.parametrize("zeros", [1, 2, 300])
def test_some_zero_units(zeros):
    vectors = gaussian(30, 600, dtype=np.float64)
    vectors[:, 100 : 100 + zeros] = 0
    vectors[0, 101] *= -1  # -0.0 is zero too
    found = unit_similarity(vectors)
    matrix = cosine_matrix(vectors)
    assert_statistics(found, from_cosines(matrix), 1e-12)
    assert found.zero_units == zeros
    assert found.distinct == 600 - zeros + 1
    assert found.nearest[100] == (zeros > 1)


@pytest.mark.parametrize("zeros", [1, 10, 50])
def test_zero_units_do_not_make_the_rest_look_more_random(zeros):
    vectors = gaussian(100, 60)
    vectors[:, :zeros] = 0
    found, rest = unit_similarity(vectors), unit_similarity(vectors[:, zeros:])
    assert found.null_z >= min(rest.null_z, 0) - 0.05


def test_a_zero_unit_beside_one_other_says_nothing():
    assert unit_similarity([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]).null_z == pytest.approx(
        unit_similarity([[1.0, 1.0], [math.sqrt(2), 0.0], [0.0, 0.0]]).null_z  # c² = 1/3, what chance gives
    )


@given(WHOLE)
def test_nothing_but_the_stated_numbers_is_nan(vectors):
    found = unit_similarity(vectors)
    assert np.isfinite(found.nearest).all()
    assert math.isfinite(found.participation)
    assert math.isnan(found.null_z) == (found.units < 2 or found.inputs < 2)
    for name, low in (("mean", -1), ("rms", 0), ("mean_abs", 0), ("max_abs", 0)):
        value = getattr(found, name)
        assert low <= value <= 1 if found.units > 1 else math.isnan(value)
    assert 1 <= found.participation <= found.units
    assert 1 <= found.distinct <= found.units


# Invariances ----------------------------------------------------------------------------------------------------------


@given(MANY, st.randoms(use_true_random=False))
def test_permuting_the_units(vectors, random):
    order = random.sample(range(vectors.shape[1]), vectors.shape[1])
    found, permuted = unit_similarity(vectors), unit_similarity(vectors[:, order])
    assert permuted.distinct == found.distinct
    np.testing.assert_allclose(permuted.nearest, found.nearest[order], atol=1e-12)
    for name in ("mean", "rms", "mean_abs", "max_abs", "participation"):
        assert getattr(permuted, name) == pytest.approx(getattr(found, name), abs=1e-12)


@given(MANY, st.data())
def test_positive_scale_of_each_unit(vectors, data):
    scales = data.draw(st.lists(st.floats(1e-3, 1e3), min_size=vectors.shape[1], max_size=vectors.shape[1]))
    scaled = unit_similarity(vectors * scales, activation="relu")
    found = unit_similarity(vectors, activation="relu")
    assert_same(scaled, found, 1e-12)
    assert scaled.distinct == found.distinct


@given(MANY, st.data())
def test_sign_of_each_unit(vectors, data):
    flips = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=vectors.shape[1], max_size=vectors.shape[1]))
    flipped, found = unit_similarity(vectors * flips, activation="tanh"), unit_similarity(vectors, activation="tanh")
    assert flipped.distinct == found.distinct
    for name in STATISTICS[1:]:  # the mean alone has a sign
        np.testing.assert_allclose(getattr(flipped, name), getattr(found, name), atol=1e-12)


@given(MANY, st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_rotating_the_inputs(vectors, seed):
    rotation = np.atleast_2d(stats.ortho_group.rvs(len(vectors), random_state=seed)) if len(vectors) > 1 else -np.eye(1)
    assert_same(unit_similarity(rotation @ vectors), unit_similarity(vectors), 1e-12)


@given(MANY)
def test_repeating_the_inputs(vectors):
    assert_same(unit_similarity(np.concatenate([vectors] * 3)), unit_similarity(vectors), 1e-12)


# Types, layouts, magnitudes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.int8, ">f4", ">f8"])
def test_other_types_are_measured_as_the_numbers_they_hold(dtype):
    vectors = (3 * gaussian(33, 40)).astype(dtype)
    found = unit_similarity(vectors)
    assert_same(found, unit_similarity(vectors.astype(np.float64)), 40 * EPS)
    assert found.distinct == 40


def test_float64_is_not_rounded_to_float32():
    for order in "<>":
        assert unit_similarity(np.array([[1, 1 + 1e-12], [1, 1]], f"{order}f8")).distinct == 2


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (np.float16, 6e4 / 8),
        (np.float32, 1e-37),
        (np.float32, 3e37),
        (np.float64, 1e-300),
        (np.float64, 1e300),
        (ml_dtypes.bfloat16, 1e-37),
        (ml_dtypes.bfloat16, 3e37),
    ],
)
@pytest.mark.parametrize("activation", [None, "tanh", "relu", "linear"])
def test_huge_and_tiny_weights(dtype, size, activation):
    whole = np.random.default_rng(3).integers(-4, 5, (12, 30)).astype(np.float64)
    power = 2.0 ** math.floor(math.log2(size))
    found = unit_similarity((whole * power).astype(dtype), activation=activation)
    expected = unit_similarity(whole, activation=activation)
    assert_same(found, expected, 16 * EPS)
    assert found.distinct == expected.distinct


def test_units_of_very_different_size():
    vectors = gaussian(16, 20)
    assert_same(
        unit_similarity(vectors * np.logspace(-30, 30, 20, dtype=np.float32)), unit_similarity(vectors), 20 * EPS
    )


def test_layouts():
    vectors = gaussian(24, 21)
    expected = unit_similarity(vectors)
    wide = np.zeros((48, 63), np.float32)
    wide[::2, ::3] = vectors
    for same in (np.asfortranarray(vectors), wide[::2, ::3], vectors[::-1][::-1], vectors.tolist()):
        assert_same(unit_similarity(same), expected, 28 * EPS)
    assert_same(unit_similarity(vectors.T, axis=0), expected, 28 * EPS)
    kernel = vectors.reshape(2, 3, 4, 21)
    assert_same(unit_similarity(kernel), expected, 28 * EPS)
    assert_same(unit_similarity(np.moveaxis(kernel, -1, 1), axis=1), expected, 28 * EPS)
    assert_same(unit_similarity(np.moveaxis(kernel, -1, 2), axis=-2), expected, 28 * EPS)


def test_input_is_not_changed():
    for vectors in (gaussian(8, 600, dtype=np.float32), gaussian(8, 600, dtype=np.float64).T):
        copy = vectors.copy()
        unit_similarity(vectors, activation="linear")
        cosine_matrix(vectors)
        assert np.array_equal(vectors, copy)


def test_memory_is_that_of_tiles():
    vectors = gaussian(4, 8192)
    tracemalloc.start()
    unit_similarity(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20  # the full matrix of cosines would take 256 MiB


def test_sums_are_as_exact_as_the_cosines():
    # The z-score divides by 2/(nd): an error of 1e-5 in the mean square would show.
    vectors = gaussian(256, 2048)
    exact = unit_similarity(vectors.astype(np.float64))
    found = unit_similarity(vectors)
    assert found.rms**2 == pytest.approx(exact.rms**2, rel=1e-6)
    assert found.null_z == pytest.approx(exact.null_z, abs=0.01)
    assert found.mean == pytest.approx(exact.mean, abs=1e-8)


# Activations ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "distinct"), [(None, 5), ("gelu", 5), ("sigmoid", 5), ("tanh", 4), ("relu", 4), ("linear", 3)]
)
def test_distinct_up_to_what_the_activation_cannot_see(activation, distinct):
    w = gaussian(10, 2)
    vectors = np.stack([w[:, 0], w[:, 0], -w[:, 0], 3 * w[:, 0], w[:, 1], np.zeros(10, np.float32)], axis=1)
    assert unit_similarity(vectors, activation=activation).distinct == distinct


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_scaled_copies_are_found_at_the_precision_of_the_weights(dtype):
    w = np.random.default_rng(5).uniform(-1, 1, (50, 100))
    vectors = np.concatenate([w, 3 * w, 0.7 * w], axis=1).astype(dtype)
    assert unit_similarity(vectors, activation="relu").distinct == 100
    assert unit_similarity(vectors, activation="gelu").distinct == 300


FUNCTIONS = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x * stats.norm.cdf(x),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "softplus": lambda x: np.logaddexp(0, x),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_activations_do(name):
    f, x = FUNCTIONS[name], np.linspace(-7, 7, 51)
    assert is_odd(name) == np.allclose(f(-x), -f(x))
    assert is_positively_homogeneous(name) == np.allclose(f(2.5 * x), 2.5 * f(x))


def test_no_activation_is_no_licence():
    assert not is_odd(None)
    assert not is_positively_homogeneous(None)


# The matrix -----------------------------------------------------------------------------------------------------------


@given(WHOLE)
def test_cosine_matrix(vectors):
    columns = vectors.T.tolist()
    expected = [[cosine_by_loop(a, b) for b in columns] for a in columns]
    found = cosine_matrix(vectors)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    assert (np.abs(found) <= 1).all()
    assert (np.diag(found) == 1).all()


def test_cosine_matrix_of_kernels():
    kernel = gaussian(12, 5).reshape(2, 2, 3, 5)
    np.testing.assert_allclose(cosine_matrix(kernel), cosine_similarity(kernel.reshape(12, 5).T), atol=16 * EPS)
    np.testing.assert_array_equal(cosine_matrix(np.moveaxis(kernel, -1, 0), axis=0), cosine_matrix(kernel))


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", [unit_similarity, cosine_matrix])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite(measure, dtype, bad):
    vectors = np.ones((4, 3), dtype)
    vectors[2, 1] = vectors[3, 0] = bad
    name = np.dtype(dtype).name
    with pytest.raises(
        ValueError,
        match=r"Expected `vectors` to hold finite numbers. Received: 2 NaN or infinite values in an array of shape "
        rf"\(4, 3\) and dtype {name}, the first at index \(2, 1\). The weights have diverged",
    ):
        measure(vectors)


@pytest.mark.parametrize(
    "vectors", [np.ones((2, 2), complex), np.array([["a"]]), np.array([[None]]), np.zeros((2, 2), "V8")], ids=repr
)
def test_arrays_that_hold_no_real_numbers(vectors):
    with pytest.raises(
        ValueError, match=r"Expected `vectors` to be an array of real numbers\. Received: vectors=array"
    ):
        unit_similarity(vectors)


def test_structured_arrays():
    with pytest.raises(ValueError, match="array of real numbers"):
        unit_similarity(np.zeros((2, 2), [("a", "f4")]))


@pytest.mark.parametrize("axis", [2, -3])
def test_missing_axis(axis):
    with pytest.raises(ValueError, match=rf"Expected `axis` .* an array with 2 axes\. Received: axis={axis}\."):
        unit_similarity(np.ones((2, 3)), axis=axis)


def test_a_number_has_no_axis():
    with pytest.raises(ValueError, match="an array with 0 axes. Received: axis=-1"):
        unit_similarity(1.0)


def test_no_units():
    with pytest.raises(
        ValueError, match="Expected `vectors` to hold at least one unit. Received: vectors with no units"
    ):
        unit_similarity(np.ones((3, 0)))
    assert cosine_matrix(np.ones((3, 0))).shape == (0, 0)
